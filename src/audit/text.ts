/**
 * Text from the network made fit for a log line.
 *
 * @module
 */

const LONGEST = 512;
// Control characters and the bidirectional marks by which a line can be made to read as another.
const UNSAFE = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff\ufff9-\ufffb]/gu;

// By far most texts: nothing in them needs a look.
const PLAIN = /^[\x20-\x7e]*$/;

/** `text` with control and bidirectional characters escaped as `\uXXXX`, at most 512 characters long. */
export function safeText(text: string): string {
  if (text.length <= LONGEST && PLAIN.test(text)) return text;
  const bounded = text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
  return bounded.replace(UNSAFE, (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
