/**
 * Which keys and signature algorithms may stand in a certificate (NIST SP 800-131A; RFC 8725 in spirit): weak ones are
 * refused wherever they appear in a path.
 *
 * @module
 */

import { sameBytes } from './certificate.js';
import { bodyOf, childrenOf, type DerNode, expectTag, oidOf, readDer, TAG } from './der.js';

const STRONG_SIGNATURES: ReadonlySet<string> = new Set([
  '1.2.840.10045.4.3.2', // ecdsa-with-SHA256
  '1.2.840.10045.4.3.3',
  '1.2.840.10045.4.3.4',
  '1.2.840.113549.1.1.11', // sha256WithRSAEncryption
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.3.101.112', // Ed25519
]);
const PSS = '1.2.840.113549.1.1.10';
const MGF1 = '1.2.840.113549.1.1.8';
const STRONG_HASHES: ReadonlySet<string> = new Set([
  '2.16.840.1.101.3.4.2.1', // SHA-256
  '2.16.840.1.101.3.4.2.2',
  '2.16.840.1.101.3.4.2.3',
]);
const CURVES: ReadonlySet<string> = new Set([
  '1.2.840.10045.3.1.7', // P-256
  '1.3.132.0.34', // P-384
  '1.3.132.0.35', // P-521
]);
const EC_KEY = '1.2.840.10045.2.1';
const ED25519 = '1.3.101.112';
const RSA_KEYS: ReadonlySet<string> = new Set(['1.2.840.113549.1.1.1', PSS]);
const RSA_LEAST_BITS = 2048;
// A longer one costs the verifier more than it gives anyone.
const RSA_MOST_BITS = 8192;

/** What is wrong with a signature algorithm (AlgorithmIdentifier, DER); `null` when it is strong. */
export function signatureProblem(algorithm: Uint8Array): string | null {
  const [id, parameters] = childrenOf(algorithm, readDer(algorithm));
  const oid = oidOf(algorithm, expectTag(id, TAG.oid, 'the signature algorithm'));
  if (STRONG_SIGNATURES.has(oid)) return null;
  if (oid === PSS && parameters !== undefined && pssIsStrong(algorithm, parameters)) return null;
  return `signed with the weak or unknown algorithm ${oid}`;
}

/** What is wrong with a public key (SubjectPublicKeyInfo, DER); `null` when it is strong. */
export function keyProblem(publicKeyInfo: Uint8Array): string | null {
  const [algorithm, key] = childrenOf(publicKeyInfo, readDer(publicKeyInfo));
  const [id, parameters] = childrenOf(publicKeyInfo, expectTag(algorithm, TAG.sequence, 'the algorithm of the key'));
  const oid = oidOf(publicKeyInfo, expectTag(id, TAG.oid, 'the algorithm of the key'));
  if (oid === ED25519) return null;
  if (oid === EC_KEY) {
    // Explicit curve parameters are not an identifier: whoever chooses the generator can choose the key.
    if (parameters?.tag === TAG.oid && CURVES.has(oidOf(publicKeyInfo, parameters))) return null;
    return 'an elliptic curve other than P-256, P-384 and P-521';
  }
  if (!RSA_KEYS.has(oid)) return `a key of the unknown kind ${oid}`;
  const bits = bodyOf(publicKeyInfo, expectTag(key, TAG.bitString, 'the key')).subarray(1);
  const [modulus, exponent] = childrenOf(bits, expectTag(readDer(bits), TAG.sequence, 'the key'));
  const size = bitLength(bodyOf(bits, expectTag(modulus, TAG.integer, 'the modulus')));
  const e = bodyOf(bits, expectTag(exponent, TAG.integer, 'the exponent'));
  if (size < RSA_LEAST_BITS || size > RSA_MOST_BITS) return `an RSA key of ${size} bits`;
  if (((e[e.length - 1] ?? 0) & 1) === 0 || sameBytes(e, Uint8Array.of(1)) || (e[0] ?? 0) >= 0x80 || e.length > 5) {
    return 'an RSA key with a broken exponent';
  }
  return null;
}

/** Hash and mask hash must both be named and strong: left out, they are SHA-1 (RFC 4055, section 3.1). */
function pssIsStrong(bytes: Uint8Array, parameters: DerNode): boolean {
  const [hash, mask] = childrenOf(bytes, expectTag(parameters, TAG.sequence, 'the PSS parameters'));
  if (hash?.tag !== 0xa0 || mask?.tag !== 0xa1) return false;
  const strong = (node: DerNode | undefined): boolean => {
    const [id] = childrenOf(bytes, expectTag(node, TAG.sequence, 'a hash'));
    return STRONG_HASHES.has(oidOf(bytes, expectTag(id, TAG.oid, 'a hash')));
  };
  const [maskAlgorithm] = childrenOf(bytes, mask);
  const [maskId, maskHash] = childrenOf(bytes, expectTag(maskAlgorithm, TAG.sequence, 'the mask'));
  return (
    strong(childrenOf(bytes, hash)[0]) &&
    oidOf(bytes, expectTag(maskId, TAG.oid, 'the mask')) === MGF1 &&
    strong(maskHash)
  );
}

function bitLength(integer: Uint8Array): number {
  const start = integer[0] === 0 ? 1 : 0;
  return (integer.length - start) * 8 - Math.clz32(integer[start] ?? 0) + 24;
}
