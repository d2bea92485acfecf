/**
 * How often each peer may make the guard do expensive work.
 *
 * @module
 */

interface Bucket {
  tokens: number;
  at: number;
}

const MOST_PEERS = 10_000;

/** A token bucket per key: `perSecond` at a sustained rate, twice as many at once. Pure; the time is passed in. */
export class RateLimit {
  readonly #perSecond: number;
  readonly #buckets = new Map<string, Bucket>();

  constructor(perSecond: number) {
    this.#perSecond = perSecond;
  }

  /** Whether `key` may do it once more at `now` (milliseconds). A clock that steps back refills nothing. */
  take(key: string, now: number): boolean {
    const most = this.#perSecond * 2;
    let bucket = this.#buckets.get(key);
    if (bucket === undefined) {
      if (this.#buckets.size >= MOST_PEERS) this.#evict(now);
      bucket = { tokens: most, at: now };
      this.#buckets.set(key, bucket);
    }
    if (now > bucket.at) {
      bucket.tokens = Math.min(most, bucket.tokens + ((now - bucket.at) / 1000) * this.#perSecond);
      bucket.at = now;
    }
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  /** Forgets those that are full again; a key that is still limited is kept. */
  #evict(now: number): void {
    const full = 2_000;
    for (const [key, bucket] of this.#buckets) {
      if (now - bucket.at >= full) this.#buckets.delete(key);
    }
  }
}
