/**
 * From a leaf to an authority: path building with backtracking, so that two authorities of one name, or a cross-signed
 * one, neither confuse nor defeat it (RFC 5280, section 6.1, without policies).
 *
 * @module
 */

import type { KeyObject, X509Certificate } from 'node:crypto';
import { type Denial, deny, RefusalError } from '../errors.js';
import { keyProblem, signatureProblem } from './algorithms.js';
import { type Certificate, isSelfIssued, nodeCertificate, parseCertificate, sameBytes } from './certificate.js';
import { DerError } from './der.js';
import { attempt, isDenial, leafProblem, type PeerRole, purposeOf } from './leaf.js';
import { nameConstraintProblem } from './name-constraints.js';

/** Most certificates a peer may send. */
const MOST_OFFERED = 16;
/** Longest path, leaf and root included. */
const LONGEST_PATH = 8;
/** Most links that are tried for one peer; an honest one needs as many as its path is long. */
const MOST_LINKS = 100;
const EMPTY_NAME = 2;

/** When, and for which side of a connection, a chain is verified. */
export interface ChainOptions {
  /** Milliseconds since the Unix epoch. */
  readonly now: number;
  /** Whom the leaf belongs to: a `client` needs the purpose clientAuth, a `server` serverAuth, where purposes are named. */
  readonly role: PeerRole;
}

/** A certificate of a path, with what Node made of it, once it was needed. */
export class PathCertificate {
  readonly certificate: Certificate;
  #node: X509Certificate | undefined;
  #key: KeyObject | undefined;

  constructor(certificate: Certificate) {
    this.certificate = certificate;
  }

  /** @throws DerError when Node sees another certificate in the same bytes */
  get node(): X509Certificate {
    this.#node ??= nodeCertificate(this.certificate);
    return this.#node;
  }

  /** Whether `issuer`'s key signed this certificate. */
  isSignedBy(issuer: PathCertificate): boolean {
    try {
      issuer.#key ??= issuer.node.publicKey;
      return this.node.verify(issuer.#key);
    } catch {
      return false;
    }
  }
}

/** Parses a certificate for {@link buildPath}. @throws DerError */
export function readPathCertificate(der: Uint8Array): PathCertificate {
  return new PathCertificate(parseCertificate(der));
}

/** Those of `ders` that are certificates; what cannot be read can be no link of a path. */
export function readAll(ders: readonly Uint8Array[]): PathCertificate[] {
  const certificates: PathCertificate[] = [];
  for (const der of ders) {
    const read = attempt('a certificate', () => readPathCertificate(der));
    if (!isDenial(read)) certificates.push(read);
  }
  return certificates;
}

/** Parses what a peer sent: leaf first. */
export function readOffered(
  chain: readonly Uint8Array[],
): { leaf: PathCertificate; others: PathCertificate[] } | Denial {
  const [first] = chain;
  if (first === undefined) return deny('PEER_MISSING', 'the peer sent no certificate');
  if (chain.length > MOST_OFFERED) return deny('PEER_INVALID', `the peer sent ${chain.length} certificates`);
  const leaf = attempt('the leaf', () => readPathCertificate(first));
  return isDenial(leaf) ? leaf : { leaf, others: readAll(chain.slice(1)) };
}

/** What keeps `certificate` from being an authority, whatever it signed; `null` when nothing does. */
export function authorityProblem(certificate: Certificate): string | null {
  if (certificate.version !== 3) return `an authority with an X.509 version ${certificate.version} certificate`;
  if (certificate.basicConstraints?.ca !== true) return 'an issuer that is no CA (basicConstraints)';
  if (certificate.keyUsage?.keyCertSign === false) return 'an authority that may not sign certificates (keyUsage)';
  if (certificate.subject.length <= EMPTY_NAME) return 'an authority without a name';
  const [unprocessed] = certificate.unprocessed;
  if (unprocessed !== undefined)
    return `an authority with the critical extension ${unprocessed}, which is not processed`;
  const weak = keyProblem(certificate.publicKeyInfo);
  return weak === null ? null : `an authority with ${weak}`;
}

/** The path from `leaf` to one of `anchors`, both included; or the reason why there is none. Never throws. */
export function buildPath(
  leaf: PathCertificate,
  others: readonly PathCertificate[],
  anchors: readonly PathCertificate[],
  options: ChainOptions,
): readonly PathCertificate[] | Denial {
  const problem = attempt('the leaf', () => {
    const wrong = leafProblem(leaf.certificate) ?? purposeProblem(leaf.certificate, options.role, 'the leaf');
    if (wrong !== null) throw new DerError(wrong);
    return leaf.node;
  });
  if (isDenial(problem)) return problem;
  const expired = validityProblem(leaf.certificate, options.now, 'the leaf');
  if (expired !== null) return deny('PEER_EXPIRED', expired);
  return new PathSearch(others, anchors, options).run(leaf);
}

class PathSearch {
  readonly #others: readonly PathCertificate[];
  readonly #anchors: readonly PathCertificate[];
  readonly #options: ChainOptions;
  #left = MOST_LINKS;
  #failure: Denial | null = null;

  constructor(others: readonly PathCertificate[], anchors: readonly PathCertificate[], options: ChainOptions) {
    this.#others = others;
    this.#anchors = anchors;
    this.#options = options;
  }

  run(leaf: PathCertificate): readonly PathCertificate[] | Denial {
    return (
      this.#extend([leaf]) ??
      this.#failure ??
      deny('PEER_UNTRUSTED', 'no certificate of the chain was issued by a trusted authority')
    );
  }

