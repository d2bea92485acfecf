/**
 * Who is at the other end of a connection: the one place where a claim becomes an identity.
 *
 * @module
 */

import type { PeerIdentity } from '../call.js';
import { type Denial, deny } from '../errors.js';
import { fingerprintOf } from './certificate.js';
import { buildPath, type ChainOptions, type PathCertificate, readAll, readOffered } from './chain.js';
import { attempt, isDenial, readPeerIdentity } from './leaf.js';
import { isTestAuthority } from './test-mark.js';
import type { TrustBundles } from './types.js';

/** A peer whose chain was verified. Frozen. */
export interface AuthenticatedPeer {
  readonly peer: PeerIdentity;
  /** SHA-256 of the trusted authority the path ends in, base64url. */
  readonly root: string;
  /** Whether that authority is one of the test kit. */
  readonly testAuthority: boolean;
  /** Until when every certificate of the path is valid. Milliseconds since the Unix epoch. */
  readonly notAfter: number;
}

/**
 * Parsed authorities by bundle: a published bundle never changes, so its authorities (and their keys) are read once per
 * generation and not once per connection.
 */
const anchorsOf = new WeakMap<readonly Uint8Array[], readonly PathCertificate[]>();

/**
 * Authenticates the other side of a connection from the certificates it sent (DER, leaf first). Only the authorities of
 * the trust domain that the leaf itself names are asked: an authority of one domain cannot speak for another, even
 * where both are trusted. The arrays in `bundles` must not be changed after they were given.
 *
 * Not checked: that the peer holds the private key (TLS does, before), revocation, whether a test authority is
 * acceptable, whether the peer may do anything. Validity is checked for `now` only: check `notAfter` again on each call.
 *
 * Never throws: whatever is wrong is a denial, `PEER_MISSING`, `PEER_INVALID`, `PEER_UNTRUSTED` or `PEER_EXPIRED`.
 */
export function authenticatePeer(
  chain: readonly Uint8Array[],
  bundles: TrustBundles,
  options: ChainOptions,
): AuthenticatedPeer | Denial {
  try {
    const offered = readOffered(chain);
    if (isDenial(offered)) return offered;
    const peer = attempt('the leaf', () => readPeerIdentity(offered.leaf.certificate, offered.leaf.node));
    if (isDenial(peer)) return peer;
    const bundle = bundles.get(peer.trustDomain);
    if (bundle === undefined) return deny('PEER_UNTRUSTED', `no authority is trusted for ${peer.trustDomain}`);
    const path = buildPath(offered.leaf, offered.others, anchors(bundle), options);
    if (isDenial(path)) return path;
    const root = (path[path.length - 1] as PathCertificate).certificate.der;
    return Object.freeze({
      peer,
      root: fingerprintOf(root),
      testAuthority: isTestAuthority(root),
      notAfter: Math.min(...path.map((link) => link.certificate.notAfter)),
    });
  } catch {
    return deny('PEER_INVALID', 'the certificates of the peer could not be checked');
  }
}

function anchors(bundle: readonly Uint8Array[]): readonly PathCertificate[] {
  let read = anchorsOf.get(bundle);
  if (read === undefined) {
    read = readAll(bundle);
    anchorsOf.set(bundle, read);
  }
  return read;
}
