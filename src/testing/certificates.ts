/**
 * Certificates made to measure, honest and malformed, with P-256 keys unless told otherwise.
 *
 * @module
 */

import { createHash, type KeyObject, randomBytes, sign } from 'node:crypto';
import { AsnConvert, OctetString } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AuthorityKeyIdentifier,
  BasicConstraints,
  Certificate,
  ExtendedKeyUsage,
  Extension,
  Extensions,
  GeneralName,
  GeneralSubtree,
  GeneralSubtrees,
  KeyIdentifier,
  KeyUsage,
  KeyUsageFlags,
  type Name,
  NameConstraints,
  SubjectAlternativeName,
  SubjectKeyIdentifier,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Time,
  Validity,
  Version,
} from '@peculiar/asn1-x509';
import { fingerprintOf } from '../identity/certificate.js';
import { EXTENSION, KEY_PURPOSE } from '../identity/extensions.js';
import { certificatesToPem } from '../identity/pem.js';
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
  const tbs = new TBSCertificate({
    version: version === 3 ? Version.v3 : Version.v1,
    serialNumber: integer(options.serialNumber ?? `5a${randomBytes(15).toString('hex')}`),
    signature: signatureAlgorithm,
    issuer: options.issuer === undefined ? subject : subjectOf(options.issuer.der),
    validity: new Validity(),
    subject,
    subjectPublicKeyInfo: AsnConvert.parse(publicKeyInfo, SubjectPublicKeyInfo),
  });
  tbs.validity.notBefore = new Time(new Date(options.notBefore ?? now - MINUTE_MS));
  tbs.validity.notAfter = new Time(new Date(options.notAfter ?? now + 60 * MINUTE_MS));
  if (version === 3) {
    const extensions = extensionsOf(options, publicKeyInfo, signer);
    if (extensions.length > 0) tbs.extensions = new Extensions(extensions);
  }
  const signed = new Uint8Array(AsnConvert.serialize(tbs));
  const hash = signer.privateKey.asymmetricKeyType === 'ed25519' ? null : (options.hash ?? 'sha256');
  const certificate = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm,
    signatureValue: arrayBuffer(sign(hash, signed, signer.privateKey)),
  });
  const der = new Uint8Array(AsnConvert.serialize(certificate));
  return {
    der,
    pem: certificatesToPem([der]),
    key,
    privateKeyPem: key.privateKey.export({ type: 'pkcs8', format: 'pem' }) as string,
    fingerprint: fingerprintOf(der),
  };
}

function extensionsOf(options: MintOptions, publicKeyInfo: Uint8Array, signer: KeyPair): Extension[] {
  const extensions: Extension[] = [];
  const add = (oid: string, critical: boolean, value: object | Uint8Array): void => {
    const bytes = value instanceof Uint8Array ? value : new Uint8Array(AsnConvert.serialize(value));
    extensions.push(new Extension({ extnID: oid, critical, extnValue: new OctetString(bytes) }));
  };
  const { ca, pathLength, keyUsage, extendedKeyUsage, permittedNames, excludedNames } = options;
  if (ca !== undefined) {
    const limit = pathLength === undefined ? {} : { pathLenConstraint: pathLength };
    add(EXTENSION.basicConstraints, true, new BasicConstraints({ cA: ca, ...limit }));
  }
  if (keyUsage !== undefined) {
    add(EXTENSION.keyUsage, true, new KeyUsage(keyUsage.reduce((flags, name) => flags | KeyUsageFlags[name], 0)));
  }
  if (extendedKeyUsage !== undefined) {
    const purposes = extendedKeyUsage.map((name) => (KEY_PURPOSE as Readonly<Record<string, string>>)[name] ?? name);
    add(EXTENSION.extendedKeyUsage, false, new ExtendedKeyUsage(purposes));
  }
  const names = [
    ...(options.uriNames ?? []).map((uri) => new GeneralName({ uniformResourceIdentifier: uri })),
    ...(options.dnsNames ?? []).map((dns) => new GeneralName({ dNSName: dns })),
    ...(options.ipNames ?? []).map((ip) => new GeneralName({ iPAddress: ip })),
  ];
  if (names.length > 0) add(EXTENSION.subjectAltName, false, new SubjectAlternativeName(names));
  if (permittedNames !== undefined || excludedNames !== undefined) {
    const constraints = new NameConstraints();
    if (permittedNames !== undefined) constraints.permittedSubtrees = subtrees(permittedNames);
    if (excludedNames !== undefined) constraints.excludedSubtrees = subtrees(excludedNames);
    add(EXTENSION.nameConstraints, true, constraints);
  }
  add('2.5.29.14', false, new SubjectKeyIdentifier(keyId(publicKeyInfo)));
  const authorityKeyId = keyId(signer.publicKey.export({ type: 'spki', format: 'der' }));
  add('2.5.29.35', false, new AuthorityKeyIdentifier({ keyIdentifier: new KeyIdentifier(authorityKeyId) }));
  for (const { oid, critical, value } of options.extensions ?? []) add(oid, critical ?? false, value);
  return extensions;
}

function subtrees(constraints: readonly NameConstraint[]): GeneralSubtrees {
  return new GeneralSubtrees(
    constraints.map((constraint) => {
      if ('uri' in constraint)
        return new GeneralSubtree({ base: new GeneralName({ uniformResourceIdentifier: constraint.uri }) });
      if ('dns' in constraint) return new GeneralSubtree({ base: new GeneralName({ dNSName: constraint.dns }) });
      if ('ip' in constraint) return new GeneralSubtree({ base: new GeneralName({ iPAddress: constraint.ip }) });
      return new GeneralSubtree({ base: new GeneralName({ rfc822Name: constraint.email }) });
    }),
  );
}

function algorithmOf(key: KeyObject, hash: 'sha256' | 'sha384' | 'sha1'): AlgorithmIdentifier {
  const kind = key.asymmetricKeyType;
  if (kind === 'ed25519') return new AlgorithmIdentifier({ algorithm: '1.3.101.112' });
  if (kind === 'rsa') {
    const oid = { sha256: '1.2.840.113549.1.1.11', sha384: '1.2.840.113549.1.1.12', sha1: '1.2.840.113549.1.1.5' }[
      hash
    ];
    return new AlgorithmIdentifier({ algorithm: oid, parameters: Uint8Array.of(5, 0).buffer });
  }
  const oid = { sha256: '1.2.840.10045.4.3.2', sha384: '1.2.840.10045.4.3.3', sha1: '1.2.840.10045.4.1' }[hash];
  return new AlgorithmIdentifier({ algorithm: oid });
}

function subjectOf(der: Uint8Array): Name {
  return AsnConvert.parse(arrayBuffer(der), Certificate).tbsCertificate.subject;
}

/** Key identifier by the first method of RFC 7093: the left 160 bits of SHA-256. */
function keyId(publicKeyInfo: Uint8Array): ArrayBuffer {
  return arrayBuffer(createHash('sha256').update(publicKeyInfo).digest().subarray(0, 20));
}

function integer(hex: string): ArrayBuffer {
  return arrayBuffer(Buffer.from(hex, 'hex'));
}

function arrayBuffer(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}
