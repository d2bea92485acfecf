/**
 * Turns what happened into audit events and hands them to the sink, whose failures never reach a call that does not
 * require its record.
 *
 * @module
 */

import type { Clock } from '../clock.js';
import type { Denial } from '../errors.js';
import type { AuditedResource } from '../policy/types.js';
import { safeText } from './text.js';
import type { AuditCaller, AuditSink, DecisionEvent, GuardEvent } from './types.js';

/** What a record says of the call itself. */
export interface RecordedCall {
  readonly method: string;
  readonly decisionId: string;
  /** `performance.now()` at the arrival of the call. */
  readonly arrivedAt: number;
  readonly messages: number;
  readonly status: number | null;
}

/** What a record says of the decision. */
export interface RecordedDecision {
  readonly phase: DecisionEvent['phase'];
  readonly outcome: DecisionEvent['outcome'];
  readonly denial: Denial | null;
  readonly resources: readonly AuditedResource[];
}

/** Nobody is known yet. */
export const UNKNOWN_CALLER: AuditCaller = Object.freeze({
  peer: null,
  fingerprint: null,
  serialNumber: null,
  issuer: null,
  subject: null,
  actors: Object.freeze([]),
  tokenId: null,
});

/** Writes the audit trail of one guard. */
export class Recorder {
  readonly #sink: AuditSink;
  readonly #clock: Clock;
  #lost = 0;

  constructor(sink: AuditSink, clock: Clock) {
    this.#sink = sink;
    this.#clock = clock;
  }

  /** Events the sink did not take. */
  get lost(): number {
    return this.#lost;
  }

  /** Records a decision; a sink that fails loses this record and is counted. */
  decision(call: RecordedCall, caller: AuditCaller, decision: RecordedDecision): void {
    this.#write(this.#event(call, caller, decision));
  }

  /** Records a decision and resolves when the sink has it; rejects when the sink could not keep it. */
  async durably(call: RecordedCall, caller: AuditCaller, decision: RecordedDecision): Promise<void> {
    await this.#sink.write(this.#event(call, caller, decision));
  }

  /** Records something about the guard itself. */
  guard(event: GuardEvent['event'], detail: GuardEvent['detail'] = {}): void {
    const safe: Record<string, string | number | boolean | null> = {};
    for (const [name, value] of Object.entries(detail))
      safe[name] = typeof value === 'string' ? safeText(value) : value;
    this.#write({
      type: 'guard',
      time: this.#clock.now(),
      event,
      detail: safe,
    });
  }

  #event(
    call: RecordedCall,
    caller: AuditCaller,
    { phase, outcome, denial, resources }: RecordedDecision,
  ): DecisionEvent {
    return {
      type: 'decision',
      phase,
      time: this.#clock.now(),
      decisionId: call.decisionId,
      method: call.method,
      outcome,
      reason: denial === null ? null : denial.reason,
      detail: denial === null ? null : safeText(denial.detail),
      peer: caller.peer,
      fingerprint: caller.fingerprint,
      serialNumber: caller.serialNumber,
      issuer: caller.issuer,
      subject: caller.subject,
      actors: caller.actors,
      tokenId: caller.tokenId,
      resources: safeResources(resources),
      messages: call.messages,
      status: call.status,
      latencyMs: Math.round((performance.now() - call.arrivedAt) * 1000) / 1000,
    };
  }

  #write(event: DecisionEvent | GuardEvent): void {
    try {
      const written = this.#sink.write(event);
      if (written instanceof Promise) written.catch(() => this.#loose());
    } catch {
      this.#loose();
    }
  }

  #loose(): void {
    this.#lost += 1;
  }
}

/** The names come from messages: bounded and escaped as any other text from the network. */
function safeResources(resources: readonly AuditedResource[]): readonly AuditedResource[] {
  for (const { resource } of resources) {
    if (resource !== null && safeText(resource) !== resource) return resources.map(safeResource);
  }
  return resources;
}

function safeResource({ permission, resource }: AuditedResource): AuditedResource {
  return { permission, resource: resource === null ? null : safeText(resource) };
}
