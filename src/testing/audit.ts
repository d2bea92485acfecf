/**
 * An audit sink that remembers.
 *
 * @module
 */

/** A sink that keeps every event in memory. Made by {@link recordingAudit}. */
export interface RecordingAudit<E> {
  /** What was written, oldest first. */
  readonly events: readonly E[];
  readonly durable: false;
  write(event: E): void;
  /** The first event, already written or yet to come, for which `predicate` holds. Rejects when the sink is closed first. */
  waitFor(predicate: (event: E) => boolean): Promise<E>;
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;
}

interface Waiter<E> {
  readonly predicate: (event: E) => boolean;
  readonly resolve: (event: E) => void;
  readonly reject: (error: Error) => void;
}

/** Makes an audit sink for tests: it keeps what is written and lets a test wait for an event without polling. */
export function recordingAudit<E = unknown>(): RecordingAudit<E> {
  const events: E[] = [];
  const waiters = new Set<Waiter<E>>();
  let closed = false;
  const closedError = (): Error => new Error('recordingAudit: closed before the event came.');

  const sink: RecordingAudit<E> = {
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
