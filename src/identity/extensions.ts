/**
 * The X.509 extensions that decide who may speak as whom (RFC 5280, section 4.2.1): read, not judged.
 *
 * @module
 */

import { bodyOf, childrenOf, DerError, type DerNode, expectTag, oidOf, readDer, TAG } from './der.js';

/** Object identifiers of the extensions that are read; any other one that is critical refuses its certificate. */
export const EXTENSION = {
  keyUsage: '2.5.29.15',
  subjectAltName: '2.5.29.17',
  basicConstraints: '2.5.29.19',
  nameConstraints: '2.5.29.30',
  extendedKeyUsage: '2.5.29.37',
} as const;

/** Object identifiers of extended key usages. */
export const KEY_PURPOSE = { serverAuth: '1.3.6.1.5.5.7.3.1', clientAuth: '1.3.6.1.5.5.7.3.2' } as const;

/** Kinds of general name, in the order of their tags (RFC 5280, section 4.2.1.6). */
const NAME_KINDS = ['other', 'email', 'dns', 'x400', 'directory', 'edi', 'uri', 'ip', 'registered'] as const;
const CONSTRUCTED_KINDS: readonly NameKind[] = ['other', 'x400', 'directory', 'edi'];
export type NameKind = (typeof NAME_KINDS)[number];

/** One general name. */
export interface GeneralName {
  readonly kind: NameKind;
  /** The content octets. */
  readonly bytes: Uint8Array;
  /** The content as text, one character per octet; only e-mail, DNS and URI names are texts. */
  readonly text: string;
}

/** A subtree of names (RFC 5280, section 4.2.1.10). */
export interface Subtree {
  readonly name: GeneralName;
  /** Whether it uses `minimum` or `maximum`, which RFC 5280 forbids. */
  readonly bounded: boolean;
}

export interface NameConstraints {
  readonly permitted: readonly Subtree[];
  readonly excluded: readonly Subtree[];
}

export interface BasicConstraints {
  readonly ca: boolean;
  readonly pathLength: number | null;
}

/** Key usages as they were asserted. */
export interface KeyUsage {
  readonly digitalSignature: boolean;
  readonly keyCertSign: boolean;
  readonly crlSign: boolean;
}

export function readBasicConstraints(value: Uint8Array): BasicConstraints {
  const items = childrenOf(value, expectTag(readDer(value), TAG.sequence, 'basicConstraints'));
  const flag = items[0]?.tag === TAG.boolean ? items.shift() : undefined;
  const length = items.shift();
  if (items.length > 0) throw new DerError('malformed basicConstraints');
  return {
    ca: flag !== undefined && value[flag.body] === 0xff,
    pathLength: length === undefined ? null : smallInteger(value, length),
  };
}

export function readKeyUsage(value: Uint8Array): KeyUsage {
  const bits = value[expectTag(readDer(value), TAG.bitString, 'keyUsage').body + 1] ?? 0;
  return { digitalSignature: (bits & 0x80) !== 0, keyCertSign: (bits & 0x04) !== 0, crlSign: (bits & 0x02) !== 0 };
}

export function readExtendedKeyUsage(value: Uint8Array): readonly string[] {
  const purposes = childrenOf(value, expectTag(readDer(value), TAG.sequence, 'extKeyUsage')).map((n) =>
    oidOf(value, n),
  );
  if (purposes.length === 0) throw new DerError('extKeyUsage is empty');
  return purposes;
}

export function readSubjectAltName(value: Uint8Array): readonly GeneralName[] {
  const names = childrenOf(value, expectTag(readDer(value), TAG.sequence, 'subjectAltName'));
  if (names.length === 0) throw new DerError('subjectAltName is empty');
  return names.map((node) => generalName(value, node));
}

export function readNameConstraints(value: Uint8Array): NameConstraints {
  const lists = childrenOf(value, expectTag(readDer(value), TAG.sequence, 'nameConstraints'));
  const read = (tag: number): readonly Subtree[] => {
    if (lists[0]?.tag !== tag) return [];
    const subtrees = childrenOf(value, lists.shift() as DerNode);
    if (subtrees.length === 0) throw new DerError('nameConstraints has an empty list');
    return subtrees.map((node) => subtree(value, node));
  };
  if (lists.length === 0) throw new DerError('nameConstraints is empty');
  const permitted = read(0xa0);
  const excluded = read(0xa1);
  if (lists.length > 0) throw new DerError('malformed nameConstraints');
  return { permitted, excluded };
}

function subtree(bytes: Uint8Array, node: DerNode): Subtree {
  const [base, ...bounds] = childrenOf(bytes, expectTag(node, TAG.sequence, 'a subtree'));
  if (base === undefined) throw new DerError('a subtree without a name');
  return { name: generalName(bytes, base), bounded: bounds.length > 0 };
}

function generalName(bytes: Uint8Array, node: DerNode): GeneralName {
  const kind = (node.tag & 0xc0) === 0x80 ? NAME_KINDS[node.tag & 0x1f] : undefined;
  if (kind === undefined || ((node.tag & 0x20) !== 0) !== CONSTRUCTED_KINDS.includes(kind)) {
    throw new DerError('a name of unknown kind');
  }
  const content = bodyOf(bytes, node);
  const isText = kind === 'uri' || kind === 'dns' || kind === 'email';
  return { kind, bytes: content, text: isText ? Buffer.from(content).toString('latin1') : '' };
}

function smallInteger(bytes: Uint8Array, node: DerNode): number {
  expectTag(node, TAG.integer, 'pathLenConstraint');
  const value = bytes[node.body] ?? 0xff;
  if (node.end - node.body !== 1 || value > 0x7f) throw new DerError('a path length out of range');
  return value;
}
