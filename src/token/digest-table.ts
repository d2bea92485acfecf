/**
 * A set of 128-bit digests, each with a time of expiry, in 20 bytes a slot.
 *
 * @module
 */

const SEGMENTS = 64;
const FIRST_CAPACITY = 16;
const MAX_LOAD = 0.75;
const GROWTH = 1.5;
const DIGEST_WORDS = 4;

/** A digest as four 32-bit words. */
export type Digest = Uint32Array;

/**
 * A set of digests with expiry, by open addressing in typed arrays. An expired digest counts as absent, and its slot is
 * taken back when its segment is next rebuilt: rebuilding touches one 64th of the table, so no single call pays for all.
 *
 * The digests must be spread evenly and not be predictable to whoever could choose them.
 */
export class DigestTable {
  readonly #segments: Segment[] = Array.from({ length: SEGMENTS }, () => new Segment());

  /** Whether the digest is present and expires after `nowSecond`. */
  has(digest: Digest, nowSecond: number): boolean {
    return this.#segmentOf(digest).has(digest, nowSecond);
  }

  /** Adds a digest that is not present. @param expirySecond seconds since the Unix epoch, below 2^32 */
  add(digest: Digest, expirySecond: number, nowSecond: number): void {
    this.#segmentOf(digest).add(digest, expirySecond, nowSecond);
  }

  /** The number of slots taken; expired ones may still count. */
  get size(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.used, 0);
  }

  /** Bytes held by the table. */
  get byteLength(): number {
    return this.#segments.reduce((sum, segment) => sum + segment.byteLength, 0);
  }

  #segmentOf(digest: Digest): Segment {
    return this.#segments[(digest[3] ?? 0) % SEGMENTS] as Segment;
  }
}

class Segment {
  #capacity = FIRST_CAPACITY;
  #words = new Uint32Array(FIRST_CAPACITY * DIGEST_WORDS);
  // 0 marks a slot that was never used.
  #expiries = new Uint32Array(FIRST_CAPACITY);
  #used = 0;

  get used(): number {
    return this.#used;
  }

  get byteLength(): number {
    return this.#words.byteLength + this.#expiries.byteLength;
  }

  has(digest: Digest, nowSecond: number): boolean {
    let slot = (digest[0] ?? 0) % this.#capacity;
    for (;;) {
      const expiry = this.#expiries[slot] ?? 0;
      if (expiry === 0) return false;
      // Written so that a clock that is no number finds everything present.
      if (!(expiry <= nowSecond) && this.#holds(slot, digest)) return true;
      if (++slot === this.#capacity) slot = 0;
    }
  }

  add(digest: Digest, expirySecond: number, nowSecond: number): void {
    if (this.#used + 1 > this.#capacity * MAX_LOAD) this.#rebuild(nowSecond);
    this.#insert(digest, 0, expirySecond);
  }

  #holds(slot: number, digest: Digest): boolean {
    const at = slot * DIGEST_WORDS;
    const words = this.#words;
    return (
      words[at] === digest[0] &&
      words[at + 1] === digest[1] &&
      words[at + 2] === digest[2] &&
      words[at + 3] === digest[3]
    );
  }

  #insert(words: Uint32Array, from: number, expirySecond: number): void {
    let slot = (words[from] ?? 0) % this.#capacity;
    while (this.#expiries[slot] !== 0) {
      if (++slot === this.#capacity) slot = 0;
    }
    for (let i = 0; i < DIGEST_WORDS; i++) this.#words[slot * DIGEST_WORDS + i] = words[from + i] ?? 0;
    this.#expiries[slot] = expirySecond;
    this.#used++;
  }

  /** Drops what has expired, and grows only where what is left needs it. */
  #rebuild(nowSecond: number): void {
    const words = this.#words;
    const expiries = this.#expiries;
    let live = 0;
    for (const expiry of expiries) if (expiry > nowSecond) live++;
    // Half of what may be used must be free afterwards, or rebuilding would come again too soon.
    while (live + 1 > (this.#capacity * MAX_LOAD) / GROWTH) this.#capacity = Math.ceil(this.#capacity * GROWTH);
    this.#words = new Uint32Array(this.#capacity * DIGEST_WORDS);
    this.#expiries = new Uint32Array(this.#capacity);
    this.#used = 0;
    for (const [slot, expiry] of expiries.entries()) {
      if (expiry > nowSecond) this.#insert(words, slot * DIGEST_WORDS, expiry);
    }
  }
}
