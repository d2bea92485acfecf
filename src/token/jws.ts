/**
 * The signature layer: JWS compact serialization (RFC 7515), hardened by RFC 8725.
 *
 * @module
 */

import { compactVerify, type JSONWebKeySet } from 'jose';
import { type Denial, deny, RefusalError } from '../errors.js';
import { decodeBase64url } from './base64url.js';
import { type KeySet, parseJwks, SIGNATURE_ALGORITHMS, type VerificationKey } from './keys.js';
import { isJsonObject, type JsonObject, parseStrictJson } from './strict-json.js';
import type { SignatureAlgorithm } from './types.js';

/** Greatest length of a token, bytes. */
export const MAX_TOKEN_BYTES = 8 * 1024;

const MAX_HEADER_BYTES = 4 * 1024;
const MAX_HEADER_DEPTH = 4;
const MAX_KID = 256;

// Members that name or carry a key, point elsewhere, or change how the rest is to be read (RFC 8725, sections 3.9, 3.10).
const FORBIDDEN_HEADERS = [
  'jwk',
  'jku',
  'x5c',
  'x5u',
  'x5t',
  'x5t#S256',
  'crit',
  'b64',
  'zip',
  'enc',
  'epk',
  'apu',
  'apv',
];

const SIGNATURE_BYTES: Readonly<Partial<Record<string, number>>> = {
  ES256: 64,
  ES384: 96,
  ES512: 132,
  EdDSA: 64,
  Ed25519: 64,
};

/** The protected header of a token: frozen, without inherited members. */
export interface JwsHeader extends JsonObject {
  readonly alg: string;
  readonly kid: string;
}

/** A JWS taken apart; nothing in it is believed yet. */
export interface ParsedJws {
  readonly compact: string;
  readonly header: JwsHeader;
  readonly payload: Buffer;
  readonly signature: Buffer;
}

/** Options of {@link verifyJws}. */
export interface VerifyJwsOptions {
  /** The key set of the one issuer the token is supposed to be from. */
  readonly keys: JSONWebKeySet;
  /** The algorithms accepted. Required: there is no default that could widen unseen. */
  readonly algorithms: readonly SignatureAlgorithm[];
}

/** What {@link verifyJws} returns. */
export interface VerifiedJws {
  readonly header: JwsHeader;
  readonly payload: Uint8Array;
}

/**
 * Verifies the signature of a JWS in compact serialization, and its encoding: at most 8 KiB, exactly three parts of
 * canonical base64url, a strict JSON header without critical, key-carrying or key-locating members, a `kid` that names one
 * key of the set, and an `alg` that is both accepted and fit for that key.
 *
 * Does *not* check `typ`, nor anything in the payload: issuer, audience, times, binding. See `verifyToken`.
 *
 * @throws RefusalError `TOKEN_MALFORMED`, `TOKEN_ALGORITHM`, `TOKEN_KEY_UNKNOWN` or `TOKEN_SIGNATURE`
 * @throws ConfigurationError when the key set is wrong, see `parseJwks`
 */
export async function verifyJws(compact: string, options: VerifyJwsOptions): Promise<VerifiedJws> {
  const keys = parseJwks(options.keys, 'keys');
  const jws = parseJws(compact);
  if ('reason' in jws) throw new RefusalError(jws);
  const key = selectKey(jws.header, keys, options.algorithms);
  if ('reason' in key) throw new RefusalError(key);
  const refused = await verifySignature(jws, key);
  if (refused !== null) throw new RefusalError(refused);
  // A copy: a small Buffer is a window on memory shared with others.
  return { header: jws.header, payload: new Uint8Array(jws.payload) };
}

/** Takes a compact JWS apart, strictly. No cryptography. */
export function parseJws(compact: unknown): ParsedJws | Denial {
  if (typeof compact !== 'string') return malformed('the token is not text');
  if (compact.length > MAX_TOKEN_BYTES) return malformed('the token is longer than 8 KiB');
  const first = compact.indexOf('.');
  const second = compact.indexOf('.', first + 1);
  if (first <= 0 || second < 0 || compact.indexOf('.', second + 1) >= 0) return malformed('not three parts');
  const headerBytes = decodeBase64url(compact.slice(0, first));
  const payload = decodeBase64url(compact.slice(first + 1, second));
  const signature = decodeBase64url(compact.slice(second + 1));
  if (headerBytes === null || payload === null || signature === null) {
    return malformed('a part is not canonical base64url');
  }
  const parsed = parseStrictJson(headerBytes, { maxBytes: MAX_HEADER_BYTES, maxDepth: MAX_HEADER_DEPTH });
  if ('problem' in parsed) return malformed(`the header is ${parsed.problem}`);
  const header = parsed.value;
  if (!isJsonObject(header)) return malformed('the header is not an object');
  for (const name of FORBIDDEN_HEADERS) {
    if (header[name] !== undefined) return malformed(`the header member ${name} is not accepted`);
  }
  const { alg, kid, typ, cty } = header;
  if (typeof alg !== 'string') return malformed('the header member alg is not text');
  if (typ !== undefined && typeof typ !== 'string') return malformed('the header member typ is not text');
  if (cty !== undefined && typeof cty !== 'string') return malformed('the header member cty is not text');
  // The algorithm is judged first: an unsigned token is refused as such, even where it also lacks a kid.
  if (!SIGNATURE_ALGORITHMS.includes(alg as SignatureAlgorithm)) {
    return deny('TOKEN_ALGORITHM', 'alg is none, HMAC or not supported');
  }
  if (typeof kid !== 'string' || kid === '' || kid.length > MAX_KID) {
    return malformed(`the header member kid is not text of 1 to ${MAX_KID} characters`);
  }
  return { compact, header: header as JwsHeader, payload, signature };
}

/** The one key a header names, when its algorithm is both accepted and fit for that key. */
export function selectKey(
  header: JwsHeader,
  keys: KeySet,
  algorithms: readonly SignatureAlgorithm[],
): VerificationKey | Denial {
  const alg = header.alg as SignatureAlgorithm;
  if (!algorithms.includes(alg) || !SIGNATURE_ALGORITHMS.includes(alg)) {
    return deny('TOKEN_ALGORITHM', `${JSON.stringify(header.alg)} is not among the algorithms of the issuer`);
  }
  const key = keys.byId.get(header.kid);
  if (key === undefined) return deny('TOKEN_KEY_UNKNOWN', `no key has the kid ${JSON.stringify(header.kid)}`);
  if (!key.algorithms.includes(alg)) {
    return deny('TOKEN_ALGORITHM', `${alg} does not fit the key ${JSON.stringify(header.kid)}`);
  }
  return key;
}

/** Verifies the signature under exactly this key; `null` when it is good. */
export async function verifySignature(jws: ParsedJws, key: VerificationKey): Promise<Denial | null> {
  const size = SIGNATURE_BYTES[jws.header.alg];
  if (jws.signature.length === 0 || (size !== undefined && jws.signature.length !== size)) {
    return deny('TOKEN_SIGNATURE', `a signature of ${jws.signature.length} bytes`);
  }
  try {
    await compactVerify(jws.compact, key.key, { algorithms: [jws.header.alg] });
    return null;
  } catch {
    return deny('TOKEN_SIGNATURE', `the signature does not verify under the key ${JSON.stringify(jws.header.kid)}`);
  }
}

function malformed(detail: string): Denial {
  return deny('TOKEN_MALFORMED', detail);
}
