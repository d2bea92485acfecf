/**
 * An X.509 certificate as the checks of this room see it: strict DER, fields apart, nothing judged yet but form.
 *
 * @module
 */

import { createHash, X509Certificate } from 'node:crypto';
import { bodyOf, childrenOf, DerError, type DerNode, expectTag, oidOf, rawOf, readDer, TAG } from './der.js';
import {
  type BasicConstraints,
  EXTENSION,
  type GeneralName,
  type KeyUsage,
  type NameConstraints,
  readBasicConstraints,
  readExtendedKeyUsage,
  readKeyUsage,
  readNameConstraints,
  readSubjectAltName,
} from './extensions.js';
import { readTime } from './time.js';

const LARGEST = 64 * 1024;
const READ: ReadonlySet<string> = new Set(Object.values(EXTENSION));

/** The fields of a certificate. Byte fields are views into `der`. */
export interface Certificate {
  readonly der: Uint8Array;
  readonly version: number;
  /** Upper-case hexadecimal. */
  readonly serialNumber: string;
  /** The distinguished names as they were encoded; compared as bytes, never normalised. */
  readonly issuer: Uint8Array;
  readonly subject: Uint8Array;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
  /** Milliseconds since the Unix epoch; valid up to and including it. */
  readonly notAfter: number;
  /** SubjectPublicKeyInfo. */
  readonly publicKeyInfo: Uint8Array;
  /** AlgorithmIdentifier of the signature. */
  readonly signatureAlgorithm: Uint8Array;
  readonly basicConstraints: BasicConstraints | null;
  readonly keyUsage: KeyUsage | null;
  readonly extendedKeyUsage: readonly string[] | null;
  readonly names: readonly GeneralName[];
  readonly nameConstraints: NameConstraints | null;
  /** Object identifiers of all extensions. */
  readonly extensions: ReadonlySet<string>;
  /** Critical extensions that nobody here processes. */
  readonly unprocessed: readonly string[];
}

/**
 * Parses a certificate. Checks form only: strict DER with nothing after it, at most 64 KiB, equal inner and outer
 * signature algorithms, a positive serial number of at most 20 octets, times as RFC 5280 (section 4.1.2.5) writes
 * them, no extension twice, extensions in version 3 only. Not checked: signature, validity, usage.
 *
 * @throws DerError with what is malformed
 */
export function parseCertificate(der: Uint8Array): Certificate {
  if (der.length > LARGEST) throw new DerError(`a certificate of more than ${LARGEST} bytes`);
  const [tbs, outerAlgorithm, signature, ...rest] = childrenOf(
    der,
    expectTag(readDer(der), TAG.sequence, 'the certificate'),
  );
  if (rest.length > 0) throw new DerError('a certificate of more than three parts');
  expectTag(outerAlgorithm, TAG.sequence, 'the signature algorithm');
  expectTag(signature, TAG.bitString, 'the signature');

  const fields = childrenOf(der, expectTag(tbs, TAG.sequence, 'the signed part'));
  const version = fields[0]?.tag === 0xa0 ? versionOf(der, fields.shift() as DerNode) : 1;
  const serial = expectTag(fields.shift(), TAG.integer, 'the serial number');
  const algorithm = expectTag(fields.shift(), TAG.sequence, 'the inner signature algorithm');
  const issuer = expectTag(fields.shift(), TAG.sequence, 'the issuer');
  const validity = childrenOf(der, expectTag(fields.shift(), TAG.sequence, 'the validity'));
  const subject = expectTag(fields.shift(), TAG.sequence, 'the subject');
  const publicKeyInfo = expectTag(fields.shift(), TAG.sequence, 'the public key');
  if (fields[0]?.tag === 0x81) fields.shift();
  if (fields[0]?.tag === 0x82) fields.shift();
  const extensions = fields[0]?.tag === 0xa3 ? extensionsOf(der, fields.shift() as DerNode) : NO_EXTENSIONS;
  if (fields.length > 0) throw new DerError('unknown fields in the signed part');
  if (extensions.size > 0 && version !== 3) throw new DerError('extensions in a certificate that is not version 3');

  const signatureAlgorithm = rawOf(der, algorithm);
  if (!sameBytes(signatureAlgorithm, rawOf(der, outerAlgorithm as DerNode))) {
    throw new DerError('two different signature algorithms');
  }
  if (validity.length !== 2) throw new DerError('a malformed validity');

  const read = <T>(oid: string, reader: (value: Uint8Array) => T): T | null => {
    const extension = extensions.get(oid);
    return extension === undefined ? null : reader(extension.value);
  };
  return {
    der,
    version,
    serialNumber: serialOf(bodyOf(der, serial)),
    issuer: rawOf(der, issuer),
    subject: rawOf(der, subject),
    notBefore: readTime(der, validity[0]),
    notAfter: readTime(der, validity[1]),
    publicKeyInfo: rawOf(der, publicKeyInfo),
    signatureAlgorithm,
    basicConstraints: read(EXTENSION.basicConstraints, readBasicConstraints),
    keyUsage: read(EXTENSION.keyUsage, readKeyUsage),
    extendedKeyUsage: read(EXTENSION.extendedKeyUsage, readExtendedKeyUsage),
    names: read(EXTENSION.subjectAltName, readSubjectAltName) ?? [],
    nameConstraints: read(EXTENSION.nameConstraints, readNameConstraints),
    extensions: new Set(extensions.keys()),
    unprocessed: [...extensions].filter(([oid, { critical }]) => critical && !READ.has(oid)).map(([oid]) => oid),
  };
}

