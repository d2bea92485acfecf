/**
 * Key sets (RFC 7517): bytes or a value to public keys that are fit to verify signatures.
 *
 * @module
 */

import { createHash, createPublicKey, type KeyObject } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import { ConfigurationError, type Problem } from '../errors.js';
import { decodeBase64url } from './base64url.js';
import { isJsonObject, type JsonObject, type JsonValue, parseStrictJson } from './strict-json.js';
import type { SignatureAlgorithm } from './types.js';

/** One public key that may verify signatures. */
export interface VerificationKey {
  readonly kid: string;
  /** The algorithms it fits: by type, curve and its own `alg`. */
  readonly algorithms: readonly SignatureAlgorithm[];
  /** SHA-256 of its SubjectPublicKeyInfo, base64url: the same key has the same thumbprint under every `kid`. */
  readonly thumbprint: string;
  readonly key: KeyObject;
}

/** A parsed key set. */
export interface KeySet {
  readonly byId: ReadonlyMap<string, VerificationKey>;
  /** Whether it carries the mark of the test kit (`zerotrust_test`), on the set or on any key. */
  readonly test: boolean;
}

/** The member by which the test kit marks its keys. */
export const TEST_MARK = 'zerotrust_test';

/** Greatest size of a key set, bytes. */
export const MAX_JWKS_BYTES = 256 * 1024;
const MAX_KEYS = 256;
const MAX_KID = 256;
const MIN_RSA_BITS = 2048;
const MAX_RSA_BITS = 8192;
const MIN_RSA_EXPONENT = 65537n;
const MAX_RSA_EXPONENT = 2n ** 32n;

const RSA_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512'] as const;
const CURVES: Readonly<Record<string, { algorithms: readonly SignatureAlgorithm[]; coordinate: number }>> = {
  'P-256': { algorithms: ['ES256'], coordinate: 32 },
  'P-384': { algorithms: ['ES384'], coordinate: 48 },
  'P-521': { algorithms: ['ES512'], coordinate: 66 },
};

/** Every algorithm that may be chosen; `none` and HMAC cannot. */
export const SIGNATURE_ALGORITHMS: readonly SignatureAlgorithm[] = [
  'ES256',
  'ES384',
  'ES512',
  'EdDSA',
  'Ed25519',
  ...RSA_ALGORITHMS,
];

const PRIVATE_MEMBERS = ['d', 'p', 'q', 'dp', 'dq', 'qi', 'oth', 'k', 'priv'];

// Points of small order (and their non-canonical forms): under such a key signatures can be made without any private key.
const WEAK_ED25519 = new Set([
  '0000000000000000000000000000000000000000000000000000000000000000',
  '0100000000000000000000000000000000000000000000000000000000000000',
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
  'ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
  'eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f',
]);

type KeyResult = VerificationKey | { readonly problem: string } | null;

/**
 * Parses a key set from bytes or from a value, strictly: public keys only, each with a `kid` of its own, each strong
 * enough. Keys that are not for signatures (`use: "enc"`, another `kty`, `crv` or `alg` than is supported) are passed
 * over, as RFC 7517, section 5, asks; a private or symmetric key is an error, whatever it is for.
 *
 * Does not check who published the set, certificates in `x5c`, or revocation.
 *
 * @param place where the set came from, for the error
 * @throws ConfigurationError listing every key that is wrong
 */
export function parseJwks(source: Uint8Array | JSONWebKeySet, place: string): KeySet {
  const problems: Problem[] = [];
  const report = (where: string, problem: string, remedy: string): void => {
    problems.push({ place: where, problem, remedy });
  };
  const fail = (): never => {
    throw new ConfigurationError('Key set', problems);
  };

  const parsed = parseStrictJson(bytesOf(source), { maxBytes: MAX_JWKS_BYTES });
  if ('problem' in parsed) {
    report(place, `the key set is ${parsed.problem}`, 'Give a JWK set: { "keys": [...] }');
    return fail();
  }
  const set = parsed.value;
  const keys = isJsonObject(set) ? set['keys'] : undefined;
  if (!isJsonObject(set) || !Array.isArray(keys)) {
    report(place, 'it is not a JWK set', 'Give { "keys": [...] } (RFC 7517, section 5)');
    return fail();
  }
  if (keys.length > MAX_KEYS) report(place, `it holds more than ${MAX_KEYS} keys`, 'Remove keys no longer in use');

  const byId = new Map<string, VerificationKey>();
  const thumbprints = new Set<string>();
  let test = isMarked(set);
  for (const [index, jwk] of (keys as readonly JsonValue[]).slice(0, MAX_KEYS).entries()) {
    const where = `${place} keys[${index}]`;
    const key = isJsonObject(jwk) ? parseKey(jwk) : { problem: 'it is not an object' };
    if (key === null) continue;
    if ('problem' in key) {
      report(where, key.problem, 'Publish public signature keys only, each with its own kid');
      continue;
    }
    if (isMarked(jwk as JsonObject)) test = true;
    if (byId.has(key.kid)) report(where, 'its kid is that of another key', 'Give each key its own kid');
    else if (thumbprints.has(key.thumbprint)) report(where, 'it is listed twice', 'List each key once, under one kid');
    byId.set(key.kid, key);
    thumbprints.add(key.thumbprint);
  }
  if (problems.length === 0 && byId.size === 0) {
    report(place, 'it holds no key that can verify signatures', 'Publish at least one signature key');
  }
  return problems.length > 0 ? fail() : { byId, test };
}

