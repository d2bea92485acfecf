/**
 * Certificates made to measure, honest and malformed, with P-256 keys unless told otherwise.
 *
 * @module
 */

import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { fingerprintOf, parseCertificate } from '../identity/certificate.js';
import { EXTENSION, KEY_PURPOSE } from '../identity/extensions.js';
import { certificatesToPem } from '../identity/pem.js';
import {
  bits,
  integer,
  integerOf,
  NULL,
  objectIdentifier,
  octets,
  sequence,
  TRUE,
  tagged,
  time,
} from './der-writer.js';
import { distinguishedName } from './distinguished-name.js';
import { createKeyPair, type KeyKind, type KeyPair } from './keys.js';

/** Names of key usages (RFC 5280, section 4.2.1.3). */
export type KeyUsageName = 'digitalSignature' | 'keyEncipherment' | 'keyAgreement' | 'keyCertSign' | 'cRLSign';

/** A constraint on names: hosts for `uri`, domains for `dns`, `10.0.0.0/8` for `ip`. */
export type NameConstraint =
  | { readonly uri: string }
  | { readonly dns: string }
  | { readonly ip: string }
  | { readonly email: string };

/** An extension as it shall stand in the certificate; `value` is its DER. */
export interface RawExtension {
  readonly oid: string;
  readonly critical?: boolean;
  readonly value: Uint8Array;
}

/** What {@link mintCertificate} shall make. Every part may be wrong on purpose. */
export interface MintOptions {
  /** Attributes of the subject, outermost first, for example `{ O: 'acme', CN: 'planner' }`. Default `{ CN: 'minted' }`. */
  readonly subject?: Readonly<Record<string, string>>;
  /** Who signs. Default: the certificate itself. */
  readonly issuer?: MintedCertificate;
  /** The key pair to certify; several certificates over one key make cross-signed authorities. Default: a new one. */
  readonly key?: KeyPair;
  /** The kind of key that is made. Default `P-256`. */
  readonly keyKind?: KeyKind;
  /** Milliseconds since the Unix epoch. Default: 60 s ago. */
  readonly notBefore?: number;
  /** Milliseconds since the Unix epoch. Default: in one hour. */
  readonly notAfter?: number;
  /** Hexadecimal. Default: 16 random octets. */
  readonly serialNumber?: string;
  /** Version 1 has no extensions, whatever else is said. Default 3. */
  readonly version?: 1 | 3;
  /** `basicConstraints`; `undefined` leaves the extension out. */
  readonly ca?: boolean;
  readonly pathLength?: number;
  /** Default: none, and the extension is left out. */
  readonly keyUsage?: readonly KeyUsageName[];
  /** Object identifiers, or `clientAuth` and `serverAuth`. Default: none, and the extension is left out. */
  readonly extendedKeyUsage?: readonly string[];
  readonly uriNames?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly ipNames?: readonly string[];
  readonly permittedNames?: readonly NameConstraint[];
  readonly excludedNames?: readonly NameConstraint[];
  /** Further extensions, also unknown, critical or duplicate ones. */
  readonly extensions?: readonly RawExtension[];
  /** Default `sha256`; `sha1` makes a signature that must be refused. */
  readonly hash?: 'sha256' | 'sha384' | 'sha1';
}

/** A certificate with its private key. */
export interface MintedCertificate {
  readonly der: Uint8Array;
  readonly pem: string;
  readonly key: KeyPair;
  /** PKCS #8. */
  readonly privateKeyPem: string;
  /** `x5t#S256`. */
  readonly fingerprint: string;
}

const MINUTE_MS = 60_000;

/**
 * Makes a certificate, honest or malformed, and signs it. Nothing is checked: it exists so that refusals can be tested.
 *
 * @throws Error where the options cannot be encoded at all
 */
export function mintCertificate(options: MintOptions = {}): MintedCertificate {
  const key = options.key ?? createKeyPair(options.keyKind ?? 'P-256');
  const signer = options.issuer?.key ?? key;
  const publicKeyInfo = key.publicKey.export({ type: 'spki', format: 'der' });
  const signatureAlgorithm = algorithmOf(signer.privateKey, options.hash ?? 'sha256');
  const subject = distinguishedName(options.subject ?? { CN: 'minted' });
  const version = options.version ?? 3;
  const now = Date.now();
  const extensions = version === 3 ? extensionsOf(options, publicKeyInfo, signer) : [];
  const signed = sequence(
    ...(version === 3 ? [tagged(0, true, integer(2))] : []),
    integerOf(Buffer.from(options.serialNumber ?? `5a${randomBytes(15).toString('hex')}`, 'hex')),
    signatureAlgorithm,
    options.issuer === undefined ? subject : parseCertificate(options.issuer.der).subject,
    sequence(time(options.notBefore ?? now - MINUTE_MS), time(options.notAfter ?? now + 60 * MINUTE_MS)),
    subject,
    publicKeyInfo,
    ...(extensions.length > 0 ? [tagged(3, true, sequence(...extensions))] : []),
  );
  const hash = signer.privateKey.asymmetricKeyType === 'ed25519' ? null : (options.hash ?? 'sha256');
  const der = new Uint8Array(sequence(signed, signatureAlgorithm, bits(sign(hash, signed, signer.privateKey))));
  return {
    der,
    pem: certificatesToPem([der]),
    key,
    privateKeyPem: key.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    fingerprint: fingerprintOf(der),
  };
}

