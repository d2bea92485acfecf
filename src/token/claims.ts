/**
 * The claims of a token: the profiles `at+jwt` (RFC 9068, bound by RFC 8705) and `jwt-svid` (SPIFFE). Pure: no I/O, no
 * clock; what depends on the time or the connection is checked on each call, see `check.ts`.
 *
 * @module
 */

import type { Actor, Claims } from '../call.js';
import { type Denial, deny } from '../errors.js';
import { isBase64urlOf } from './base64url.js';
import type { Interner } from './interner.js';
import { bareObject, isJsonObject, type JsonObject, type JsonValue } from './strict-json.js';
import type { TokenProfile } from './types.js';

/** Greatest length of the chain in `act`. */
export const MAX_ACTORS = 4;

const MAX_TEXT = 2048;
const MAX_ID = 256;
// The last second a `Date` can hold.
const LAST_SECOND = 8_640_000_000_000;
const CONTROL = /\p{Cc}/u;
const AT_JWT = /^(?:application\/)?at\+jwt$/i;

/** What the shape of claims depends on. */
export interface ClaimRules {
  readonly profile: TokenProfile;
  readonly binding: 'certificate' | null;
  readonly maxLifetimeSeconds: number;
}

/** Claims whose shape is right. Times are milliseconds since the Unix epoch. */
export interface ClaimShape {
  /** Frozen; `aud` is its one value as text. */
  readonly claims: Claims;
  readonly id: string | null;
  readonly issuedAt: number | null;
  readonly notBefore: number | null;
  readonly expiresAt: number;
  readonly confirmation: string | null;
  readonly actors: readonly Actor[];
  readonly clientId: string | null;
  readonly transaction: string | null;
}

/** Whether the `typ` header is the one of the profile (RFC 9068, section 2.1; JWT-SVID, section 2.3). */
export function typeFits(profile: TokenProfile, typ: JsonValue | undefined): boolean {
  if (profile === 'at+jwt') return typeof typ === 'string' && AT_JWT.test(typ);
  return typ === undefined || typ === 'JWT' || typ === 'JOSE';
}

/** Whether a value may stand as a name: text, not empty, bounded, without control characters. */
export function isName(value: unknown, max = MAX_TEXT): value is string {
  return typeof value === 'string' && value !== '' && value.length <= max && !CONTROL.test(value);
}

/**
 * Checks presence, type, range and shape of the claims of a profile. Does not check the signature, whether the issuer may
 * say this, audience, times against a clock, binding to a connection, or grants.
 */
export function readClaims(payload: JsonObject, rules: ClaimRules, interner: Interner): ClaimShape | Denial {
  const svid = rules.profile === 'jwt-svid';
  const { iss, sub, iat, nbf, exp, jti, act, txn } = payload;
  const clientId = payload['client_id'];
  if (!isName(iss)) return malformed('iss', iss);
  if (!isName(sub)) return malformed('sub', sub);
  const aud = audienceOf(payload['aud']);
  if (typeof aud !== 'string') return aud;
  if (!isSecond(exp)) return malformed('exp', exp);
  if (!isSecond(iat) && !(svid && iat === undefined)) return malformed('iat', iat);
  if (nbf !== undefined && !isSecond(nbf)) return malformed('nbf', nbf);
  if (!isName(jti, MAX_ID) && !(svid && jti === undefined)) return malformed('jti', jti);
  if (clientId !== undefined && !isName(clientId)) return malformed('client_id', clientId);
  if (txn !== undefined && !isName(txn, MAX_ID)) return malformed('txn', txn);
  if ((iat !== undefined && iat >= exp) || (nbf !== undefined && nbf >= exp)) {
    return deny('TOKEN_MALFORMED', 'iat or nbf is not before exp');
  }
  if (iat !== undefined && exp - iat > rules.maxLifetimeSeconds) {
    return deny('TOKEN_LIFETIME', `it lives ${exp - iat} s, at most ${rules.maxLifetimeSeconds} s are accepted`);
  }
  const confirmation = confirmationOf(payload['cnf'], rules.binding);
  if (confirmation !== null && typeof confirmation !== 'string') return confirmation;
  if (svid && act !== undefined) return deny('TOKEN_MALFORMED', 'act in a token of the jwt-svid profile');
  const actors = act === undefined ? NO_ACTORS : actorsOf(act);
  if ('reason' in actors) return actors;
  const claims = bareObject();
  for (const name of Object.keys(payload)) {
    const value = payload[name] as JsonValue;
    // Each token has its own `jti`; all else tends to recur.
    claims[name] = name === 'jti' ? value : interner.value(name === 'aud' ? aud : value);
  }
  return {
    claims: Object.freeze(claims) as unknown as Claims,
    id: jti ?? null,
    issuedAt: iat === undefined ? null : iat * 1000,
    notBefore: nbf === undefined ? null : nbf * 1000,
    expiresAt: exp * 1000,
    confirmation: confirmation === null ? null : interner.text(confirmation),
    actors,
    clientId: clientId === undefined ? null : interner.text(clientId),
    transaction: txn ?? null,
  };
}

