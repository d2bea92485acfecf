/** Small ways to make calls, to watch them, and to say that one was refused with nothing done. */

import { setImmediate as turn } from 'node:timers/promises';
import type * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import type { DecisionEvent, Reason } from 'grpc-zero-trust';
import { errorInfoOf, type Fixture, type Outcome, reasonOf } from './fixture.js';

/** Written out here, independently of the table in the code. */
const STATUS: Partial<Record<Reason, number>> = {
  CALLER_NOT_ALLOWED: 7,
  METHOD_UNANNOTATED: 7,
  PERMISSION_MISSING: 7,
  RESOURCE_EMPTY: 7,
  RESOURCE_INVALID: 7,
  RESOURCE_NOT_GRANTED: 7,
  DELEGATION_FORBIDDEN: 7,
  DELEGATION_REQUIRED: 7,
  DELEGATION_DEPTH: 7,
  DELEGATION_ACTOR: 7,
  RATE_LIMITED: 8,
  STATE_UNAVAILABLE: 14,
  AUDIT_UNAVAILABLE: 14,
};

type Refused = Outcome<unknown> | { readonly status: grpc.StatusObject };

/**
 * Asserts that a call ended with exactly this reason and the status that belongs to it, and that its audit record,
 * found by the decision id the caller was told, says the same. Returns the record.
 */
export async function expectRefused(fixture: Fixture, ended: Refused, reason: Reason): Promise<DecisionEvent> {
  if ('ok' in ended) throw new Error(`it was served: ${JSON.stringify(ended.ok)}`);
  const status = 'error' in ended ? ended.error : ended.status;
  expect([reasonOf(status), status.code], status.details).to.deep.equal([reason, STATUS[reason] ?? 16]);
  const decisionId = errorInfoOf(status)?.decisionId ?? '';
  const event = (await fixture.audit.waitFor(
    (e) => e.type === 'decision' && e.decisionId === decisionId && e.outcome === 'refused',
  )) as DecisionEvent;
  expect([event.reason, event.status]).to.deep.equal([reason, status.code]);
  return event;
}

/** What a call was served with; fails with the refusal where it was refused. */
export function served<O>(outcome: Outcome<O>): O {
  if ('error' in outcome) throw new Error(`it was refused: ${outcome.reason ?? ''} ${outcome.error.message}`);
  return outcome.ok;
}

/** Waits, turn by turn, until something holds. */
export async function until(holds: () => boolean, what: string): Promise<void> {
  const end = Date.now() + 8_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what}`);
    await turn();
  }
}

/** A client-streaming call and how it ends. */
export interface Upload<I, O> {
  readonly call: grpc.ClientWritableStream<I>;
  readonly ended: Promise<Outcome<O>>;
}

/** Starts a client-streaming call. */
export function upload<I, O>(
  method: (
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<O>,
  ) => grpc.ClientWritableStream<I>,
  client: grpc.Client,
  metadata: grpc.Metadata,
  messages: readonly I[] = [],
): Upload<I, O> {
  let settle: (outcome: Outcome<O>) => void = () => {};
  const ended = new Promise<Outcome<O>>((resolve) => {
    settle = resolve;
  });
  const call = method.call(client, metadata, { deadline: Date.now() + 20_000 }, (error, value) => {
    settle(error === null ? { ok: value as O } : { error, reason: reasonOf(error) });
  });
  call.on('error', () => {});
  for (const message of messages) call.write(message);
  return { call, ended };
}

/** All decisions about calls, in order. */
export function decisions(fixture: Fixture): DecisionEvent[] {
  return fixture.audit.events.filter((event): event is DecisionEvent => event.type === 'decision');
}

/** A unary call of these very bytes; the answer is bytes too. */
export function rawUnary(
  client: grpc.Client,
  path: string,
  body: Uint8Array,
  metadata: grpc.Metadata,
): Promise<Outcome<Buffer>> {
  const same = (bytes: Buffer): Buffer => bytes;
  return new Promise((resolve) => {
    const options = { deadline: Date.now() + 20_000 };
    client.makeUnaryRequest(path, same, same, Buffer.from(body), metadata, options, (error, value) => {
      resolve(error === null ? { ok: value as Buffer } : { error, reason: reasonOf(error) });
    });
  });
}
