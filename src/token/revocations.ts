/**
 * What is revoked, in the memory of this process.
 *
 * @module
 */

import type { PeerIdentity } from '../call.js';
import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError } from '../errors.js';
import { Listeners } from '../lifecycle.js';
import { isBase64urlOf } from './base64url.js';
import { isName } from './claims.js';
import { isWorkloadId } from './subjects.js';
import type { RevocationSnapshot, RevocationSource, VerifiedToken } from './types.js';

interface Bounded {
  /** Milliseconds since the Unix epoch at which the entry lapses. Default: never. Name it where what is revoked ends by itself. */
  readonly until?: number;
}

/** What can be revoked. Where `issuer` may be left out, the entry counts for every issuer. */
export type RevocationEntry = Bounded &
  (
    | { /** A workload: its certificates, and every token that names it as subject or actor. */ readonly spiffeId: string }
    | { /** A certificate, by `x5t#S256`, and every token bound to it. */ readonly fingerprint: string }
    | { /** A certificate by serial number, hexadecimal. */ readonly serialNumber: string; readonly issuer?: string }
    | { /** Everything below a root, by the root's `x5t#S256`. */ readonly root: string }
    | { /** `jti`. */ readonly tokenId: string; readonly issuer?: string }
    | { /** A subject, wherever it stands in a token: `sub` or `act`. */ readonly subject: string; readonly issuer?: string }
    | { /** `kid`: every token it signed. */ readonly keyId: string; readonly issuer?: string }
    | { /** Every token issued at or before this time, milliseconds since the Unix epoch. */ readonly issuedBefore: number; readonly issuer: string }
  );

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

const PRUNE_EVERY = 1024;
const MAX_SERIAL = 64;
const KINDS = ['spiffeId', 'fingerprint', 'serialNumber', 'root', 'tokenId', 'subject', 'keyId', 'issuedBefore'] as const;
const WITH_ISSUER: readonly string[] = ['serialNumber', 'tokenId', 'subject', 'keyId', 'issuedBefore'];

/** Values, each until a time; for one issuer or for all. */
class Register {
  readonly #any = new Map<string, number>();
  readonly #byIssuer = new Map<string, Map<string, number>>();

  add(value: string, issuer: string | undefined, until: number): void {
    let values = this.#any;
    if (issuer !== undefined) {
      values = this.#byIssuer.get(issuer) ?? new Map<string, number>();
      this.#byIssuer.set(issuer, values);
    }
    values.set(value, Math.max(until, values.get(value) ?? 0));
  }

  has(value: string, issuer: string, now: number): boolean {
    return live(this.#any, value, now) || (this.#byIssuer.size > 0 && live(this.#byIssuer.get(issuer), value, now));
  }

  get size(): number {
    let size = this.#any.size;
    for (const values of this.#byIssuer.values()) size += values.size;
    return size;
  }

  prune(now: number): void {
    drop(this.#any, now);
    for (const [issuer, values] of this.#byIssuer) {
      drop(values, now);
      if (values.size === 0) this.#byIssuer.delete(issuer);
    }
  }
}

function live(values: Map<string, number> | undefined, value: string, now: number): boolean {
  if (values === undefined || values.size === 0) return false;
  const until = values.get(value);
  return until !== undefined && !(until <= now);
}

function drop(values: Map<string, number>, now: number): void {
  for (const [value, until] of values) if (until <= now) values.delete(value);
}

class MemoryRevocations implements Revocations {
  readonly #clock: Clock;
  readonly #listeners = new Listeners<void>();
  readonly #spiffeIds = new Register();
  readonly #fingerprints = new Register();
  readonly #serials = new Register();
  readonly #roots = new Register();
  readonly #tokenIds = new Register();
  readonly #subjects = new Register();
  readonly #keyIds = new Register();
  readonly #issuedBefore = new Map<string, { before: number; until: number }[]>();
  #snapshot: RevocationSnapshot;
  #epoch = 0;
  #sincePrune = 0;

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
    const { kind, issuer, until } = checked(entry);
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
        this.#tokenIds.add(value, issuer, until);
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
    if (++this.#sincePrune >= PRUNE_EVERY) this.#prune();
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
    this.#sincePrune = 0;
    for (const register of this.#registers()) register.prune(now);
    for (const [issuer, bounds] of this.#issuedBefore) {
      const left = bounds.filter(({ until }) => until > now);
      if (left.length > 0) this.#issuedBefore.set(issuer, left);
      else this.#issuedBefore.delete(issuer);
    }
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

/** With and without a leading zero: both are in use for the same number. */
function spellingsOf(serial: string): readonly string[] {
  const digits = serial.replace(/^0+(?=.)/, '').toUpperCase();
  return digits.length % 2 === 0 ? [digits] : [digits, `0${digits}`];
}

interface CheckedEntry {
  readonly kind: (typeof KINDS)[number];
  readonly issuer: string | undefined;
  readonly until: number;
}

function checked(entry: unknown): CheckedEntry {
  const fail = (problem: string): never => {
    throw new ConfigurationError('Revocation', [
      { place: 'entry', problem, remedy: `Name exactly one of ${KINDS.join(', ')}, and where it applies issuer and until` },
    ]);
  };
  if (typeof entry !== 'object' || entry === null) return fail('it is not an object');
  const fields = entry as Readonly<Record<string, unknown>>;
  const named = KINDS.filter((kind) => fields[kind] !== undefined);
  const kind = named[0];
  if (kind === undefined || named.length > 1) return fail('it names none, or more than one');
  const unknown = Object.keys(fields).find((name) => name !== kind && name !== 'issuer' && name !== 'until');
  if (unknown !== undefined) return fail(`there is no such member: ${JSON.stringify(unknown)}`);
  const { issuer, until = Number.POSITIVE_INFINITY } = fields;
  if (issuer !== undefined && (!isName(issuer) || !WITH_ISSUER.includes(kind))) return fail('issuer is malformed here');
  if (kind === 'issuedBefore' && issuer === undefined) return fail('issuedBefore needs an issuer');
  if (typeof until !== 'number' || Number.isNaN(until)) return fail('until is no time');
  if (!valueFits(kind, fields[kind])) return fail(`${kind} is malformed`);
  return { kind, issuer: issuer as string | undefined, until };
}

function valueFits(kind: CheckedEntry['kind'], value: unknown): boolean {
  switch (kind) {
    case 'spiffeId':
      return typeof value === 'string' && isWorkloadId(value);
    case 'fingerprint':
    case 'root':
      return isBase64urlOf(value, 32);
    case 'serialNumber':
      return typeof value === 'string' && value.length <= MAX_SERIAL && /^[0-9A-Fa-f]+$/.test(value);
    case 'issuedBefore':
      return typeof value === 'number' && Number.isFinite(value);
    default:
      return isName(value);
  }
}
