/**
 * An audit sink that remembers.
 *
 * @module
 */

import type { AuditEvent, AuditSink } from '../audit/types.js';

/** A sink that keeps every event in memory. Made by {@link recordingAudit}. */
export interface RecordingAudit extends AuditSink {
  /** What was written, oldest first. */
  readonly events: readonly AuditEvent[];
  readonly durable: false;
  write(event: AuditEvent): void;
  /** The first event, already written or yet to come, for which `predicate` holds. Rejects when the sink is closed first. */
  waitFor(predicate: (event: AuditEvent) => boolean): Promise<AuditEvent>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Waiter {
  readonly predicate: (event: AuditEvent) => boolean;
  readonly resolve: (event: AuditEvent) => void;
  readonly reject: (error: Error) => void;
}

/** Makes an audit sink for tests: it keeps what is written and lets a test wait for an event without polling. */
export function recordingAudit(): RecordingAudit {
  const events: AuditEvent[] = [];
  const waiters = new Set<Waiter>();
  let closed = false;
  const closedError = (): Error => new Error('recordingAudit: closed before the event came.');

  const sink: RecordingAudit = {
    events,
    durable: false,
    write(event) {
      events.push(event);
      for (const waiter of [...waiters]) {
        if (!waiter.predicate(event)) continue;
        waiters.delete(waiter);
        waiter.resolve(event);
      }
    },
    waitFor(predicate) {
      const found = events.find(predicate);
      if (found !== undefined) return Promise.resolve(found);
      if (closed) return Promise.reject(closedError());
      return new Promise((resolve, reject) => {
        waiters.add({ predicate, resolve, reject });
      });
    },
    close() {
      closed = true;
      for (const waiter of waiters) waiter.reject(closedError());
      waiters.clear();
      return Promise.resolve();
    },
    [Symbol.asyncDispose]: () => sink.close(),
  };
  return sink;
}