  /** Depth first: at each certificate the anchors are tried before what the peer offered. */
  #extend(path: readonly PathCertificate[]): readonly PathCertificate[] | null {
    const child = path[path.length - 1] as PathCertificate;
    for (const list of [this.#anchors, this.#others]) {
      for (const issuer of list) {
        if (!sameBytes(issuer.certificate.subject, child.certificate.issuer)) continue;
        if (this.#left-- <= 0) {
          this.#failure = deny('PEER_UNTRUSTED', `no path within ${MOST_LINKS} tried links`);
          return null;
        }
        if (!this.#link(path, issuer)) continue;
        const longer = [...path, issuer];
        if (list === this.#others) {
          const found = longer.length < LONGEST_PATH ? this.#extend(longer) : null;
          if (found !== null) return found;
          continue;
        }
        const problem = nameConstraintProblem(longer.map((link) => link.certificate));
        if (problem === null) return longer;
        this.#note(deny('PEER_UNTRUSTED', problem));
      }
    }
    return null;
  }

  /** Whether `issuer` may have issued, and did sign, the last certificate of `path`. */
  #link(path: readonly PathCertificate[], issuer: PathCertificate): boolean {
    const { certificate } = issuer;
    if (path.some((link) => isSameEntity(link.certificate, certificate))) return false;
    const child = path[path.length - 1] as PathCertificate;
    const problem = attempt('an authority', () => {
      const wrong =
        authorityProblem(certificate) ??
        purposeProblem(certificate, this.#options.role, 'an authority') ??
        pathLengthProblem(certificate, path) ??
        (path.length > 1 ? signatureProblem(child.certificate.signatureAlgorithm) : null) ??
        (child.isSignedBy(issuer) ? null : 'an authority of the right name whose key did not sign');
      if (wrong !== null) return deny('PEER_UNTRUSTED', `the path leads through ${wrong}`);
      const expired = validityProblem(certificate, this.#options.now, 'an authority of the path');
      return expired === null ? OPEN : deny('PEER_EXPIRED', expired);
    });
    if (!isDenial(problem)) return true;
    this.#note(problem.reason === 'PEER_INVALID' ? deny('PEER_UNTRUSTED', problem.detail) : problem);
    return false;
  }

  /** Of several failures, the one that came nearest to a path is told. */
  #note(failure: Denial): void {
    if (this.#failure === null || (this.#failure.reason !== 'PEER_EXPIRED' && failure.reason === 'PEER_EXPIRED')) {
      this.#failure = failure;
    }
  }
}

const OPEN = {};

/** One authority may have several certificates; none of them leads on from another. */
function isSameEntity(a: Certificate, b: Certificate): boolean {
  return sameBytes(a.publicKeyInfo, b.publicKeyInfo) && sameBytes(a.subject, b.subject);
}

function validityProblem(certificate: Certificate, now: number, what: string): string | null {
  // Written so that NaN is outside of every validity.
  if (now >= certificate.notBefore && now <= certificate.notAfter) return null;
  const [from, to] = [certificate.notBefore, certificate.notAfter].map((time) => new Date(time).toISOString());
  return `${what} is valid from ${from} to ${to} only`;
}

function purposeProblem(certificate: Certificate, role: PeerRole, what: string): string | null {
  const purposes = certificate.extendedKeyUsage;
  if (purposes === null || purposes.includes(purposeOf(role))) return null;
  return `${what} without the key purpose ${role}Auth (extKeyUsage)`;
}

/** Self-issued intermediates do not count (RFC 5280, section 4.2.1.9). */
function pathLengthProblem(issuer: Certificate, path: readonly PathCertificate[]): string | null {
  const limit = issuer.basicConstraints?.pathLength;
  if (limit == null) return null;
  const below = path.slice(1).filter((link) => !isSelfIssued(link.certificate)).length;
  return below <= limit ? null : `an authority whose path length ${limit} is exceeded`;
}

/**
 * Verifies that a chain (DER, leaf first; the rest in any order) leads to one of `roots`, and returns the path that was
 * found, leaf and root included.
 *
 * Checked: the rules every leaf keeps (version 3, no CA, key usage, no name constraints, no unprocessed critical
 * extension), signature and names of each link, for each authority `CA:TRUE`, keyCertSign, path length and version 3;
 * of every certificate, the root's included, validity at `now`, key purposes where named, key and algorithm strength;
 * name constraints. At most 16 certificates, paths of 8, 100 tried links.
 *
 * Not checked: the names in the leaf (no SPIFFE ID is demanded: see {@link peerIdentityOf}), which trust domain the
 * root may speak for (see {@link authenticatePeer}), revocation, certificate policies (critical ones are refused),
 * possession of the key.
 *
 * @throws RefusalError `PEER_UNTRUSTED` where no path exists, `PEER_EXPIRED` where one exists at another time only,
 *   `PEER_INVALID` where the leaf itself is not acceptable, `PEER_MISSING` where the chain is empty
 */
export function verifyChain(
  chain: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  options: ChainOptions,
): Uint8Array[] {
  const offered = readOffered(chain);
  if (isDenial(offered)) throw new RefusalError(offered);
  const path = buildPath(offered.leaf, offered.others, readAll(roots), options);
  if (isDenial(path)) throw new RefusalError(path);
  return path.map((link) => link.certificate.der);
}
