/**
 * What a call is about: who is calling, through whom, with which rights. Types that every room shares, and
 * {@link principalOf}, by which a handler asks.
 *
 * @module
 */

declare const spiffeIdBrand: unique symbol;
declare const trustDomainBrand: unique symbol;
declare const peerBrand: unique symbol;
declare const claimsBrand: unique symbol;
declare const resourceBrand: unique symbol;

/** The text of a SPIFFE ID as it is written in configuration; parsed and checked at start. */
export type SpiffeIdText = `spiffe://${string}`;

/** A SPIFFE ID that was parsed (SPIFFE-ID specification, section 2). A string, so that it compares and prints as one. */
export type SpiffeId = SpiffeIdText & { readonly [spiffeIdBrand]: true };

/** The name of a trust domain that was parsed, for example `acme.example`. */
export type TrustDomain = string & { readonly [trustDomainBrand]: true };

/** What TLS proved about the other side of a connection: settled once per connection. */
export interface PeerIdentity {
  readonly [peerBrand]: true;
  readonly spiffeId: SpiffeId;
  readonly trustDomain: TrustDomain;
  /** `x5t#S256` of the leaf: SHA-256 of its DER, base64url without padding (RFC 8705, section 3.1). */
  readonly fingerprint: string;
  /** Upper-case hexadecimal. */
  readonly serialNumber: string;
  /** The distinguished name of the issuer of the leaf. */
  readonly issuer: string;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
  /** Milliseconds since the Unix epoch. */
  readonly notAfter: number;
}

/** Claims of a token whose signature and shape were verified. Frozen. */
export interface Claims {
  readonly [claimsBrand]: true;
  readonly iss: string;
  readonly sub: string;
  readonly aud: string;
  readonly exp: number;
  readonly iat?: number;
  readonly jti?: string;
  readonly [name: string]: unknown;
}

/**
 * A right: these actions on these resources. An action is a permission, or a prefix ending in `.*`. A resource is an
 * anchored pattern: `*` is one whole segment, a trailing `**` is one or more. An empty list of resources (what a
 * `scope` gives) satisfies only checks that name no resource.
 */
export interface Grant {
  readonly actions: readonly string[];
  readonly resources: readonly string[];
}

/** One who acts on behalf of the subject (RFC 8693, section 4.1). */
export interface Actor {
  readonly subject: string;
  readonly issuer?: string;
}

/** A resource built with the `resource` template tag. */
export interface Resource {
  readonly [resourceBrand]: true;
  readonly segments: readonly string[];
}

/** A resource as segments (`['projects', id, 'tasks', taskId]`) or built with the `resource` tag; never concatenated text. */
export type ResourceInput = readonly string[] | Resource;

/** The token of a call, as the handler sees it. Times are milliseconds since the Unix epoch. */
export interface PrincipalToken {
  readonly issuer: string;
  readonly id: string | null;
  readonly audience: string;
  readonly issuedAt: number | null;
  readonly expiresAt: number;
  readonly claims: Claims;
}

/** Who is calling. Frozen. Made only from what TLS proved and a verified token. */
export interface Principal {
  /** The workload at the other end of the connection. */
  readonly peer: PeerIdentity;
  /** The issuer of the token; `null` on methods that read no token. */
  readonly issuer: string | null;
  /** On whose behalf: the subject of the token, or the peer's SPIFFE ID on methods that read no token. */
  readonly subject: string;
  /** Through whom: outermost actor first; empty when the subject itself calls. */
  readonly actors: readonly Actor[];
  readonly token: PrincipalToken | null;
  /** What the token grants, within what its issuer may grant. */
  readonly grants: readonly Grant[];
  /**
   * Whether the principal holds `permission` on `resource`. Without a resource: on everything, or by `scope`. False for a
   * resource that is empty or malformed.
   */
  can(permission: string, resource?: ResourceInput): boolean;
  /** Those of `items` whose resource the principal holds `permission` on. */
  filter<T>(permission: string, items: readonly T[], resourceOf: (item: T) => ResourceInput): T[];
}

/** What {@link principalOf} needs of a grpc-js server call: all four kinds have it. */
export interface CallWithMetadata {
  readonly metadata: { getOpaque(key: string): unknown };
}

/** Under this key the guard leaves the principal in the opaque data of the call's metadata; it is never sent. */
export const PRINCIPAL_KEY = 'zerotrust.principal';

/**
 * Who is calling. Works in unary, client-streaming, server-streaming and bidirectional handlers.
 *
 * @throws Error when the call did not pass a guard, or its metadata was cloned on the way (`clone()` drops it).
 */
export function principalOf(call: CallWithMetadata): Principal {
  const principal = call.metadata.getOpaque(PRINCIPAL_KEY) as Principal | undefined;
  if (principal === undefined) {
    throw new Error(
      'principalOf(): this call carries no principal. It did not pass a guard, or an interceptor cloned its metadata.',
    );
  }
  return principal;
}
