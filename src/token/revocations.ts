/**
 * What is revoked, in the memory of this process.
 *
 * @module
 */

import type { PeerIdentity } from '../call.js';
import { type Clock, systemClock } from '../clock.js';
import { Listeners } from '../lifecycle.js';
import { IdRegister, type Register, TextRegister } from './registers.js';
import { checkEntry, type RevocationEntry, spellingsOf } from './revocation-entry.js';
import type { RevocationSnapshot, RevocationSource, VerifiedToken } from './types.js';

export type { RevocationEntry } from './revocation-entry.js';

/** Revocations that this process makes itself. */
export interface Revocations extends RevocationSource {
  /** Rises with each revocation. */
  readonly epoch: number;
  /** The number of entries held. */
  readonly size: number;
  /**
   * Revokes from now on. There is no way back within an entry's time.
   * @throws ConfigurationError when the entry is malformed; nothing is revoked then
   */
  revoke(entry: RevocationEntry): void;
}

/** Options of {@link createRevocations}. */
export interface RevocationsOptions {
  readonly clock?: Clock;
}

/**
 * Revocations in memory. They are gone after a restart and known to this process only; a fleet wants a source that all its
 * members share.
 *
 * An entry without `until` stays for the life of the process: that is safe, and grows. Give `until` where what is revoked
 * ends by itself: for a token its expiry, for a certificate its `notAfter`.
 */
export function createRevocations(options: RevocationsOptions = {}): Revocations {
  return new MemoryRevocations(options.clock ?? systemClock);
}

const PRUNE_AT_LEAST_EVERY = 1024;

class MemoryRevocations implements Revocations {
  readonly #clock: Clock;
  readonly #listeners = new Listeners<void>();
  readonly #spiffeIds = new TextRegister();
  readonly #fingerprints = new TextRegister();
  readonly #serials = new TextRegister();
  readonly #roots = new TextRegister();
  readonly #tokenIds = new IdRegister();
  readonly #subjects = new TextRegister();
  readonly #keyIds = new TextRegister();
  readonly #issuedBefore = new Map<string, { before: number; until: number }[]>();
  #snapshot: RevocationSnapshot;
  #epoch = 0;
  #untilPrune = PRUNE_AT_LEAST_EVERY;

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#snapshot = this.#take();
  }

  get epoch(): number {
    return this.#epoch;
  }

  get size(): number {
    let size = 0;
    for (const register of this.#registers()) size += register.size;
    for (const bounds of this.#issuedBefore.values()) size += bounds.length;
    return size;
  }

  current(): RevocationSnapshot {
    return this.#snapshot;
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  revoke(entry: RevocationEntry): void {
    const { kind, issuer, until } = checkEntry(entry);
    const fields = entry as unknown as Readonly<Record<string, string>>;
    const value = fields[kind] ?? '';
    switch (kind) {
      case 'spiffeId':
        this.#spiffeIds.add(value, undefined, until);
        break;
      case 'fingerprint':
        this.#fingerprints.add(value, undefined, until);
        break;
      case 'root':
        this.#roots.add(value, undefined, until);
        break;
      case 'serialNumber':
        for (const spelling of spellingsOf(value)) this.#serials.add(spelling, issuer, until);
        break;
      case 'tokenId':
        this.#tokenIds.add(value, issuer, until, this.#clock.now());
        break;
      case 'subject':
        this.#subjects.add(value, issuer, until);
        break;
      case 'keyId':
        this.#keyIds.add(value, issuer, until);
        break;
      case 'issuedBefore': {
        const bounds = this.#issuedBefore.get(issuer as string) ?? [];
        this.#issuedBefore.set(issuer as string, mergeBound(bounds, { before: Number(value), until }));
        break;
      }
    }
    this.#epoch++;
    if (--this.#untilPrune <= 0) this.#prune();
    this.#snapshot = this.#take();
    this.#listeners.emit();
  }

  #peerRevoked(peer: PeerIdentity, root: string | undefined): boolean {
    const now = this.#clock.now();
    return (
      this.#spiffeIds.has(peer.spiffeId, '', now) ||
      this.#fingerprints.has(peer.fingerprint, '', now) ||
      this.#serials.has(peer.serialNumber, peer.issuer, now) ||
      (root !== undefined && this.#roots.has(root, '', now))
    );
  }

  #tokenRevoked(token: VerifiedToken): boolean {
    const now = this.#clock.now();
    const { issuer } = token;
    if (token.id !== null && this.#tokenIds.has(token.id, issuer, now)) return true;
    if (this.#keyIds.has(token.keyId, issuer, now)) return true;
    if (token.confirmation !== null && this.#fingerprints.has(token.confirmation, '', now)) return true;
    if (this.#nameRevoked(token.subject, issuer, now)) return true;
    // A mapped subject is revoked under either name.
    if (token.claims.sub !== token.subject && this.#nameRevoked(token.claims.sub, issuer, now)) return true;
    for (const actor of token.actors) {
      if (this.#nameRevoked(actor.subject, actor.issuer ?? issuer, now)) return true;
    }
    const bounds = this.#issuedBefore.get(issuer);
    // A token that does not say when it was issued may have been issued before.
    return bounds?.some(({ before, until }) => !(until <= now) && !((token.issuedAt ?? before) > before)) === true;
  }

  #nameRevoked(name: string, issuer: string, now: number): boolean {
    return this.#spiffeIds.has(name, '', now) || this.#subjects.has(name, issuer, now);
  }

  #registers(): readonly Register[] {
    return [
      this.#spiffeIds,
      this.#fingerprints,
      this.#serials,
      this.#roots,
      this.#tokenIds,
      this.#subjects,
      this.#keyIds,
    ];
  }

  #prune(): void {
    const now = this.#clock.now();
    for (const register of this.#registers()) register.prune(now);
    for (const [issuer, bounds] of this.#issuedBefore) {
      const left = bounds.filter(({ until }) => until > now);
      if (left.length > 0) this.#issuedBefore.set(issuer, left);
      else this.#issuedBefore.delete(issuer);
    }
    // As many again as are left: pruning stays O(1) per revocation.
    this.#untilPrune = Math.max(PRUNE_AT_LEAST_EVERY, this.size);
  }

  /** A view, not a copy: one that is held on to also sees what is revoked later, which can only refuse more. */
  #take(): RevocationSnapshot {
    return Object.freeze({
      epoch: this.#epoch,
      issuedAt: this.#clock.now(),
      nextUpdate: null,
      peerRevoked: (peer: PeerIdentity, root?: string) => this.#peerRevoked(peer, root),
      tokenRevoked: (token: VerifiedToken) => this.#tokenRevoked(token),
    });
  }
}

/** Keeps only bounds that another one does not imply, so that the list of an issuer stays short. */
function mergeBound(
  bounds: readonly { before: number; until: number }[],
  added: { before: number; until: number },
): { before: number; until: number }[] {
  if (bounds.some((bound) => bound.before >= added.before && bound.until >= added.until)) return [...bounds];
  return [...bounds.filter((bound) => bound.before > added.before || bound.until > added.until), added];
}