function bytesOf(source: Uint8Array | JSONWebKeySet): Uint8Array {
  if (source instanceof Uint8Array) return source;
  try {
    return Buffer.from(JSON.stringify(source) ?? '');
  } catch {
    return new Uint8Array();
  }
}

function isMarked(value: JsonObject): boolean {
  const mark = value[TEST_MARK];
  return mark !== undefined && mark !== false;
}

/** `null`: not for signatures, passed over. */
function parseKey(jwk: JsonObject): KeyResult {
  if (PRIVATE_MEMBERS.some((name) => jwk[name] !== undefined) || jwk['kty'] === 'oct') {
    return { problem: 'it is a private or symmetric key' };
  }
  const { kty, kid, use, alg } = jwk;
  const ops = jwk['key_ops'];
  if (use !== undefined && use !== 'sig') return null;
  if (ops !== undefined && !(Array.isArray(ops) && ops.includes('verify'))) return null;
  const fits = algorithmsOf(jwk);
  if (fits.length === 0) return null;
  if (alg !== undefined && !SIGNATURE_ALGORITHMS.includes(alg as SignatureAlgorithm)) {
    return alg === 'none' || (typeof alg === 'string' && /^HS/i.test(alg))
      ? { problem: 'its alg is none or HMAC' }
      : null;
  }
  if (alg !== undefined && !fits.includes(alg as SignatureAlgorithm))
    return { problem: 'its alg does not fit its type' };
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_KID) {
    return { problem: `it has no kid of 1 to ${MAX_KID} characters` };
  }
  const problem = kty === 'RSA' ? rsaProblem(jwk) : pointProblem(jwk);
  if (problem !== null) return { problem };
  let key: KeyObject;
  try {
    key = createPublicKey({ key: publicPart(jwk), format: 'jwk' });
  } catch {
    return { problem: 'it is not a valid public key' };
  }
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {};
  if (kty === 'RSA' && (modulusLength < MIN_RSA_BITS || modulusLength > MAX_RSA_BITS)) {
    return { problem: `its modulus has not ${MIN_RSA_BITS} to ${MAX_RSA_BITS} bits` };
  }
  if (
    kty === 'RSA' &&
    (publicExponent < MIN_RSA_EXPONENT || publicExponent > MAX_RSA_EXPONENT || publicExponent % 2n === 0n)
  ) {
    return { problem: 'its exponent is even, below 65537 or above 2^32' };
  }
  const thumbprint = createHash('sha256')
    .update(key.export({ format: 'der', type: 'spki' }))
    .digest('base64url');
  const algorithms = alg === undefined ? fits : [alg as SignatureAlgorithm];
  return { kid, algorithms, thumbprint, key };
}

function algorithmsOf({ kty, crv }: JsonObject): readonly SignatureAlgorithm[] {
  if (kty === 'RSA') return RSA_ALGORITHMS;
  if (kty === 'OKP') return crv === 'Ed25519' ? ['EdDSA', 'Ed25519'] : [];
  if (kty !== 'EC' || typeof crv !== 'string' || !Object.hasOwn(CURVES, crv)) return [];
  return CURVES[crv]?.algorithms ?? [];
}

function rsaProblem({ n, e }: JsonObject): string | null {
  return isCanonical(n) && isCanonical(e) ? null : 'its n or e is not base64url';
}

function pointProblem({ kty, crv, x, y }: JsonObject): string | null {
  const size = kty === 'OKP' ? 32 : (CURVES[crv as string]?.coordinate ?? 0);
  const bytes = isCanonical(x) ? decodeBase64url(x) : null;
  if (bytes?.length !== size) return 'its x is not base64url of the right length';
  if (kty === 'EC') {
    const other = isCanonical(y) ? decodeBase64url(y) : null;
    return other?.length === size ? null : 'its y is not base64url of the right length';
  }
  const masked = Buffer.from(bytes);
  masked[31] = (masked[31] ?? 0) & 0x7f;
  return WEAK_ED25519.has(masked.toString('hex')) ? 'it is a point of small order' : null;
}

function isCanonical(value: JsonValue | undefined): value is string {
  return typeof value === 'string' && value !== '' && decodeBase64url(value) !== null;
}

function publicPart({ kty, crv, x, y, n, e }: JsonObject): Record<string, string> {
  const part = kty === 'RSA' ? { kty, n, e } : kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x };
  return part as Record<string, string>;
}
