/**
 * The signing key of a test issuer, and the JWTs it signs.
 *
 * @module
 */

import { createHash, type KeyObject, sign } from 'node:crypto';
import type { JWK } from 'jose';
import { createKeyPair } from './keys.js';

/** A token key: ES256. */
export interface TokenKey {
  /** `kid`: the thumbprint of the key (RFC 7638). */
  readonly id: string;
  readonly privateKey: KeyObject;
  /** The public key, with the mark of the test kit: `zerotrust_test: true`. */
  readonly jwk: JWK;
}

/** Makes a token key. */
export function createTokenKey(): TokenKey {
  const { privateKey, publicKey } = createKeyPair('P-256');
  const { kty = '', crv = '', x = '', y = '' } = publicKey.export({ format: 'jwk' });
  const id = createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url');
  const jwk = { kty, crv, x, y, kid: id, alg: 'ES256', use: 'sig', zerotrust_test: true };
  return { id, privateKey, jwk: Object.freeze(jwk) };
}

/** Signs a JWT with ES256, whatever `header` says. Members that are `undefined` are left out. */
export function signJwt(key: TokenKey, header: object, claims: object): string {
  const part = (value: object): string => Buffer.from(JSON.stringify(value)).toString('base64url');
  const input = `${part(header)}.${part(claims)}`;
  const signature = sign('sha256', Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
  return `${input}.${signature.toString('base64url')}`;
}