const NO_ACTORS: readonly Actor[] = Object.freeze([]);

/** Exactly one value: text, or an array of one text. */
function audienceOf(aud: JsonValue | undefined): string | Denial {
  if (isName(aud)) return aud;
  if (!Array.isArray(aud) || aud.length === 0 || !aud.every((value: JsonValue) => isName(value))) {
    return malformed('aud', aud);
  }
  return aud.length === 1 ? (aud[0] as string) : deny('TOKEN_AUDIENCE', 'more than one audience');
}

/** `x5t#S256` and nothing else: another method of confirmation could not be checked here, so it is not overlooked either. */
function confirmationOf(cnf: JsonValue | undefined, binding: 'certificate' | null): string | null | Denial {
  if (cnf === undefined) {
    return binding === null ? null : deny('TOKEN_BINDING_MISSING', 'there is no cnf claim');
  }
  const thumbprint = isJsonObject(cnf) ? cnf['x5t#S256'] : undefined;
  if (!isJsonObject(cnf) || Object.keys(cnf).length !== 1 || !isBase64urlOf(thumbprint, 32)) {
    return deny('TOKEN_BINDING_MISSING', 'cnf is not { "x5t#S256": base64url of 32 bytes }');
  }
  return thumbprint;
}

/** RFC 8693, section 4.1: the outermost `act` is who presents the token, the nested ones came before. */
function actorsOf(act: JsonValue): readonly Actor[] | Denial {
  const actors: Actor[] = [];
  for (let next: JsonValue | undefined = act; next !== undefined; next = next['act']) {
    if (!isJsonObject(next)) return deny('TOKEN_MALFORMED', 'act is not an object');
    if (actors.length === MAX_ACTORS) return deny('DELEGATION_DEPTH', `more than ${MAX_ACTORS} actors`);
    const { sub, iss } = next;
    if (Object.keys(next).some((name) => name !== 'sub' && name !== 'iss' && name !== 'act')) {
      return deny('TOKEN_MALFORMED', 'act holds more than sub, iss and act');
    }
    if (!isName(sub) || (iss !== undefined && !isName(iss))) return deny('TOKEN_MALFORMED', 'act: sub or iss');
    actors.push(Object.freeze(iss === undefined ? { subject: sub } : { subject: sub, issuer: iss }));
  }
  return Object.freeze(actors);
}

function isSecond(value: JsonValue | undefined): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= LAST_SECOND;
}

function malformed(claim: string, value: JsonValue | undefined): Denial {
  return deny(
    'TOKEN_MALFORMED',
    `the claim ${claim} is ${value === undefined ? 'missing' : 'of the wrong type or range'}`,
  );
}
