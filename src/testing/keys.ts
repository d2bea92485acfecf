/**
 * Key pairs for certificates, strong ones and such as must be refused.
 *
 * @module
 */

import { generateKeyPairSync, type KeyObject } from 'node:crypto';

/** `RSA-1024` and `secp256k1` make certificates that must be refused. */
export type KeyKind = 'P-256' | 'P-384' | 'Ed25519' | 'RSA-2048' | 'RSA-1024' | 'secp256k1';

/** A key pair. */
export interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

/** Makes a new key pair. */
export function createKeyPair(kind: KeyKind = 'P-256'): KeyPair {
  switch (kind) {
    case 'Ed25519':
      return generateKeyPairSync('ed25519');
    case 'RSA-2048':
      return generateKeyPairSync('rsa', { modulusLength: 2048 });
    case 'RSA-1024':
      return generateKeyPairSync('rsa', { modulusLength: 1024 });
    default:
      return generateKeyPairSync('ec', { namedCurve: kind });
  }
}
