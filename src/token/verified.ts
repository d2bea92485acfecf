/**
 * A token after its signature, shape and issuer bounds were verified.
 *
 * @module
 */

import type { Actor, Claims, Grant } from '../call.js';
import { type Denial, deny } from '../errors.js';
import type { ClaimShape } from './claims.js';
import { intersectGrants, parseGrants, readGrants } from './grants.js';
import type { IssuerRules } from './issuers.js';
import type { VerificationKey } from './keys.js';
import type { JsonObject } from './strict-json.js';
import { isSubject, matchesAny } from './subjects.js';
import type { TokenProfile, VerifiedToken } from './types.js';

/**
 * The one implementation of {@link VerifiedToken}. It remembers, out of reach of others, by which rules and key it was
 * verified, so that an object that merely looks like one is never taken for one.
 */
export class IssuedToken implements VerifiedToken {
  readonly #rules: IssuerRules;
  readonly #key: VerificationKey;
  readonly subject: string;
  readonly id: string | null;
  readonly issuedAt: number | null;
  readonly notBefore: number | null;
  readonly expiresAt: number;
  readonly confirmation: string | null;
  readonly actors: readonly Actor[];
  readonly clientId: string | null;
  readonly transaction: string | null;
  readonly grants: readonly Grant[];
  readonly claims: Claims;

  constructor(rules: IssuerRules, key: VerificationKey, subject: string, shape: ClaimShape, grants: readonly Grant[]) {
    this.#rules = rules;
    this.#key = key;
    this.subject = subject;
    this.id = shape.id;
    this.issuedAt = shape.issuedAt;
    this.notBefore = shape.notBefore;
    this.expiresAt = shape.expiresAt;
    this.confirmation = shape.confirmation;
    this.actors = shape.actors;
    this.clientId = shape.clientId;
    this.transaction = shape.transaction;
    this.grants = grants;
    this.claims = shape.claims;
    Object.freeze(this);
  }

  get profile(): TokenProfile {
    return this.#rules.profile;
  }

  get issuer(): string {
    return this.#rules.issuer;
  }

  get audience(): string {
    return this.claims.aud;
  }

  get keyId(): string {
    return this.#key.kid;
  }

  /** The rules by which `token` was verified; `null` for anything that was not. */
  static rulesOf(token: VerifiedToken): IssuerRules | null {
    return #rules in token ? token.#rules : null;
  }

  /** The key under which `token` was verified; `null` for anything that was not. */
  static keyOf(token: VerifiedToken): VerificationKey | null {
    return #key in token ? token.#key : null;
  }
}

/**
 * Checks what an issuer says against what it is trusted for: subjects, actors, grants within its ceiling. Functions of the
 * configuration run here, on verified claims only; one that throws, or answers with something else than it should,
 * refuses the token.
 */
export function issue(
  rules: IssuerRules,
  key: VerificationKey,
  shape: ClaimShape,
  ceilings: Ceilings,
): IssuedToken | Denial {
  const { claims } = shape;
  const subject = subjectOf(rules, claims);
  if (typeof subject !== 'string') return subject;
  if (!matchesAny(rules.subjects, subject)) {
    return deny('TOKEN_SUBJECT', `the issuer may not speak for ${JSON.stringify(subject)}`);
  }
  for (const actor of shape.actors) {
    if (!isSubject(actor.subject) || !matchesAny(rules.actors, actor.subject)) {
      return deny('DELEGATION_ACTOR', `the issuer may not name the actor ${JSON.stringify(actor.subject)}`);
    }
  }
  const grants = ceilings.grantsOf(rules, claims);
  return 'reason' in grants ? grants : new IssuedToken(rules, key, subject, shape, grants);
}

/** Grants within the ceiling of their issuer, worked out once for each list of `authorization_details` that is shared. */
export class Ceilings {
  readonly #known = new WeakMap<object, { readonly rules: IssuerRules; readonly grants: readonly Grant[] }>();

  grantsOf(rules: IssuerRules, claims: Claims): readonly Grant[] | Denial {
    const details = claims['authorization_details'];
    const sharable = rules.grants === 'authorization_details' && claims['scope'] === undefined && isObject(details);
    const known = sharable ? this.#known.get(details) : undefined;
    if (known?.rules === rules) return known.grants;
    const stated =
      rules.grants === 'authorization_details'
        ? readGrants(claims as unknown as JsonObject)
        : mapGrants(rules.grants, claims);
    if ('reason' in stated) return stated;
    const grants = intersectGrants(stated, rules.permits);
    if (sharable) this.#known.set(details, { rules, grants });
    return grants;
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}

function subjectOf(rules: IssuerRules, claims: Claims): string | Denial {
  let subject: unknown = claims.sub;
  if (rules.subject !== null) {
    try {
      subject = rules.subject(claims);
    } catch {
      return deny('TOKEN_MALFORMED', 'the subject function of the configuration threw');
    }
  }
  return isSubject(subject) ? subject : deny('TOKEN_SUBJECT', 'the subject is no name, or no well-formed SPIFFE ID');
}

function mapGrants(grants: (claims: Claims) => readonly Grant[], claims: Claims) {
  let value: unknown;
  try {
    value = grants(claims);
  } catch {
    return deny('TOKEN_MALFORMED', 'the grants function of the configuration threw');
  }
  return (
    parseGrants(value) ?? deny('TOKEN_MALFORMED', 'the grants function of the configuration returned no list of grants')
  );
}
