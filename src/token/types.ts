/**
 * Tokens: what issuers are trusted for, and what a verified token says.
 *
 * @module
 */

import type { JSONWebKeySet } from 'jose';
import type { Actor, Claims, Grant, PeerIdentity } from '../call.js';
import type { Denial } from '../errors.js';
import type { Closeable } from '../lifecycle.js';

/** A source of an issuer's public keys. */
export interface JwksSource extends Closeable {
  /** Waits for the first good key set; throws a `ConfigurationError` when there is none. */
  ready(): Promise<void>;
  /** The last good key set, or `null` when there is none that may still be used. */
  current(): JSONWebKeySet | null;
  /** Called after each change of the key set. */
  onChange(listener: () => void): () => void;
  /** A token named a key that is not in the set: the source may look again (with a cool-down of its own). */
  refresh(): Promise<void>;
}

/** `at+jwt` (RFC 9068, bound by RFC 8705) or SPIRE's `jwt-svid`. */
export type TokenProfile = 'at+jwt' | 'jwt-svid';

/** Signature algorithms that may be chosen; `none` and HMAC cannot. */
export type SignatureAlgorithm =
  | 'ES256'
  | 'ES384'
  | 'ES512'
  | 'EdDSA'
  | 'Ed25519'
  | 'PS256'
  | 'PS384'
  | 'PS512'
  | 'RS256'
  | 'RS384'
  | 'RS512';

/** What an issuer of either profile is trusted for. */
export interface AnyIssuerOptions {
  /** Exact value of `iss`. */
  readonly issuer: string;
  /** A JWKS, or a source of one. */
  readonly keys: JSONWebKeySet | JwksSource;
  /** Patterns of the subjects it may speak for. */
  readonly subjects: readonly string[];
  /** The ceiling on what it may grant. */
  readonly permits: readonly Grant[];
  /** Where its tokens carry their rights. */
  readonly grants: 'authorization_details' | ((claims: Claims) => readonly Grant[]);
  /** Maps the subject of an issuer whose subjects are not SPIFFE IDs. */
  readonly subject?: (claims: Claims) => string;
  /** Greatest `exp - iat`. Default 300. */
  readonly maxLifetimeSeconds?: number;
  /** Default `['ES256', 'EdDSA']`. */
  readonly algorithms?: readonly SignatureAlgorithm[];
}

/** An issuer of access tokens (RFC 9068), each bound to the certificate of its presenter (RFC 8705). */
export interface AccessTokenIssuerOptions extends AnyIssuerOptions {
  /** Default `at+jwt`. */
  readonly profile?: 'at+jwt';
  readonly binding?: 'certificate';
  /** Patterns of the workloads that may appear in `act`. Default: nobody. */
  readonly actors?: readonly string[];
}

/** An issuer of JWT-SVIDs (SPIRE): bound by their subject alone, never delegated. */
export interface JwtSvidIssuerOptions extends AnyIssuerOptions {
  readonly profile: 'jwt-svid';
  /** A JWT-SVID has no `cnf`: `null` says that this is known. */
  readonly binding?: 'certificate' | null;
  readonly actors?: readonly string[];
}

/** What one issuer is trusted for. Its tokens can be left unbound only in the profile that cannot bind them. */
export type IssuerOptions = AccessTokenIssuerOptions | JwtSvidIssuerOptions;

/** A token whose signature and shape were verified, and which its issuer was entitled to issue. Nothing in it depends on the call. */
export interface VerifiedToken {
  readonly profile: TokenProfile;
  readonly issuer: string;
  /** On whose behalf (after the issuer's `subject` mapping). */
  readonly subject: string;
  readonly audience: string;
  /** `jti`; `null` only in the `jwt-svid` profile. */
  readonly id: string | null;
  readonly keyId: string;
  /** Milliseconds since the Unix epoch. */
  readonly issuedAt: number | null;
  readonly notBefore: number | null;
  readonly expiresAt: number;
  /** `cnf.x5t#S256`; `null` only in the `jwt-svid` profile. */
  readonly confirmation: string | null;
  /** Outermost actor (who presents the token) first. */
  readonly actors: readonly Actor[];
  readonly clientId: string | null;
  readonly transaction: string | null;
  /** What the token grants, already intersected with the issuer's `permits`; `scope` values stand as grants without resources. */
  readonly grants: readonly Grant[];
  readonly claims: Claims;
}

