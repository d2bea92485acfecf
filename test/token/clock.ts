import type { Clock } from '#dist/clock.js';

/** A clock that moves only when it is told to. */
export interface FakeClock extends Clock {
  advance(ms: number): void;
  set(ms: number): void;
}

export const START = Date.UTC(2026, 0, 1);

export function fakeClock(start = START): FakeClock {
  let now = start;
  const waiting = new Set<{ at: number; wake: () => void }>();
  const wakeDue = (): void => {
    for (const waiter of [...waiting]) {
      if (waiter.at > now) continue;
      waiting.delete(waiter);
      waiter.wake();
    }
  };
  return {
    now: () => now,
    delay(ms, signal) {
      return new Promise((resolve) => {
        if (signal?.aborted === true) return resolve();
        const waiter = { at: now + ms, wake: resolve };
        waiting.add(waiter);
        signal?.addEventListener('abort', () => {
          waiting.delete(waiter);
          resolve();
        });
      });
    },
    advance(ms) {
      now += ms;
      wakeDue();
    },
    set(ms) {
      now = ms;
      wakeDue();
    },
  };
}
