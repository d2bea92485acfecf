/**
 * Time as the project sees it: injected everywhere, so that tests move it by hand and none sleeps.
 *
 * @module
 */

import { setTimeout as sleep } from 'node:timers/promises';

/** A source of time. All times are milliseconds since the Unix epoch. */
export interface Clock {
  now(): number;
  /**
   * Resolves after `ms` milliseconds of this clock, or at once when `signal` aborts (it never rejects). A pending delay
   * does not keep the process alive.
   */
  delay(ms: number, signal?: AbortSignal): Promise<void>;
}

const LONGEST_TIMER_MS = 2 ** 31 - 1;

/** The clock of the machine. */
export const systemClock: Clock = {
  now: () => Date.now(),
  async delay(ms, signal) {
    let left = ms;
    while (left > 0 && signal?.aborted !== true) {
      const step = Math.min(left, LONGEST_TIMER_MS);
      try {
        await sleep(step, undefined, { ref: false, ...(signal && { signal }) });
      } catch {
        return;
      }
      left -= step;
    }
  },
};
