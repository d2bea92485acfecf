/**
 * SPIFFE IDs, read strictly (SPIFFE-ID specification, section 2). Nothing is normalised: a text is a SPIFFE ID exactly
 * as it stands, or it is refused.
 *
 * @module
 */

import type { SpiffeId, TrustDomain } from '../call.js';
import { deny, RefusalError } from '../errors.js';

const SCHEME = 'spiffe://';
const LONGEST_ID = 2048;
const TRUST_DOMAIN = /^[a-z0-9._-]{1,255}$/;
const SEGMENT = /^[A-Za-z0-9._-]+$/;

/** What is wrong with `text` as a SPIFFE ID, in words; `null` when it is one. Never throws. */
export function spiffeIdProblem(text: string): string | null {
  if (!text.startsWith(SCHEME)) return 'does not start with spiffe:// in lower case';
  // Only ASCII passes the tests below, so from here on characters are bytes.
  if (text.length > LONGEST_ID) return `is longer than ${LONGEST_ID} bytes`;
  const slash = text.indexOf('/', SCHEME.length);
  const trustDomain = slash < 0 ? text.slice(SCHEME.length) : text.slice(SCHEME.length, slash);
  if (!TRUST_DOMAIN.test(trustDomain))
    return 'has a trust domain that is not 1 to 255 of a-z, 0-9, dot, dash and underscore';
  if (slash < 0) return null;
  for (const segment of text.slice(slash + 1).split('/')) {
    if (segment === '') return 'has an empty segment in its path, or a slash at its end';
    if (segment === '.' || segment === '..') return 'has a relative segment in its path';
    if (!SEGMENT.test(segment))
      return 'has a character in its path other than letters, digits, dot, dash and underscore';
  }
  return null;
}

/**
 * Parses a SPIFFE ID. An ID without a path is accepted: it names a trust domain, never a workload (see
 * {@link hasPath}). It is not checked whether anyone holds the ID.
 *
 * @throws RefusalError `PEER_INVALID`, with the mistake in `detail`: another scheme or a scheme in upper case, user
 *   information, a port, a query, a fragment, percent-encoding, an empty or relative segment, a trailing slash, more
 *   than 2048 bytes (SPIFFE-ID specification, sections 2.1 to 2.3).
 */
export function parseSpiffeId(text: string): SpiffeId {
  const problem = typeof text === 'string' ? spiffeIdProblem(text) : 'is not a text';
  if (problem !== null) throw new RefusalError(deny('PEER_INVALID', `${quoted(text)} is no SPIFFE ID: it ${problem}`));
  return text as SpiffeId;
}

/** The trust domain of a parsed SPIFFE ID. */
export function trustDomainOf(id: SpiffeId): TrustDomain {
  const slash = id.indexOf('/', SCHEME.length);
  return (slash < 0 ? id.slice(SCHEME.length) : id.slice(SCHEME.length, slash)) as TrustDomain;
}

/** Whether a parsed SPIFFE ID names a workload, and not only a trust domain. */
export function hasPath(id: SpiffeId): boolean {
  return id.indexOf('/', SCHEME.length) > 0;
}

/** The name of a trust domain (`acme.example`, without scheme); `null` when it is malformed. */
export function readTrustDomain(text: string): TrustDomain | null {
  return TRUST_DOMAIN.test(text) ? (text as TrustDomain) : null;
}

/** Foreign text as it may stand in a detail: escaped and cut, so that it can neither forge nor flood a log. */
export function quoted(text: unknown): string {
  const whole = String(text);
  const ascii = JSON.stringify(whole.slice(0, 120)).replace(
    /[^\x20-\x7e]/g,
    (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return whole.length > 120 ? `${ascii}... (${whole.length} characters)` : ascii;
}
