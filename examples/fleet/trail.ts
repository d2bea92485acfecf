/** The audit trail of the task service, each record beside the step that caused it. */

import type { AuditEvent, DecisionEvent } from 'grpc-zero-trust';
import type { Outcome } from './calls.js';
import type { Fleet } from './fleet.js';
import type { Step } from './story.js';

export interface Entry {
  readonly step: number;
  readonly event: DecisionEvent;
}

const PATIENCE_MS = 5_000;

export class Trail {
  readonly entries: Entry[] = [];
  readonly #fleet: Fleet;
  #step = 0;
  #look: () => void = () => {};

  constructor(fleet: Fleet) {
    this.#fleet = fleet;
    fleet.onAudit((event: AuditEvent) => {
      if (event.type !== 'decision') return;
      this.entries.push({ step: this.#step, event });
      this.#look();
    });
  }

  /** Steps come one after the other, so that what is recorded from now on belongs to this one. */
  begin(step: number): void {
    this.#step = step;
  }

  /**
   * Whether the trail says what the caller was told: who called what, and how it ended. Waits for the record. Of a
   * connection that was never made there must be none.
   */
  async recordOf(step: Step, outcome: Outcome): Promise<boolean> {
    if (outcome.happened === 'NO_CONNECTION') return this.#current().length === 0;
    const { spiffeId } = this.#fleet.identities[step.who];
    const told = ({ phase, peer, method, decisionId, reason }: DecisionEvent): boolean =>
      (phase === 'call' || phase === 'closed') &&
      peer === spiffeId &&
      method.endsWith(`/${step.call.split(' ')[0]}`) &&
      (outcome.decisionId === null
        ? reason === null
        : decisionId === outcome.decisionId && reason === outcome.happened);
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), PATIENCE_MS);
      this.#look = () => {
        if (!this.#current().some(told)) return;
        clearTimeout(timer);
        resolve(true);
      };
      this.#look();
    });
  }

  #current(): DecisionEvent[] {
    return this.entries.filter(({ step }) => step === this.#step).map(({ event }) => event);
  }
}
