/**
 * Where revoked names are kept.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import { type Digest, DigestTable } from './digest-table.js';

/** Values, each until a time (milliseconds since the Unix epoch), for one issuer or for all. */
export interface Register {
  has(value: string, issuer: string, now: number): boolean;
  /** Drops what has lapsed. */
  prune(now: number): void;
  /** The number of entries held; lapsed ones may still count. */
  readonly size: number;
}

/** Values as text. */
export class TextRegister implements Register {
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

const NEVER = 2 ** 32 - 1;

/**
 * Values as 128-bit digests: token ids come in millions. The hash is fast and keyed per process, not cryptographic: at
 * worst two ids collide and a token that was not revoked is refused; one that was is never let through.
 */
export class IdRegister implements Register {
  #any: DigestTable | null = null;
  readonly #byIssuer = new Map<string, DigestTable>();
  readonly #seed = new Uint32Array(4).map(() => randomBytes(4).readUInt32LE());
  readonly #digest: Digest = new Uint32Array(4);

  add(value: string, issuer: string | undefined, until: number, now: number): void {
    const nowSecond = Math.floor(now / 1000);
    const expiry = Math.min(NEVER, Math.ceil(until / 1000));
    if (expiry <= nowSecond) return;
    const table = this.#tableFor(issuer);
    const digest = this.#digestOf(value);
    // A slot that lasts as long says all there is to say.
    if (!table.has(digest, expiry - 1)) table.add(digest, expiry, nowSecond);
  }

  has(value: string, issuer: string, now: number): boolean {
    const own = this.#byIssuer.size === 0 ? undefined : this.#byIssuer.get(issuer);
    if (own === undefined && this.#any === null) return false;
    const nowSecond = Math.floor(now / 1000);
    const digest = this.#digestOf(value);
    return this.#any?.has(digest, nowSecond) === true || own?.has(digest, nowSecond) === true;
  }

  get size(): number {
    let size = this.#any?.size ?? 0;
    for (const table of this.#byIssuer.values()) size += table.size;
    return size;
  }

  /** Nothing to do: the table takes back what has lapsed as it grows. */
  prune(): void {}

  #tableFor(issuer: string | undefined): DigestTable {
    if (issuer === undefined) {
      this.#any ??= new DigestTable();
      return this.#any;
    }
    let table = this.#byIssuer.get(issuer);
    if (table === undefined) {
      table = new DigestTable();
      this.#byIssuer.set(issuer, table);
    }
    return table;
  }

  /** Four lanes of multiply and rotate, each fed by its neighbour, and the finish of MurmurHash3. */
  #digestOf(value: string): Digest {
    const seed = this.#seed;
    let a = seed[0] ?? 0;
    let b = seed[1] ?? 0;
    let c = seed[2] ?? 0;
    let d = (seed[3] ?? 0) ^ value.length;
    for (let i = 0; i < value.length; i++) {
      const code = value.charCodeAt(i);
      a = rotate(Math.imul(a ^ code, 0x9e3779b1) + d, 15);
      b = rotate(Math.imul(b ^ code, 0x85ebca77) + a, 13);
      c = rotate(Math.imul(c ^ code, 0xc2b2ae3d) + b, 17);
      d = rotate(Math.imul(d ^ code, 0x27d4eb2f) + c, 11);
    }
    const digest = this.#digest;
    digest[0] = finish(a ^ d);
    digest[1] = finish(b + a);
    digest[2] = finish(c ^ b);
    digest[3] = finish(d + c);
    return digest;
  }
}

function rotate(word: number, by: number): number {
  return (word << by) | (word >>> (32 - by));
}

function finish(word: number): number {
  let mixed = Math.imul(word ^ (word >>> 16), 0x85ebca6b);
  mixed = Math.imul(mixed ^ (mixed >>> 13), 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
