/**
 * The one place where a {@link Principal} is made: from what TLS proved and a verified token.
 *
 * @module
 */

import type { Actor, Grant, PeerIdentity, Principal, PrincipalToken, ResourceInput } from '../call.js';
import type { VerifiedToken } from '../token/types.js';
import { coveredBy, rightsOf } from './grants.js';
import { segmentsOf } from './resource.js';

class CallPrincipal implements Principal {
  readonly peer: PeerIdentity;
  readonly issuer: string | null;
  readonly subject: string;
  readonly actors: readonly Actor[];
  readonly token: PrincipalToken | null;
  readonly grants: readonly Grant[];

  constructor(peer: PeerIdentity, token: VerifiedToken | null) {
    this.peer = peer;
    this.issuer = token?.issuer ?? null;
    this.subject = token?.subject ?? peer.spiffeId;
    this.actors = token?.actors ?? NOTHING;
    this.grants = token?.grants ?? NOTHING;
    this.token =
      token === null
        ? null
        : Object.freeze({
            issuer: token.issuer,
            id: token.id,
            audience: token.audience,
            issuedAt: token.issuedAt,
            expiresAt: token.expiresAt,
            claims: token.claims,
          });
    Object.freeze(this);
  }

  can(permission: string, resource?: ResourceInput): boolean {
    if (resource === undefined) return rightsOf(this).of(permission).onEverything;
    return this.#canOn(permission, resource);
  }

  filter<T>(permission: string, items: readonly T[], resourceOf: (item: T) => ResourceInput): T[] {
    return items.filter((item) => this.#canOn(permission, resourceOf(item)));
  }

  /** Without the meaning that `can` gives to a missing resource: an item without one is not on everything. */
  #canOn(permission: string, resource: ResourceInput): boolean {
    const segments = segmentsOf(resource);
    return segments !== null && coveredBy(rightsOf(this).of(permission), segments);
  }
}

const NOTHING: readonly never[] = Object.freeze([]);

/**
 * Makes a principal. It trusts both: the caller has authenticated the peer and checked the token against it.
 *
 * @param token `null` on methods that read no token
 */
export function createPrincipal(peer: PeerIdentity, token: VerifiedToken | null): Principal {
  return new CallPrincipal(peer, token);
}
