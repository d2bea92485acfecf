/**
 * Tokens of a test issuer, honest unless told otherwise.
 *
 * @module
 */

import { randomUUID } from 'node:crypto';
import type { Actor, Grant } from '../call.js';
import { signJwt, type TokenKey } from './token-key.js';

/** What a token of the test kit shall say. */
export interface TestTokenOptions {
  /** On whose behalf. Default: the SPIFFE ID of `boundTo`. */
  readonly subject?: string;
  /** The SPIFFE ID of the server, or the audience it expects. */
  readonly audience: string;
  /** Become `authorization_details` entries of type `zerotrust` (RFC 9396). */
  readonly grants?: readonly Grant[];
  /** One text, or the values of it. */
  readonly scope?: string | readonly string[];
  /** What the token is bound to (`cnf.x5t#S256`, RFC 8705); `null` makes an unbound one, which guards refuse. */
  readonly boundTo: { readonly fingerprint: string; readonly spiffeId?: string } | null;
  /** Default 300. */
  readonly lifetimeSeconds?: number;
  /** Who acts, outermost (who presents the token) first (RFC 8693). */
  readonly actors?: readonly (string | Actor)[];
  /** Put over the claims: replaces what is given, adds what is new, and `undefined` removes. */
  readonly claims?: Readonly<Record<string, unknown>>;
  /** Put over the header in the same way. The signature is ES256 whatever `alg` says. */
  readonly header?: Readonly<Record<string, unknown>>;
}

/**
 * Signs a token of the profile `at+jwt` (RFC 9068), issued at `now` (milliseconds since the Unix epoch). Nothing is
 * checked: `claims` and `header` may make it as wrong as a test needs.
 *
 * @throws Error where neither `subject`, `boundTo` nor `claims` says whose token it is
 */
export function signTestToken(key: TokenKey, issuer: string, now: number, options: TestTokenOptions): string {
  const { audience, grants, scope, boundTo, lifetimeSeconds = 300, actors = [], claims = {}, header = {} } = options;
  const subject = options.subject ?? boundTo?.spiffeId;
  if (subject === undefined && !('sub' in claims)) {
    throw new Error('token(): give `subject`, or bind the token to something with a SPIFFE ID.');
  }
  const issuedAt = Math.floor(now / 1000);
  const payload = {
    iss: issuer,
    sub: subject,
    aud: audience,
    iat: issuedAt,
    exp: issuedAt + lifetimeSeconds,
    jti: randomUUID(),
    ...(boundTo !== null && { cnf: { 'x5t#S256': boundTo.fingerprint } }),
    ...(grants !== undefined && {
      authorization_details: grants.map(({ actions, resources }) => ({ type: 'zerotrust', actions, resources })),
    }),
    ...(scope !== undefined && { scope: typeof scope === 'string' ? scope : scope.join(' ') }),
    ...(actors.length > 0 && { act: actClaim(actors) }),
    ...claims,
  };
  return signJwt(key, { alg: 'ES256', typ: 'at+jwt', kid: key.id, ...header }, payload);
}

/** Nests actors as RFC 8693 (section 4.1) does: the outermost claim is who acts now. */
function actClaim(actors: readonly (string | Actor)[]): object | undefined {
  return actors.reduceRight<object | undefined>((inner, actor) => {
    const { subject, issuer = undefined } = typeof actor === 'string' ? { subject: actor } : actor;
    return { sub: subject, ...(issuer !== undefined && { iss: issuer }), ...(inner && { act: inner }) };
  }, undefined);
}