function extensionsOf(options: MintOptions, publicKeyInfo: Uint8Array, signer: KeyPair): Uint8Array[] {
  const extensions: Uint8Array[] = [];
  const add = (oid: string, critical: boolean, value: Uint8Array): void => {
    extensions.push(sequence(objectIdentifier(oid), ...(critical ? [TRUE] : []), octets(value)));
  };
  const { ca, pathLength, keyUsage, extendedKeyUsage, permittedNames, excludedNames } = options;
  if (ca !== undefined) {
    const limit = pathLength === undefined ? [] : [integer(pathLength)];
    add(EXTENSION.basicConstraints, true, sequence(...(ca ? [TRUE] : []), ...limit));
  }
  if (keyUsage !== undefined) add(EXTENSION.keyUsage, true, keyUsageBits(keyUsage));
  if (extendedKeyUsage !== undefined) {
    const purposes = extendedKeyUsage.map((name) => (KEY_PURPOSE as Readonly<Record<string, string>>)[name] ?? name);
    add(EXTENSION.extendedKeyUsage, false, sequence(...purposes.map(objectIdentifier)));
  }
  const names = [
    ...(options.uriNames ?? []).map((uri) => generalName({ uri })),
    ...(options.dnsNames ?? []).map((dns) => generalName({ dns })),
    ...(options.ipNames ?? []).map((ip) => generalName({ ip })),
  ];
  if (names.length > 0) add(EXTENSION.subjectAltName, false, sequence(...names));
  if (permittedNames !== undefined || excludedNames !== undefined) {
    const subtrees = (names: readonly NameConstraint[]) => names.map((name) => sequence(generalName(name)));
    const permitted = permittedNames === undefined ? [] : [tagged(0, true, ...subtrees(permittedNames))];
    const excluded = excludedNames === undefined ? [] : [tagged(1, true, ...subtrees(excludedNames))];
    add(EXTENSION.nameConstraints, true, sequence(...permitted, ...excluded));
  }
  add('2.5.29.14', false, octets(keyId(publicKeyInfo)));
  const authorityKeyId = keyId(signer.publicKey.export({ type: 'spki', format: 'der' }));
  add('2.5.29.35', false, sequence(tagged(0, false, authorityKeyId)));
  for (const { oid, critical, value } of options.extensions ?? []) add(oid, critical ?? false, value);
  return extensions;
}

/** Bits of KeyUsage (RFC 5280, section 4.2.1.3), counted from the first one. */
const USAGE_BITS: Readonly<Record<KeyUsageName, number>> = {
  digitalSignature: 0,
  keyEncipherment: 2,
  keyAgreement: 4,
  keyCertSign: 5,
  cRLSign: 6,
};

function keyUsageBits(names: readonly KeyUsageName[]): Uint8Array {
  let flags = 0;
  let last = -1;
  for (const name of names) {
    flags |= 0x80 >> USAGE_BITS[name];
    last = Math.max(last, USAGE_BITS[name]);
  }
  return last < 0 ? bits(Buffer.alloc(0)) : bits(Buffer.of(flags), 7 - last);
}

/** GeneralName (RFC 5280, section 4.2.1.6). An `ip` with a prefix length has its mask behind the address. */
function generalName(name: NameConstraint): Uint8Array {
  if ('uri' in name) return tagged(6, false, Buffer.from(name.uri, 'latin1'));
  if ('dns' in name) return tagged(2, false, Buffer.from(name.dns, 'latin1'));
  if ('email' in name) return tagged(1, false, Buffer.from(name.email, 'latin1'));
  const [address = '', prefix] = name.ip.split('/');
  const bytes = addressBytes(address);
  if (prefix === undefined) return tagged(7, false, bytes);
  const mask = bytes.map((_, index) => 0xff & ~(0xff >> Math.max(0, Math.min(8, Number(prefix) - index * 8))));
  return tagged(7, false, bytes, mask);
}

function addressBytes(address: string): Uint8Array {
  if (!address.includes(':')) return Uint8Array.from(address.split('.').map(Number));
  const [head = '', tail = ''] = address.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const missing = 8 - groups(head).length - groups(tail).length;
  const all = address.includes('::') ? [...groups(head), ...Array(missing).fill('0'), ...groups(tail)] : groups(head);
  return Uint8Array.from(all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 0xff]));
}

function algorithmOf(key: KeyObject, hash: 'sha256' | 'sha384' | 'sha1'): Uint8Array {
  const kind = key.asymmetricKeyType;
  if (kind === 'ed25519') return sequence(objectIdentifier('1.3.101.112'));
  if (kind === 'rsa') {
    const rsa = { sha256: '1.2.840.113549.1.1.11', sha384: '1.2.840.113549.1.1.12', sha1: '1.2.840.113549.1.1.5' };
    return sequence(objectIdentifier(rsa[hash]), NULL);
  }
  const ecdsa = { sha256: '1.2.840.10045.4.3.2', sha384: '1.2.840.10045.4.3.3', sha1: '1.2.840.10045.4.1' };
  return sequence(objectIdentifier(ecdsa[hash]));
}

/** Key identifier by the first method of RFC 7093: the left 160 bits of SHA-256. */
function keyId(publicKeyInfo: Uint8Array): Uint8Array {
  return createHash('sha256').update(publicKeyInfo).digest().subarray(0, 20);
}
