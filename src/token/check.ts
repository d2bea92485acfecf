/**
 * What is checked on every call, remembered token or not. Pure and synchronous; the clock is passed in.
 *
 * @module
 */

import type { PeerIdentity } from '../call.js';
import { type Denial, deny } from '../errors.js';
import type { IssuerRules } from './issuers.js';
import type { VerifiedToken } from './types.js';

/**
 * Validity in time (RFC 7519, sections 4.1.4 to 4.1.6). Lifetime gets no tolerance; where the token does not say when it
 * was issued, what is left of its life counts.
 */
export function checkTime(token: VerifiedToken, rules: IssuerRules, now: number, toleranceMs: number): Denial | null {
  const { expiresAt, issuedAt, notBefore } = token;
  // Written so that a clock that is no number refuses.
  if (!(now < expiresAt + toleranceMs)) return deny('TOKEN_EXPIRED', `it expired at ${expiresAt} ms, now is ${now} ms`);
  if (issuedAt !== null && issuedAt > now + toleranceMs) {
    return deny('TOKEN_NOT_YET_VALID', `it was issued at ${issuedAt} ms, now is ${now} ms`);
  }
  if (notBefore !== null && notBefore > now + toleranceMs) {
    return deny('TOKEN_NOT_YET_VALID', `it is valid from ${notBefore} ms, now is ${now} ms`);
  }
  if (issuedAt === null && expiresAt - now > rules.maxLifetimeSeconds * 1000) {
    return deny(
      'TOKEN_LIFETIME',
      `it still lives ${expiresAt - now} ms, at most ${rules.maxLifetimeSeconds} s are accepted`,
    );
  }
  return null;
}

/** Whether a token that passes is good only thanks to the tolerance: the clocks differ. */
export function needsTolerance({ expiresAt, issuedAt, notBefore }: VerifiedToken, now: number): boolean {
  return now >= expiresAt || (issuedAt ?? now) > now || (notBefore ?? now) > now;
}

/** The audience, compared exactly (RFC 7519, section 4.1.3). */
export function checkAudience(token: VerifiedToken, audience: string): Denial | null {
  return token.audience === audience
    ? null
    : deny('TOKEN_AUDIENCE', `it is meant for ${JSON.stringify(token.audience)}`);
}

/**
 * Binding to the leaf of *this* connection (RFC 8705, section 3), and the presenter: the subject itself, or where there is
 * an `act` chain the outermost actor.
 */
export function checkPresenter(token: VerifiedToken, rules: IssuerRules, peer: PeerIdentity): Denial | null {
  if (token.confirmation === null) {
    if (rules.binding !== null) return deny('TOKEN_BINDING_MISSING', 'it is bound to no certificate');
  } else if (token.confirmation !== peer.fingerprint) {
    return deny(
      'TOKEN_BINDING_MISMATCH',
      `it is bound to ${token.confirmation}, the peer's leaf is ${peer.fingerprint}`,
    );
  }
  const presenter = token.actors[0]?.subject ?? token.subject;
  if (presenter !== peer.spiffeId) {
    return deny('TOKEN_SUBJECT', `it may be presented by ${JSON.stringify(presenter)}, the peer is ${peer.spiffeId}`);
  }
  return null;
}
