/**
 * An identity that does not change.
 *
 * @module
 */

import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError, type Problem } from '../errors.js';
import { type BundleTexts, identityProblems, parseBundles, parseSvid } from './material.js';
import { PublishedIdentity } from './source.js';
import type { X509Source } from './types.js';

/** Options of {@link staticIdentity}: texts, not paths. */
export interface StaticIdentityOptions {
  /** The certificate in PEM: leaf first, then intermediates. */
  readonly certificate: string;
  /** The private key in PEM: PKCS #8, PKCS #1 or SEC 1, not encrypted. */
  readonly privateKey: string;
  /** For each trust domain (`acme.example`) its authorities in PEM. The own trust domain must be among them. */
  readonly bundles: BundleTexts;
  /** Default: the clock of the machine. */
  readonly clock?: Clock;
}

/**
 * An {@link X509Source} over PEM texts that never changes: for tests, tools and processes that live shorter than their
 * certificate. It never renews; when the certificate expires, connections end. Use `fileIdentity` for services.
 *
 * Checked once, at the start: the leaf is an X509-SVID (X509-SVID specification, sections 2 to 5), the key belongs to
 * it, the bundles hold authorities only, the chain leads to the bundle of the own trust domain and is valid now. Not
 * checked: revocation; whether the authority is one of the test kit (the guards do).
 *
 * @throws ConfigurationError (as a rejection) that lists every problem and never holds key material
 */
export async function staticIdentity(options: StaticIdentityOptions): Promise<X509Source> {
  const problems: Problem[] = [];
  const svid = collect(problems, () => parseSvid(options.certificate, options.privateKey));
  const bundles = collect(problems, () => parseBundles(options.bundles));
  if (svid !== null && bundles !== null) {
    problems.push(...identityProblems(svid, bundles, (options.clock ?? systemClock).now()));
  }
  if (svid === null || bundles === null || problems.length > 0) {
    throw new ConfigurationError('staticIdentity: the identity cannot be used', problems);
  }
  return new PublishedIdentity({ svid, bundles });
}

function collect<T>(problems: Problem[], parse: () => T): T | null {
  try {
    return parse();
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    problems.push(...error.problems);
    return null;
  }
}