/**
 * The certificate as Node sees it, for its signature and key.
 *
 * @throws DerError when Node sees another certificate than these bytes: it looks for PEM within them first, so a
 *   certificate that carries the PEM text of another one would have that one's signature verified in place of its own
 */
export function nodeCertificate(certificate: Certificate): X509Certificate {
  let parsed: X509Certificate;
  try {
    parsed = new X509Certificate(certificate.der);
  } catch {
    throw new DerError('a certificate that OpenSSL cannot read');
  }
  if (!sameBytes(parsed.raw, certificate.der)) throw new DerError('a certificate with another one hidden in it');
  return parsed;
}

/** `x5t#S256`: SHA-256 of the DER, base64url without padding (RFC 8705, section 3.1). */
export function fingerprintOf(der: Uint8Array): string {
  return createHash('sha256').update(der).digest('base64url');
}

export function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  return Buffer.compare(a, b) === 0;
}

/** Whether subject and issuer are one name. */
export function isSelfIssued(certificate: Certificate): boolean {
  return sameBytes(certificate.issuer, certificate.subject);
}

interface Extension {
  readonly critical: boolean;
  readonly value: Uint8Array;
}

const NO_EXTENSIONS: ReadonlyMap<string, Extension> = new Map();

function extensionsOf(der: Uint8Array, node: DerNode): ReadonlyMap<string, Extension> {
  const [list, ...more] = childrenOf(der, node);
  if (more.length > 0) throw new DerError('malformed extensions');
  const extensions = new Map<string, Extension>();
  for (const item of childrenOf(der, expectTag(list, TAG.sequence, 'the list of extensions'))) {
    const parts = childrenOf(der, expectTag(item, TAG.sequence, 'an extension'));
    const oid = oidOf(der, expectTag(parts.shift(), TAG.oid, 'the name of an extension'));
    const flag = parts[0]?.tag === TAG.boolean ? parts.shift() : undefined;
    const value = expectTag(parts.shift(), TAG.octetString, `the value of extension ${oid}`);
    if (parts.length > 0) throw new DerError(`a malformed extension ${oid}`);
    if (extensions.has(oid)) throw new DerError(`extension ${oid} twice`);
    extensions.set(oid, { critical: flag !== undefined && der[flag.body] === 0xff, value: bodyOf(der, value) });
  }
  if (extensions.size === 0) throw new DerError('an empty list of extensions');
  return extensions;
}

function versionOf(der: Uint8Array, node: DerNode): number {
  const [number, ...more] = childrenOf(der, node);
  const value = der[expectTag(number, TAG.integer, 'the version').body];
  // Version 1 is the default, which DER leaves out.
  if (more.length > 0 || (number as DerNode).end - (number as DerNode).body !== 1 || (value !== 1 && value !== 2)) {
    throw new DerError('an unknown version');
  }
  return value + 1;
}

function serialOf(content: Uint8Array): string {
  const magnitude = content[0] === 0 ? content.subarray(1) : content;
  if (magnitude.length === 0 || (content[0] ?? 0) >= 0x80) throw new DerError('a serial number that is not positive');
  if (magnitude.length > 20) throw new DerError('a serial number of more than 20 octets');
  return Buffer.from(magnitude).toString('hex').toUpperCase();
}
