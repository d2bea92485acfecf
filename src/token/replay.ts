/**
 * Single use: a token that was presented once is refused from then on.
 *
 * @module
 */

import { createHash, hash, randomBytes } from 'node:crypto';
import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError, type Problem } from '../errors.js';
import { type Digest, DigestTable } from './digest-table.js';
import type { ClaimResult, ReplayStore, VerifiedToken } from './types.js';

/** Options of {@link createReplayStore}. */
export interface ReplayStoreOptions {
  /** Greatest number of live entries. Default 1,000,000, for which the store takes about 35 MB. */
  readonly maxEntries?: number;
  /** Greatest number of live entries of one owner. Default a tenth of `maxEntries`. */
  readonly maxPerOwner?: number;
  readonly clock?: Clock;
}

/** A replay store in the memory of this process. */
export interface MemoryReplayStore extends ReplayStore {
  claim(key: string, expiresAt: number, owner: string): ClaimResult;
  /** The number of live entries. */
  readonly size: number;
}

const LAST_SECOND = 2 ** 32 - 1;

/**
 * The key under which a token is claimed: one hash over issuer, certificate and `jti`, each with its length, so that no two
 * triples share a key.
 */
export function replayKey(token: VerifiedToken): string {
  const digest = createHash('sha256');
  for (const part of [token.issuer, token.confirmation ?? '', token.id ?? '']) {
    digest.update(`${Buffer.byteLength(part)}:${part}`);
  }
  return digest.digest('base64url');
}

/**
 * A replay store in memory, for one process: replicas do not know of each other's claims, and a restart forgets them all.
 *
 * It never forgets an entry that is still live: full, or past an owner's quota, it says so and the call is refused. What
 * the highest clock it ever saw has expired stays refused, so that setting the clock back revives nothing; after a clock
 * that ran ahead by mistake it refuses until the time comes or the process restarts.
 *
 * Entries are kept as 128-bit digests under a key of their own per process.
 *
 * @throws ConfigurationError when a bound is no count
 */
export function createReplayStore(options: ReplayStoreOptions = {}): MemoryReplayStore {
  const { maxEntries = 1_000_000, clock = systemClock } = options;
  const { maxPerOwner = Math.max(1, Math.floor(maxEntries / 10)) } = options;
  const problems: Problem[] = [];
  for (const [place, value] of Object.entries({ maxEntries, maxPerOwner })) {
    if (Number.isSafeInteger(value) && value >= 1) continue;
    problems.push({ place, problem: 'it is no count', remedy: 'Give 1 or more' });
  }
  if (problems.length > 0) throw new ConfigurationError('Replay store', problems);
  return new MemoryStore(maxEntries, maxPerOwner, clock);
}

class MemoryStore implements MemoryReplayStore {
  readonly #table = new DigestTable();
  readonly #salt = randomBytes(16).toString('base64url');
  readonly #maxEntries: number;
  readonly #maxPerOwner: number;
  readonly #clock: Clock;
  /** How many entries of which owner expire in which second. */
  readonly #bySecond = new Map<number, Map<string, number>>();
  readonly #live = new Map<string, number>();
  #size = 0;
  #highest = Number.NEGATIVE_INFINITY;
  #sweptTo = 0;

  constructor(maxEntries: number, maxPerOwner: number, clock: Clock) {
    this.#maxEntries = maxEntries;
    this.#maxPerOwner = maxPerOwner;
    this.#clock = clock;
  }

  get size(): number {
    this.#advance();
    return this.#size;
  }

  claim(key: string, expiresAt: number, owner: string): ClaimResult {
    const nowSecond = this.#advance();
    // Rounded up: an entry is never dropped before its time.
    const expiry = Math.ceil(expiresAt / 1000);
    if (!(expiry <= LAST_SECOND)) return 'full';
    if (expiresAt <= this.#highest || expiry <= nowSecond) return 'replayed';
    const digest = this.#digestOf(key);
    if (this.#table.has(digest, nowSecond)) return 'replayed';
    const held = this.#live.get(owner) ?? 0;
    if (this.#size >= this.#maxEntries || held >= this.#maxPerOwner) return 'full';
    this.#table.add(digest, expiry, nowSecond);
    this.#count(owner, held, expiry);
    return 'fresh';
  }

  #digestOf(key: string): Digest {
    const bytes = hash('sha256', this.#salt + key, 'buffer');
    return new Uint32Array([
      bytes.readUInt32LE(0),
      bytes.readUInt32LE(4),
      bytes.readUInt32LE(8),
      bytes.readUInt32LE(12),
    ]);
  }

  #count(owner: string, held: number, expiry: number): void {
    this.#size++;
    this.#live.set(owner, held + 1);
    let owners = this.#bySecond.get(expiry);
    if (owners === undefined) {
      owners = new Map();
      this.#bySecond.set(expiry, owners);
    }
    owners.set(owner, (owners.get(owner) ?? 0) + 1);
  }

  /** Takes note of the clock, releases what has expired by it, and returns its highest second. */
  #advance(): number {
    const now = this.#clock.now();
    if (now > this.#highest) this.#highest = now;
    const nowSecond = Math.floor(this.#highest / 1000);
    if (nowSecond <= this.#sweptTo) return nowSecond;
    if (nowSecond - this.#sweptTo > this.#bySecond.size) {
      for (const second of [...this.#bySecond.keys()]) if (second <= nowSecond) this.#release(second);
    } else {
      for (let second = this.#sweptTo + 1; second <= nowSecond; second++) this.#release(second);
    }
    this.#sweptTo = nowSecond;
    return nowSecond;
  }

  #release(second: number): void {
    for (const [owner, count] of this.#bySecond.get(second) ?? []) {
      const left = (this.#live.get(owner) ?? 0) - count;
      if (left > 0) this.#live.set(owner, left);
      else this.#live.delete(owner);
      this.#size -= count;
    }
    this.#bySecond.delete(second);
  }
}
