/**
 * The tokens of a client, kept fresh.
 *
 * @module
 */

import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError } from '../errors.js';
import type { Closeable } from '../lifecycle.js';
import { TokenSourceError } from './file-tokens.js';
import { type LaneSettings, TokenLane } from './token-lane.js';
import type { TokenSource } from './types.js';

/** What a token is wanted for. Two wants that are equal share their tokens. */
export interface TokenWant {
  readonly audience: string;
  /** The certificate of this generation, to which the token must be bound. */
  readonly svid: { readonly spiffeId: string; readonly fingerprint: string };
  /** Whatever else tells tokens apart: the grants wanted, a digest of the token that is delegated. Default: nothing. */
  readonly extra?: string;
  /** Where tokens for this want come from. Default: the source of the cache. Wants with other sources need another `extra`. */
  readonly source?: TokenSource;
}

/** Options of {@link createTokenCache}. */
export interface TokenCacheOptions {
  readonly source: TokenSource;
  readonly clock?: Clock;
  /** Greatest number of wants remembered; the one longest unused goes first. Default 10,000. */
  readonly maxKeys?: number;
  /** How long a source may take. Default 10. */
  readonly timeoutSeconds?: number;
  /** A number from 0 up to 1, for jitter. Default `Math.random`. */
  readonly random?: () => number;
}

/** The tokens of a client. */
export interface TokenCache extends Closeable {
  /** The lane of a want: hold on to it to save the look-up. */
  lane(want: TokenWant): TokenLane;
  /** The token known for a want, when it is fresh; else `null`. Synchronous. Past 80 % of its life it is renewed meanwhile. */
  peek(want: TokenWant): string | null;
  /** The certificate rotated: drops what is bound to any other than this one. */
  rotate(fingerprint: string): void;
  /** The number of wants remembered. */
  readonly size: number;
}

/**
 * Creates the cache. One flight per want; renewal in the background ahead of expiry; back-off with jitter when the source
 * fails, during which a token that is still good goes on being used.
 *
 * It reads `exp` and `cnf` without verifying them: that is the server's part. It does not close the source.
 *
 * @throws ConfigurationError when an option is out of range
 */
export function createTokenCache(options: TokenCacheOptions): TokenCache {
  const { source, clock = systemClock, maxKeys = 10_000, timeoutSeconds = 10, random = Math.random } = options;
  const problems = [];
  if (!Number.isSafeInteger(maxKeys) || maxKeys < 1) {
    problems.push({ place: 'maxKeys', problem: 'it is no count', remedy: 'Give 1 or more' });
  }
  if (!(timeoutSeconds > 0)) {
    problems.push({ place: 'timeoutSeconds', problem: 'it is not positive', remedy: 'Give a number of seconds' });
  }
  if (typeof source?.getToken !== 'function') {
    problems.push({ place: 'source', problem: 'it is no token source', remedy: 'Give an object with getToken' });
  }
  if (problems.length > 0) throw new ConfigurationError('Token cache', problems);
  return new Cache(source, maxKeys, { clock, timeoutMs: timeoutSeconds * 1000, random });
}

class Cache implements TokenCache {
  readonly #source: TokenSource;
  readonly #maxKeys: number;
  readonly #settings: LaneSettings;
  // In order of use: the first is the one longest unused.
  readonly #lanes = new Map<string, TokenLane>();
  #closed = false;

  constructor(source: TokenSource, maxKeys: number, settings: LaneSettings) {
    this.#source = source;
    this.#maxKeys = maxKeys;
    this.#settings = settings;
  }

  get size(): number {
    return this.#lanes.size;
  }

  lane(want: TokenWant): TokenLane {
    if (this.#closed) throw new TokenSourceError('token cache: used after close()');
    const key = JSON.stringify([want.audience, want.svid.fingerprint, want.svid.spiffeId, want.extra ?? '']);
    let lane = this.#lanes.get(key);
    if (lane === undefined) {
      if (this.#lanes.size >= this.#maxKeys) this.#dropOldest();
      // No more of the certificate than a source needs: what it is given may end up in a log, and the key must not.
      const { spiffeId, fingerprint } = want.svid;
      lane = new TokenLane(want.source ?? this.#source, want.audience, { spiffeId, fingerprint }, this.#settings);
    } else {
      this.#lanes.delete(key);
    }
    this.#lanes.set(key, lane);
    return lane;
  }

  peek(want: TokenWant): string | null {
    return this.lane(want).peek();
  }

  rotate(fingerprint: string): void {
    for (const [key, lane] of this.#lanes) {
      if (lane.fingerprint === fingerprint) continue;
      this.#lanes.delete(key);
      lane.forget();
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const lane of this.#lanes.values()) lane.forget();
    this.#lanes.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #dropOldest(): void {
    const oldest = this.#lanes.keys().next().value;
    if (oldest !== undefined) this.#lanes.delete(oldest);
  }
}
