/**
 * Writes DER (X.690): just what a certificate is made of, malformed ones included.
 *
 * @module
 */

/** Bytes of one element: tag, length, content. */
export function element(tag: number, ...contents: readonly Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const { length } = content;
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), content]);
  const octets: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) octets.unshift(rest % 256);
  return Buffer.concat([Buffer.of(tag, 0x80 | octets.length, ...octets), content]);
}

/** SEQUENCE. */
export const sequence = (...contents: readonly Uint8Array[]): Buffer => element(0x30, ...contents);

/** SET OF with one member. */
export const setOf = (content: Uint8Array): Buffer => element(0x31, content);

/** OCTET STRING. */
export const octets = (content: Uint8Array): Buffer => element(0x04, content);

/** BIT STRING of whole octets, or with this many unused bits at its end. */
export const bits = (content: Uint8Array, unused = 0): Buffer => element(0x03, Buffer.of(unused), content);

/** UTF8String. */
export const utf8 = (text: string): Buffer => element(0x0c, Buffer.from(text, 'utf8'));

/** BOOLEAN TRUE; FALSE is the default wherever it is used here, and defaults are not written. */
export const TRUE: Uint8Array = element(0x01, Buffer.of(0xff));

/** NULL. */
export const NULL: Uint8Array = element(0x05);

/** INTEGER from its octets exactly as they are given. */
export const integerOf = (content: Uint8Array): Buffer => element(0x02, content);

/** INTEGER, not negative. */
export function integer(value: number): Buffer {
  const hex = value.toString(16);
  const content = Buffer.from(hex.length % 2 === 0 ? hex : `0${hex}`, 'hex');
  return integerOf((content[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.of(0), content]) : content);
}

/** A context-specific element: `[number]`, constructed or primitive. */
export const tagged = (number: number, constructed: boolean, ...contents: readonly Uint8Array[]): Buffer =>
  element(0x80 | (constructed ? 0x20 : 0) | number, ...contents);

/** OBJECT IDENTIFIER from its dotted form; arcs of any size. */
export function objectIdentifier(dotted: string): Buffer {
  const [first = 0n, second = 0n, ...rest] = dotted.split('.').map(BigInt);
  const content: number[] = [];
  for (const arc of [first * 40n + second, ...rest]) {
    const groups: number[] = [];
    for (let left = arc; groups.length === 0 || left > 0n; left >>= 7n) groups.unshift(Number(left & 0x7fn));
    content.push(...groups.map((group, index) => (index === groups.length - 1 ? group : group | 0x80)));
  }
  return element(0x06, Buffer.from(content));
}

/** UTCTime through 2049, GeneralizedTime from then on (RFC 5280, section 4.1.2.5). `ms` since the Unix epoch. */
export function time(ms: number): Buffer {
  const date = new Date(ms);
  const digits = `${date.toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  const utc = date.getUTCFullYear() < 2050;
  return element(utc ? 0x17 : 0x18, Buffer.from(utc ? digits.slice(2) : digits, 'latin1'));
}
