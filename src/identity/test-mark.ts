/**
 * The mark that the authorities of the test kit carry, so that they are refused where they do not belong.
 *
 * @module
 */

import type { Problem } from '../errors.js';
import { parseCertificate } from './certificate.js';
import type { X509Source } from './types.js';

/** A non-critical extension under this object identifier (a UUID, ITU-T X.667) marks an authority of the test kit. */
export const TEST_MARK = '2.25.15614552779468437480537266270918484098';

/** The organization in the subject of every certificate of the test kit. */
export const TEST_ORGANIZATION = 'grpc-zero-trust TEST ONLY';

/**
 * Whether an authority (DER) is one of the test kit: by its extension, or by its organization. The mark guards against
 * accidents; it is no proof, for whoever makes an authority can leave it out. False for what is no certificate.
 */
export function isTestAuthority(root: Uint8Array): boolean {
  try {
    const certificate = parseCertificate(root);
    return certificate.extensions.has(TEST_MARK) || Buffer.from(certificate.subject).includes(TEST_ORGANIZATION);
  } catch {
    return false;
  }
}

/** What a guard that was not told to accept the test kit has against an identity: authorities of the kit in its bundles. */
export function testAuthorityProblems(options: {
  readonly identity: X509Source;
  readonly unsafeAllowTestAuthority?: true;
}): Problem[] {
  if (options.unsafeAllowTestAuthority === true) return [];
  const problems: Problem[] = [];
  for (const [domain, roots] of options.identity.current().bundles) {
    if (!roots.some((root) => isTestAuthority(root))) continue;
    problems.push({
      place: `identity (bundle of ${domain})`,
      problem: 'it holds an authority of the test kit, whose keys anyone can make',
      remedy: 'Use a real authority; in tests and demonstrations write `unsafeAllowTestAuthority: true`',
    });
  }
  return problems;
}
