/**
 * A workload's own material, from PEM to values: what every driver of an {@link X509Source} reads its files or messages
 * with. Nothing here puts key material into an error.
 *
 * @module
 */

import { createPrivateKey, type KeyObject } from 'node:crypto';
import type { TrustDomain } from '../call.js';
import { ConfigurationError, type Denial, type Problem } from '../errors.js';
import { nodeCertificate, parseCertificate } from './certificate.js';
import { authorityProblem, buildPath, readAll, readOffered, readPathCertificate } from './chain.js';
import { KEY_PURPOSE } from './extensions.js';
import { attempt, isDenial, readPeerIdentity } from './leaf.js';
import { certificatesToPem, readPem } from './pem.js';
import { quoted, readTrustDomain } from './spiffe-id.js';
import type { TrustBundles, X509Svid } from './types.js';

/** Bundles as they are configured: for each trust domain its authorities in PEM, as one text or several. */
export type BundleTexts = Readonly<Record<string, string | readonly string[]>>;

const CERTIFICATE = 'CERTIFICATE';

/**
 * Parses a certificate chain (leaf first) and its private key (PKCS #8, PKCS #1 or SEC 1, not encrypted). Checked: the
 * leaf is an X509-SVID, and the key belongs to it. A private key beside the certificates in one text is allowed and
 * ignored. Not checked: the chain, validity (see {@link identityProblems}).
 *
 * @throws ConfigurationError listing every problem
 */
export function parseSvid(certificatePem: string, privateKeyPem: string): X509Svid {
  const problems: Problem[] = [];
  const chain = readChain(certificatePem, problems);
  const key = readKey(privateKeyPem, problems);
  const [leaf] = chain;
  if (leaf === undefined) throw new ConfigurationError('The X.509-SVID cannot be used', problems);
  const read = attempt('the leaf', () => {
    const certificate = parseCertificate(leaf);
    const node = nodeCertificate(certificate);
    const identity = readPeerIdentity(certificate, node);
    return isDenial(identity) ? identity : { identity, node };
  });
  if (isDenial(read)) {
    problems.push(problem('certificate', read.detail, 'Issue an X509-SVID: one SPIFFE ID, not a CA, digitalSignature'));
  } else if (key !== null && !read.node.checkPrivateKey(key)) {
    problems.push(
      problem(
        'privateKey',
        `it is not the key of the certificate ${read.identity.fingerprint}`,
        'Give the key of the same pair; a rotation that was caught half-way looks like this too',
      ),
    );
  }
  if (problems.length > 0 || isDenial(read) || key === null) {
    throw new ConfigurationError('The X.509-SVID cannot be used', problems);
  }
  const { spiffeId, trustDomain, fingerprint, notBefore, notAfter } = read.identity;
  return Object.freeze({
    spiffeId,
    trustDomain,
    chain: Object.freeze(chain),
    certificatePem: certificatesToPem(chain),
    privateKeyPem: key.export({ type: 'pkcs8', format: 'pem' }) as string,
    fingerprint,
    notBefore,
    notAfter,
  });
}

/**
 * Parses trust bundles. Checked: the names of the trust domains, and that every certificate is one of a CA that could
 * issue (X509-SVID specification, section 5; RFC 5280, section 4.2.1.9). Not checked: validity, for bundles keep old
 * authorities during a rotation; whether they signed anything.
 *
 * @throws ConfigurationError listing every problem
 */
export function parseBundles(texts: BundleTexts): TrustBundles {
  const problems: Problem[] = [];
  const bundles = new Map<TrustDomain, readonly Uint8Array[]>();
  for (const [name, text] of Object.entries(texts)) {
    const place = `bundles[${quoted(name)}]`;
    const trustDomain = readTrustDomain(name);
    if (trustDomain === null) {
      problems.push(problem(place, 'it is not the name of a trust domain', 'Write acme.example, without spiffe://'));
      continue;
    }
    const authorities = readAuthorities(place, typeof text === 'string' ? [text] : text, problems);
    bundles.set(trustDomain, Object.freeze(authorities));
  }
  if (Object.keys(texts).length === 0) {
    problems.push(problem('bundles', 'there is none', 'Give at least the bundle of the own trust domain'));
  }
  if (problems.length > 0) throw new ConfigurationError('The trust bundles cannot be used', problems);
  return bundles;
}

/**
 * What keeps a parsed SVID from working with these bundles at `now` (milliseconds since the Unix epoch): no bundle for
 * its own trust domain, no path to it, expired or not yet valid. Empty when nothing does.
 */
