import { createHash, generateKeyPairSync, type JsonWebKey, type KeyObject, randomUUID, sign } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import type { PeerIdentity } from '#dist/call.js';
import type { Denial } from '#dist/errors.js';
import type { IssuerOptions, VerifiedToken } from '#dist/token/types.js';
import { START } from './clock.js';

export const ISSUER = 'https://issuer.acme.example';
export const AUDIENCE = 'spiffe://acme.example/services/tasks';
export const PLANNER = 'spiffe://acme.example/agents/planner';
export const FINGERPRINT = createHash('sha256').update('planner').digest('base64url');
export const OTHER_FINGERPRINT = createHash('sha256').update('other').digest('base64url');
export const NOW_S = START / 1000;

export type Alg = 'ES256' | 'ES384' | 'ES512' | 'EdDSA' | 'Ed25519' | 'RS256' | 'PS256';

export interface SigningKey {
  readonly kid: string;
  readonly alg: Alg;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly jwk: JsonWebKey & { kid: string; alg?: string; use?: string };
}

export function makeKey(kid: string, alg: Alg = 'ES256'): SigningKey {
  const curves = { ES256: 'P-256', ES384: 'P-384', ES512: 'P-521' } as const;
  const pair =
    alg === 'EdDSA' || alg === 'Ed25519'
      ? generateKeyPairSync('ed25519')
      : alg === 'RS256' || alg === 'PS256'
        ? generateKeyPairSync('rsa', { modulusLength: 2048 })
        : generateKeyPairSync('ec', { namedCurve: curves[alg] });
  return { kid, alg, ...pair, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid } };
}

export function jwksOf(...keys: SigningKey[]): JSONWebKeySet {
  return { keys: keys.map((key) => key.jwk) } as JSONWebKeySet;
}

export function b64(value: string | Uint8Array): string {
  return Buffer.from(value).toString('base64url');
}

export function signatureOf(input: string, key: SigningKey): Buffer {
  const hash = { ES256: 'sha256', ES384: 'sha384', ES512: 'sha512', RS256: 'sha256', PS256: 'sha256' } as const;
  const name = key.alg === 'EdDSA' || key.alg === 'Ed25519' ? null : hash[key.alg];
  if (key.alg === 'PS256') {
    return sign(name, Buffer.from(input), { key: key.privateKey, padding: 6, saltLength: 32 });
  }
  return sign(name, Buffer.from(input), { key: key.privateKey, dsaEncoding: 'ieee-p1363' });
}

/** Signs whatever bytes are given: header and payload as text that need not be JSON. */
export function signRaw(header: string | Uint8Array, payload: string | Uint8Array, key: SigningKey): string {
  const input = `${b64(header)}.${b64(payload)}`;
  return `${input}.${b64(signatureOf(input, key))}`;
}

export function headerOf(key: SigningKey, over: Record<string, unknown> = {}): Record<string, unknown> {
  return { typ: 'at+jwt', alg: key.alg, kid: key.kid, ...over };
}

export function claimsOf(over: Record<string, unknown> = {}): Record<string, unknown> {
  return {
    iss: ISSUER,
    sub: PLANNER,
    aud: AUDIENCE,
    iat: NOW_S,
    exp: NOW_S + 300,
    jti: randomUUID(),
    cnf: { 'x5t#S256': FINGERPRINT },
    authorization_details: [{ type: 'zerotrust', actions: ['tasks.task.read'], resources: ['projects/7/**'] }],
    ...over,
  };
}

export function makeToken(
  key: SigningKey,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): string {
  return signRaw(JSON.stringify(headerOf(key, header)), JSON.stringify(claimsOf(claims)), key);
}

export function issuerOf(keys: IssuerOptions['keys'], over: Partial<IssuerOptions> = {}): IssuerOptions {
  return {
    issuer: ISSUER,
    keys,
    subjects: ['spiffe://acme.example/**'],
    permits: [{ actions: ['tasks.*'], resources: ['**'] }],
    grants: 'authorization_details',
    ...over,
  };
}

export function peerOf(over: Partial<Record<keyof PeerIdentity, unknown>> = {}): PeerIdentity {
  return {
    spiffeId: PLANNER,
    trustDomain: 'acme.example',
    fingerprint: FINGERPRINT,
    serialNumber: '0A1B',
    issuer: 'CN=acme',
    notBefore: START - 60_000,
    notAfter: START + 3_600_000,
    ...over,
  } as unknown as PeerIdentity;
}

export function reasonOf(result: VerifiedToken | Denial): string {
  return 'reason' in result ? result.reason : 'accepted';
}

export function accepted(result: VerifiedToken | Denial): VerifiedToken {
  if ('reason' in result) throw new Error(`refused: ${result.reason}: ${result.detail}`);
  return result;
}

/** A small seeded generator (mulberry32): the same numbers in every run. */
export function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
