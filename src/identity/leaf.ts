/**
 * What a leaf certificate must be before it may speak for anyone (X509-SVID specification, sections 4 and 5).
 *
 * @module
 */

import type { X509Certificate } from 'node:crypto';
import type { PeerIdentity, SpiffeId } from '../call.js';
import { type Denial, deny, RefusalError } from '../errors.js';
import { keyProblem, signatureProblem } from './algorithms.js';
import { type Certificate, fingerprintOf, nodeCertificate, parseCertificate } from './certificate.js';
import { DerError } from './der.js';
import { KEY_PURPOSE } from './extensions.js';
import { hasPath, quoted, spiffeIdProblem, trustDomainOf } from './spiffe-id.js';

/** Which side of the connection the certificate speaks for. */
export type PeerRole = 'client' | 'server';

/** The key purpose a peer in this role needs where its certificate names purposes at all. */
export function purposeOf(role: PeerRole): string {
  return role === 'client' ? KEY_PURPOSE.clientAuth : KEY_PURPOSE.serverAuth;
}

/** Runs a parser; what is malformed becomes a `PEER_INVALID` denial. */
export function attempt<T>(what: string, parse: () => T): T | Denial {
  try {
    return parse();
  } catch (error) {
    if (error instanceof DerError) return deny('PEER_INVALID', `${what}: ${error.message}`);
    if (error instanceof RefusalError) return deny(error.reason, error.detail);
    return deny('PEER_INVALID', `${what}: cannot be read`);
  }
}

/** Whether a result of {@link attempt} and the like is a denial. */
export function isDenial(value: object): value is Denial {
  return 'reason' in value && 'detail' in value;
}

/**
 * The rules every leaf keeps, whatever its names: version 3, no CA, no right to sign certificates or revocation lists,
 * digital signatures allowed where key usage is restricted, no name constraints, no critical extension that is not
 * processed, strong key and signature algorithm. `null` when it keeps them.
 */
export function leafProblem(leaf: Certificate): string | null {
  if (leaf.version !== 3) return `the leaf is an X.509 version ${leaf.version} certificate`;
  if (leaf.basicConstraints?.ca === true) return 'the leaf is a CA (basicConstraints CA:TRUE)';
  if (leaf.basicConstraints?.pathLength != null) return 'the leaf has a path length';
  if (leaf.keyUsage?.keyCertSign === true) return 'the leaf may sign certificates (keyUsage keyCertSign)';
  if (leaf.keyUsage?.crlSign === true) return 'the leaf may sign revocation lists (keyUsage cRLSign)';
  if (leaf.keyUsage?.digitalSignature === false) return 'the leaf may not sign (keyUsage lacks digitalSignature)';
  if (leaf.nameConstraints !== null) return 'the leaf has name constraints';
  if (leaf.unprocessed.length > 0)
    return `the leaf has the critical extension ${leaf.unprocessed[0]}, which is not processed`;
  const weak = keyProblem(leaf.publicKeyInfo);
  if (weak !== null) return `the leaf has ${weak}`;
  const signature = signatureProblem(leaf.signatureAlgorithm);
  return signature === null ? null : `the leaf is ${signature}`;
}

/** The rules of {@link leafProblem}, and those that make the leaf an X509-SVID. Returns the SPIFFE ID or the problem. */
function readSpiffeIdOf(leaf: Certificate): { readonly id: SpiffeId } | { readonly problem: string } {
  const problem = leafProblem(leaf);
  if (problem !== null) return { problem };
  if (leaf.keyUsage === null) return { problem: 'the leaf has no keyUsage' };
  const uris = leaf.names.filter((name) => name.kind === 'uri');
  const [uri] = uris;
  if (uri === undefined || uris.length !== 1) return { problem: `the leaf has ${uris.length} URI SANs instead of one` };
  const wrong = spiffeIdProblem(uri.text);
  if (wrong !== null) return { problem: `the URI SAN ${quoted(uri.text)} is no SPIFFE ID: it ${wrong}` };
  const id = uri.text as SpiffeId;
  return hasPath(id) ? { id } : { problem: `the SPIFFE ID ${id} names a trust domain, not a workload` };
}

/** The identity a parsed leaf claims, or why it can claim none. */
export function readPeerIdentity(leaf: Certificate, node: X509Certificate): PeerIdentity | Denial {
  const read = readSpiffeIdOf(leaf);
  if ('problem' in read) return deny('PEER_INVALID', read.problem);
  return Object.freeze({
    spiffeId: read.id,
    trustDomain: trustDomainOf(read.id),
    fingerprint: fingerprintOf(leaf.der),
    serialNumber: leaf.serialNumber,
    issuer: node.issuer.replaceAll('\n', ', '),
    notBefore: leaf.notBefore,
    notAfter: leaf.notAfter,
  }) as PeerIdentity;
}

/**
 * Who a leaf certificate (DER) claims to be, if it is an X509-SVID (X509-SVID specification, sections 2, 4 and 5.2):
 * version 3, not a CA, `keyUsage` present with digitalSignature and without keyCertSign and cRLSign, exactly one URI SAN
 * and that a SPIFFE ID with a path, no name constraints, no extension twice, no critical extension that is not
 * processed, nothing after the end, strict DER, a strong key.
 *
 * Not checked: who issued it, its signature, whether it is valid now, its extended key usage, revocation. What it
 * returns is a claim until {@link authenticatePeer} has verified the chain.
 *
 * @throws RefusalError `PEER_INVALID`
 */
export function peerIdentityOf(leaf: Uint8Array): PeerIdentity {
  const identity = attempt('the leaf', () => {
    const certificate = parseCertificate(leaf);
    return readPeerIdentity(certificate, nodeCertificate(certificate));
  });
  if (isDenial(identity)) throw new RefusalError(identity);
  return identity;
}
