/**
 * One copy of what recurs from token to token.
 *
 * @module
 */

import type { JsonValue } from './strict-json.js';

const MAX_KEPT = 4096;
const MAX_LENGTH = 2048;

/**
 * Gives back an equal value that was seen before, so that a hundred thousand remembered tokens do not hold as many copies
 * of one subject or one list of grants. Bounded: it starts afresh when full. For verified values only.
 */
export class Interner {
  readonly #texts = new Map<string, string>();
  readonly #values = new Map<string, JsonValue>();

  text(text: string): string {
    return keep(this.#texts, text, text);
  }

  /** Objects and arrays that came out of the strict parser: frozen, so that sharing them is safe. */
  value<T extends JsonValue>(value: T): T {
    if (typeof value === 'string') return this.text(value) as T;
    if (typeof value !== 'object' || value === null) return value;
    return keep(this.#values, JSON.stringify(value), value) as T;
  }
}

function keep<T>(kept: Map<string, T>, key: string, value: T): T {
  const known = kept.get(key);
  if (known !== undefined) return known;
  if (key.length > MAX_LENGTH) return value;
  if (kept.size >= MAX_KEPT) kept.clear();
  kept.set(key, value);
  return value;
}
