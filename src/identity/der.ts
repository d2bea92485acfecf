/**
 * Strict DER (X.690, section 10): what is not the one canonical encoding is refused. Parsers that accept BER can be
 * made to see different certificates in the same bytes; with one encoding there is nothing to differ about.
 *
 * @module
 */

const DEEPEST = 24;

/** One element, as offsets into the bytes it was read from. */
export interface DerNode {
  /** The identifier octet. */
  readonly tag: number;
  /** Where the element, with its header, starts. */
  readonly start: number;
  /** Where its content starts. */
  readonly body: number;
  /** Where the element ends. */
  readonly end: number;
}

/** Tags that certificates are made of. */
export const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** Thrown where bytes are not DER, or not the structure that was asked for. */
export class DerError extends Error {
  override readonly name = 'DerError';
}

/** Reads one element at `at`; it must end within `limit`. */
function readNode(bytes: Uint8Array, at: number, limit: number): DerNode {
  const tag = bytes[at];
  let length = bytes[at + 1];
  if (tag === undefined || length === undefined || at + 2 > limit) throw new DerError('an element is cut short');
  if ((tag & 0x1f) === 0x1f) throw new DerError('a tag of several bytes');
  let body = at + 2;
  if (length >= 0x80) {
    const count = length & 0x7f;
    if (count === 0) throw new DerError('an indefinite length');
    if (count > 3 || body + count > limit) throw new DerError('a length beyond the end');
    length = 0;
    for (let i = 0; i < count; i++) length = length * 256 + (bytes[body + i] ?? 0);
    if (bytes[body] === 0 || length < 0x80) throw new DerError('a length not in its shortest form');
    body += count;
  }
  if (body + length > limit) throw new DerError('a length beyond the end');
  return { tag, start: at, body, end: body + length };
}

/** The one element that `bytes` are, all of them, checked to be DER down to its leaves. */
export function readDer(bytes: Uint8Array): DerNode {
  const node = readNode(bytes, 0, bytes.length);
  if (node.end !== bytes.length) throw new DerError('bytes after the end');
  check(bytes, node, 0);
  return node;
}

/** The elements within a constructed element. */
export function childrenOf(bytes: Uint8Array, node: DerNode): DerNode[] {
  if ((node.tag & 0x20) === 0) throw new DerError('a primitive element where a constructed one belongs');
  const children: DerNode[] = [];
  for (let at = node.body; at < node.end; ) {
    const child = readNode(bytes, at, node.end);
    children.push(child);
    at = child.end;
  }
  return children;
}

/** The whole element, header included. A view, not a copy. */
export function rawOf(bytes: Uint8Array, node: DerNode): Uint8Array {
  return bytes.subarray(node.start, node.end);
}

/** The content of an element. A view, not a copy. */
export function bodyOf(bytes: Uint8Array, node: DerNode): Uint8Array {
  return bytes.subarray(node.body, node.end);
}

/** Demands an element with this tag. */
export function expectTag(node: DerNode | undefined, tag: number, what: string): DerNode {
  if (node?.tag !== tag) throw new DerError(`${what} is missing or of another type`);
  return node;
}

/** An object identifier in dotted form; arcs may have any size. */
export function oidOf(bytes: Uint8Array, node: DerNode): string {
  expectTag(node, TAG.oid, 'an object identifier');
  const arcs: string[] = [];
  let arc = 0n;
  for (let at = node.body; at < node.end; at++) {
    const byte = bytes[at] ?? 0;
    arc = (arc << 7n) | BigInt(byte & 0x7f);
    if (byte >= 0x80) continue;
    if (arcs.length === 0) {
      const first = arc < 80n ? arc / 40n : 2n;
      arcs.push(String(first), String(arc - first * 40n));
    } else arcs.push(String(arc));
    arc = 0n;
  }
  return arcs.join('.');
}

function check(bytes: Uint8Array, node: DerNode, depth: number): void {
  if (depth > DEEPEST) throw new DerError('elements nested too deeply');
  const { tag, body, end } = node;
  const constructed = (tag & 0x20) !== 0;
  const universal = (tag & 0xc0) === 0;
  if (universal && constructed !== ((tag & 0x1f) === 0x10 || (tag & 0x1f) === 0x11)) {
    throw new DerError('a constructed string, or a primitive sequence');
  }
  if (constructed) {
    for (const child of childrenOf(bytes, node)) check(bytes, child, depth + 1);
    return;
  }
  if (!universal) return;
  const first = bytes[body];
  const length = end - body;
  switch (tag) {
    case TAG.boolean:
      if (length !== 1 || (first !== 0 && first !== 0xff)) throw new DerError('a boolean that is neither 00 nor FF');
      return;
    case TAG.integer: {
      const second = bytes[body + 1] ?? 0;
      if (length === 0) throw new DerError('an empty integer');
      if (length > 1 && ((first === 0 && second < 0x80) || (first === 0xff && second >= 0x80))) {
        throw new DerError('an integer not in its shortest form');
      }
      return;
    }
    case TAG.bitString: {
      const unused = first ?? 8;
      if (unused > 7 || (unused > 0 && length === 1)) throw new DerError('a malformed bit string');
      if (unused > 0 && ((bytes[end - 1] ?? 0) & ((1 << unused) - 1)) !== 0)
        throw new DerError('padding bits that are set');
      return;
    }
    case TAG.null:
      if (length !== 0) throw new DerError('a null with content');
      return;
    case TAG.oid: {
      if (length === 0 || (bytes[end - 1] ?? 0x80) >= 0x80) throw new DerError('a malformed object identifier');
      for (let at = body; at < end; at++) {
        if (bytes[at] === 0x80 && (at === body || (bytes[at - 1] ?? 0) < 0x80)) {
          throw new DerError('an object identifier not in its shortest form');
        }
      }
      return;
    }
    default:
  }
}