export function identityProblems(svid: X509Svid, bundles: TrustBundles, now: number): readonly Problem[] {
  const bundle = bundles.get(svid.trustDomain);
  if (bundle === undefined) {
    const remedy = `Give the authorities of ${svid.trustDomain} under bundles[${quoted(svid.trustDomain)}]`;
    return [problem('bundles', `there is none for the own trust domain ${svid.trustDomain}`, remedy)];
  }
  const denial = pathDenial(svid, bundle, now);
  if (denial === null) return [];
  const remedies: Partial<Record<Denial['reason'], string>> = {
    PEER_EXPIRED: 'Renew the certificate, or set the clock right',
    PEER_UNTRUSTED: 'Send the intermediates with the leaf, and give the root that issued them as bundle',
  };
  return [problem('certificate', denial.detail, remedies[denial.reason] ?? 'Issue the certificate anew')];
}

function pathDenial(svid: X509Svid, bundle: readonly Uint8Array[], now: number): Denial | null {
  const offered = readOffered(svid.chain);
  if (isDenial(offered)) return offered;
  // A workload that only ever serves, or only ever calls, may hold a certificate for that alone.
  const purposes = offered.leaf.certificate.extendedKeyUsage;
  const servesOnly = purposes !== null && !purposes.includes(KEY_PURPOSE.clientAuth);
  const path = buildPath(offered.leaf, offered.others, readAll(bundle), {
    now,
    role: servesOnly ? 'server' : 'client',
  });
  return isDenial(path) ? path : null;
}

function readChain(text: string, problems: Problem[]): Uint8Array[] {
  const blocks = typeof text === 'string' ? readPem(text) : null;
  if (blocks === null) {
    problems.push(
      problem('certificate', 'it is not PEM, or is cut short', 'Give the text of the PEM file, leaf first'),
    );
    return [];
  }
  const chain: Uint8Array[] = [];
  for (const block of blocks) {
    if (block.label === CERTIFICATE) chain.push(block.der);
    else if (!block.label.endsWith('PRIVATE KEY')) {
      problems.push(problem('certificate', `it holds a ${block.label}`, 'Give certificates only, leaf first'));
    }
  }
  if (chain.length === 0)
    problems.push(problem('certificate', 'it holds no certificate', 'Give the leaf, then its intermediates'));
  return chain;
}

function readKey(text: string, problems: Problem[]): KeyObject | null {
  const blocks = typeof text === 'string' ? readPem(text) : null;
  const keys = blocks?.filter((block) => block.label.endsWith('PRIVATE KEY')) ?? [];
  const [only] = keys;
  const report = (what: string, remedy: string): null => {
    problems.push(problem('privateKey', what, remedy));
    return null;
  };
  if (blocks === null) return report('it is not PEM, or is cut short', 'Give the text of the PEM file');
  if (only === undefined || keys.length > 1) return report(`it holds ${keys.length} private keys`, 'Give exactly one');
  try {
    return createPrivateKey(only.text);
  } catch {
    // The error of the parser is dropped: nothing about the key may reach a message.
    return report('it cannot be read, or is encrypted', 'Give an unencrypted PKCS #8 key');
  }
}

function readAuthorities(place: string, texts: readonly string[], problems: Problem[]): Uint8Array[] {
  const authorities: Uint8Array[] = [];
  const seen = new Set<string>();
  for (const text of texts) {
    const blocks = typeof text === 'string' ? readPem(text) : null;
    if (blocks === null)
      problems.push(problem(place, 'it is not PEM, or is cut short', 'Give the text of the PEM file'));
    for (const block of blocks ?? []) {
      const wrong = block.label === CERTIFICATE ? authorityMistake(block.der) : `it holds a ${block.label}`;
      if (wrong !== null) {
        problems.push(problem(place, wrong, 'Give certificates of authorities only (CA:TRUE, keyCertSign)'));
      } else if (!seen.has(block.text)) {
        seen.add(block.text);
        authorities.push(block.der);
      }
    }
  }
  if (authorities.length === 0) problems.push(problem(place, 'it holds no usable authority', 'Give at least one'));
  return authorities;
}

function authorityMistake(der: Uint8Array): string | null {
  const read = attempt('a certificate', () => {
    const link = readPathCertificate(der);
    return { mistake: authorityProblem(link.certificate), node: link.node };
  });
  return isDenial(read) ? read.detail : read.mistake;
}

function problem(place: string, what: string, remedy: string): Problem {
  return { place, problem: what, remedy };
}