/** Signature, shape and issuer bounds; remembers what it verified. */
export interface TokenVerifier extends Closeable {
  /** The remembered result for exactly this text, or `null`. Synchronous, no cryptography beyond one hash. */
  recall(token: string): VerifiedToken | null;
  /** Whether a remembered token may still be used: its key is still in the key set of its issuer. Constant time. */
  current(token: VerifiedToken): boolean;
  /**
   * Verifies and remembers. Never throws: whatever goes wrong is a denial.
   * @param owner whose quota of remembered tokens this counts against (the peer's SPIFFE ID)
   */
  verify(token: string, owner: string): Promise<VerifiedToken | Denial>;
  /**
   * Every check that depends on time, audience and connection: validity, lifetime in use, audience, binding to the
   * peer's leaf, presenter. `null` when all pass. Synchronous; it runs on each call.
   */
  check(token: VerifiedToken, peer: PeerIdentity, now: number): Denial | null;
  /** How many calls passed only thanks to the clock tolerance. */
  readonly toleranceUsed: number;
  /** Which keys are in force for each issuer, and why the last reload was refused where it was. */
  posture(): readonly IssuerPosture[];
}

/** The keys of one issuer as they are enforced now. */
export interface IssuerPosture {
  readonly issuer: string;
  /** Rises with every key set that was taken into use. */
  readonly generation: number;
  /** The `kid` of every key in force; empty when no key set may be used. */
  readonly keyIds: readonly string[];
  /** Why the newest key set was refused and the one before it kept; `null` when the newest is in force. */
  readonly problem: string | null;
}

/** Remembers single-use tokens. */
export interface ReplayStore {
  /**
   * Claims `key` until `expiresAt` (milliseconds since the Unix epoch). `fresh`: it was not claimed before. `full`:
   * it cannot be remembered, which refuses the call. A rejected promise refuses it too.
   * @param owner whose quota this counts against
   */
  claim(key: string, expiresAt: number, owner: string): ClaimResult | Promise<ClaimResult>;
}

/** What {@link ReplayStore.claim} found: never seen, seen before, or no room to remember it. */
export type ClaimResult = 'fresh' | 'replayed' | 'full';

/** What is revoked, as of one epoch. */
export interface RevocationSnapshot {
  /** Rises with every change; it never goes back. */
  readonly epoch: number;
  /** Milliseconds since the Unix epoch. */
  readonly issuedAt: number;
  /** Milliseconds since the Unix epoch by which a newer one is due; `null` when none is ever due (in-process revocations). */
  readonly nextUpdate: number | null;
  /**
   * Whether a peer is revoked: its SPIFFE ID, fingerprint, serial number, or the root its chain leads to. Constant time.
   * @param root fingerprint (`x5t#S256`) of the root of the peer's chain
   */
  peerRevoked(peer: PeerIdentity, root?: string): boolean;
  /**
   * Whether a token is revoked: its id, subject, signing key or time of issue, or one of the identities it names (subject,
   * actors, the certificate it is bound to). Constant time.
   */
  tokenRevoked(token: VerifiedToken): boolean;
}

/** A source of revocations. */
export interface RevocationSource {
  current(): RevocationSnapshot;
  /** Called after each change; the returned function removes the listener. */
  onChange(listener: () => void): () => void;
}

/** What a client guard asks a token source for. */
export interface TokenRequest {
  /** The SPIFFE ID of the server, or the audience the caller named. */
  readonly audience: string;
  /** Full method, `/pkg.Service/Method`. */
  readonly method: string;
  /** The last token was refused: do not answer with the same one. */
  readonly refresh: boolean;
  /** The certificate the token must be bound to. */
  readonly svid: { readonly spiffeId: string; readonly fingerprint: string };
}

/** Where a client guard gets its tokens. */
export interface TokenSource {
  getToken(request: TokenRequest): Promise<string>;
}
