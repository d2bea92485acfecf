/**
 * What was verified, remembered: bounded, with a quota per owner.
 *
 * @module
 */

/** What can be remembered. */
export interface Expiring {
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number;
}

interface Owner<T> {
  readonly name: string;
  count: number;
  head: Entry<T> | null;
  tail: Entry<T> | null;
}

interface Entry<T> {
  readonly key: string;
  readonly value: T;
  readonly owner: Owner<T>;
  next: Entry<T> | null;
}

/**
 * A map from key to value. Where room is needed it takes, in this order: what has expired, then the oldest of the same
 * owner, and only for an owner who holds nothing the oldest of all. So nobody pushes out what others hold by holding more.
 * Every operation is O(1), amortised.
 */
export class Remembered<T extends Expiring> {
  // In order of insertion: its first entry is the oldest of all, and with that the oldest of its owner.
  readonly #entries = new Map<string, Entry<T>>();
  readonly #owners = new Map<string, Owner<T>>();
  readonly #max: number;
  readonly #maxPerOwner: number;

  constructor(max: number, maxPerOwner: number) {
    this.#max = max;
    this.#maxPerOwner = maxPerOwner;
  }

  get size(): number {
    return this.#entries.size;
  }

  recall(key: string): T | null {
    return this.#entries.get(key)?.value ?? null;
  }

  /** @param now what expired at or before it makes room first */
  remember(key: string, value: T, ownerName: string, now: number): void {
    if (this.#entries.has(key)) return;
    this.#forgetExpired(now, ownerName);
    const holder = this.#owners.get(ownerName);
    const full = this.#entries.size >= this.#max;
    if (holder !== undefined && (full || holder.count >= this.#maxPerOwner)) this.#forgetOldestOf(holder);
    else if (full) this.#forgetOldest();

    let owner = this.#owners.get(ownerName);
    if (owner === undefined) {
      owner = { name: ownerName, count: 0, head: null, tail: null };
      this.#owners.set(ownerName, owner);
    }
    const entry: Entry<T> = { key, value, owner, next: null };
    if (owner.tail === null) owner.head = entry;
    else owner.tail.next = entry;
    owner.tail = entry;
    owner.count++;
    this.#entries.set(key, entry);
  }

  clear(): void {
    this.#entries.clear();
    this.#owners.clear();
  }

  #forgetExpired(now: number, ownerName: string): void {
    const owner = this.#owners.get(ownerName);
    while (owner?.head != null && owner.head.value.expiresAt <= now) this.#forgetOldestOf(owner);
    for (const entry of this.#entries.values()) {
      if (entry.value.expiresAt > now) break;
      this.#forgetOldestOf(entry.owner);
    }
  }

  #forgetOldest(): void {
    const oldest = this.#entries.values().next().value;
    if (oldest !== undefined) this.#forgetOldestOf(oldest.owner);
  }

  #forgetOldestOf(owner: Owner<T>): void {
    const entry = owner.head;
    if (entry === null) return;
    this.#entries.delete(entry.key);
    owner.head = entry.next;
    owner.count--;
    if (owner.head === null) {
      owner.tail = null;
      this.#owners.delete(owner.name);
    }
  }
}
