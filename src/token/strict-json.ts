/**
 * JSON as a security boundary needs it (RFC 8259 read the strict way of RFC 7493, I-JSON): one text, one meaning.
 *
 * @module
 */

import { isUtf8 } from 'node:buffer';

/** Any JSON value; objects have no inherited members and everything is frozen. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

/** A JSON object: frozen, own members only. */
export interface JsonObject {
  readonly [name: string]: JsonValue | undefined;
}

/** What a parse came to. `problem` never quotes the input. */
export type JsonResult = { readonly value: JsonValue } | { readonly problem: string };

/** Bounds of a parse. */
export interface JsonLimits {
  readonly maxBytes: number;
  /** Greatest nesting of objects and arrays. Default 16. */
  readonly maxDepth?: number;
}

const DEFAULT_MAX_DEPTH = 16;
const ESCAPED_SURROGATE = /\\u[dD][89a-fA-F]/;

// Objects made by this constructor keep V8's compact shapes, which `Object.create(null)` loses, and still inherit nothing.
const Bare = function Bare() {} as unknown as { new (): Record<string, JsonValue>; prototype: object };
Bare.prototype = Object.freeze(Object.create(null) as object);

/** A new object that inherits no members. */
export function bareObject(): Record<string, JsonValue> {
  return new Bare();
}

/**
 * Parses bytes into a frozen value. Refuses: more than `maxBytes`, malformed UTF-8 (overlong forms and encoded surrogates
 * included), a byte order mark, lone surrogates even where escaped, a member name twice in one object at any depth, a
 * member named `__proto__`, nesting beyond `maxDepth`, numbers beyond the range of a double, and whatever else is not JSON.
 *
 * Does not check that integers are safe, nor anything about the meaning of the value.
 */
export function parseStrictJson(bytes: Uint8Array, limits: JsonLimits): JsonResult {
  if (bytes.length > limits.maxBytes) return { problem: `longer than ${limits.maxBytes} bytes` };
  if (!isUtf8(bytes)) return { problem: 'not UTF-8' };
  const text = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8');
  const members = countMembers(text, limits.maxDepth ?? DEFAULT_MAX_DEPTH);
  if (members < 0) return { problem: 'nested too deeply' };
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return { problem: 'not JSON' };
  }
  const builder = new Builder(ESCAPED_SURROGATE.test(text));
  const value = builder.build(raw);
  if (builder.problem !== null) return { problem: builder.problem };
  // `JSON.parse` keeps the last of two members with one name, so that a duplicate shows as a member that went missing.
  if (builder.members !== members) return { problem: 'a member name stands twice in one object' };
  return { value };
}

/** Whether a value is an object (not an array, not null). */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COLON = 0x3a;
const OPEN_BRACE = 0x7b;
const CLOSE_BRACE = 0x7d;
const OPEN_BRACKET = 0x5b;
const CLOSE_BRACKET = 0x5d;

/** The number of members written in a JSON text, or -1 beyond `maxDepth`. Exact for valid JSON, which is settled afterwards. */
function countMembers(text: string, maxDepth: number): number {
  let members = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    switch (text.charCodeAt(i)) {
      case QUOTE: {
        for (i++; i < text.length; i++) {
          const code = text.charCodeAt(i);
          if (code === QUOTE) break;
          if (code === BACKSLASH) i++;
        }
        break;
      }
      case COLON:
        members++;
        break;
      case OPEN_BRACE:
      case OPEN_BRACKET:
        if (++depth > maxDepth) return -1;
        break;
      case CLOSE_BRACE:
      case CLOSE_BRACKET:
        depth--;
        break;
    }
  }
  return members;
}

/** Copies a parsed value into frozen objects without a prototype, counting members. */
class Builder {
  members = 0;
  problem: string | null = null;
  readonly #surrogates: boolean;

  constructor(surrogates: boolean) {
    this.#surrogates = surrogates;
  }

  build(raw: unknown): JsonValue {
    if (typeof raw === 'string') return this.#text(raw);
    if (typeof raw === 'number') {
      if (!Number.isFinite(raw)) this.problem = 'a number out of range';
      return raw;
    }
    if (typeof raw !== 'object' || raw === null) return raw as boolean | null;
    if (Array.isArray(raw)) return Object.freeze(raw.map((item: unknown) => this.build(item)));
    const made = bareObject();
    for (const name of Object.keys(raw)) {
      if (name === '__proto__') this.problem = 'a member named __proto__';
      else made[this.#text(name)] = this.build((raw as Record<string, unknown>)[name]);
      this.members++;
    }
    return Object.freeze(made);
  }

  #text(text: string): string {
    if (this.#surrogates && !text.isWellFormed()) this.problem = 'a lone surrogate';
    return text;
  }
}
