/**
 * Time that moves by hand.
 *
 * @module
 */

import type { Clock } from '../clock.js';

/** A clock that stands still until it is moved. Made by {@link createFakeClock}. */
export interface FakeClock extends Clock {
  /**
   * Moves forward by `ms`, stopping at each delay that falls due on the way, in order, and giving what waits for it a
   * turn, so that a loop of delays runs as often as it would have. Await it. Where nothing falls due it is done on
   * return.
   */
  advance(ms: number): Promise<void>;
  /**
   * Sets the time. Forward is {@link advance}; backward is what stepping back a machine's clock is: `now()` changes, and
   * pending delays keep what was left of them.
   */
  set(ms: number): Promise<void>;
  /** How many delays are pending. */
  readonly pending: number;
}

interface Sleeper {
  readonly due: number;
  readonly order: number;
  readonly wake: () => void;
}

/**
 * Makes a clock that starts at `startMs` (milliseconds since the Unix epoch). OpenSSL looks at the machine's clock, not
 * at this one: in tests with real TLS, start it at `Date.now()`.
 */
export function createFakeClock(startMs: number): FakeClock {
  const sleepers = new Set<Sleeper>();
  // Delays run on elapsed time, which never goes back; the time of day is elapsed time plus an offset.
  let elapsed = 0;
  let offset = startMs;
  let order = 0;

  const nextDue = (limit: number): Sleeper | undefined => {
    let first: Sleeper | undefined;
    for (const sleeper of sleepers) {
      if (sleeper.due > limit) continue;
      if (
        first === undefined ||
        sleeper.due < first.due ||
        (sleeper.due === first.due && sleeper.order < first.order)
      ) {
        first = sleeper;
      }
    }
    return first;
  };

  const forward = async (ms: number): Promise<void> => {
    const target = elapsed + ms;
    for (let due = nextDue(target); due !== undefined; due = nextDue(target)) {
      elapsed = Math.max(elapsed, due.due);
      due.wake();
      await turn();
    }
    elapsed = Math.max(elapsed, target);
  };

  return {
    now: () => elapsed + offset,
    delay(ms, signal) {
      if (!(ms > 0) || signal?.aborted === true) return Promise.resolve();
      return new Promise((resolve) => {
        const wake = (): void => {
          sleepers.delete(sleeper);
          signal?.removeEventListener('abort', wake);
          resolve();
        };
        const sleeper: Sleeper = { due: elapsed + ms, order: order++, wake };
        sleepers.add(sleeper);
        signal?.addEventListener('abort', wake);
      });
    },
    advance(ms) {
      if (!(ms >= 0)) return Promise.reject(new RangeError('advance(): time goes forward; use set() to step back.'));
      return forward(ms);
    },
    set(ms) {
      const step = ms - (elapsed + offset);
      if (step >= 0) return forward(step);
      offset += step;
      return Promise.resolve();
    },
    get pending() {
      return sleepers.size;
    },
  };
}

/** Lets every promise that is settled, and the chain behind it, run. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
