/**
 * Every reason for which a call is refused, in one table: the gRPC status, the constant sentence the caller sees, and
 * what it means for the person who has to mend it.
 *
 * @module
 */

const UNAUTHENTICATED = 16;
const PERMISSION_DENIED = 7;
const UNAVAILABLE = 14;
const RESOURCE_EXHAUSTED = 8;

/** One row of {@link REASONS}. */
export interface ReasonEntry {
  /** The gRPC status code of the refusal. */
  readonly status: 7 | 8 | 14 | 16;
  /** The constant sentence sent to the caller. It never contains anything from the call. */
  readonly sentence: string;
  /** What the reason means and how it is mended. */
  readonly doc: string;
}

/**
 * The table of refusals. The key is the stable `reason` of `google.rpc.ErrorInfo`; programs switch on it, never on text.
 */
export const REASONS = {
  TOKEN_MISSING: {
    status: UNAUTHENTICATED,
    sentence: 'A bearer token is required.',
    doc: 'The call carried no `authorization` metadata. Give the client guard a token source.',
  },
  TOKEN_MALFORMED: {
    status: UNAUTHENTICATED,
    sentence: 'The bearer token is malformed.',
    doc: 'More than one authorization value, another scheme than Bearer, non-canonical base64url, duplicate JSON members, a critical or forbidden header, or a claim of the wrong type.',
  },
  TOKEN_TYPE: {
    status: UNAUTHENTICATED,
    sentence: 'The token is not of the required type.',
    doc: 'The `typ` header is not the one of the profile of its issuer (`at+jwt`, RFC 9068).',
  },
  TOKEN_ALGORITHM: {
    status: UNAUTHENTICATED,
    sentence: 'The signature algorithm of the token is not accepted.',
    doc: 'The `alg` header is not in the allow-list of the issuer, or does not fit the key it names.',
  },
  TOKEN_KEY_UNKNOWN: {
    status: UNAUTHENTICATED,
    sentence: 'The key that signed the token is not known.',
    doc: 'The `kid` header names no key in the key set of the issuer.',
  },
  TOKEN_SIGNATURE: {
    status: UNAUTHENTICATED,
    sentence: 'The signature of the token is not valid.',
    doc: 'The signature does not verify under the key that `kid` names.',
  },
  TOKEN_ISSUER: {
    status: UNAUTHENTICATED,
    sentence: 'The issuer of the token is not accepted.',
    doc: '`iss` is not one of the configured issuers.',
  },
  TOKEN_AUDIENCE: {
    status: UNAUTHENTICATED,
    sentence: 'The token is meant for another audience.',
    doc: '`aud` is not exactly the audience of this server, by default its SPIFFE ID.',
  },
  TOKEN_SUBJECT: {
    status: UNAUTHENTICATED,
    sentence: 'The token does not speak for the workload that presents it.',
    doc: 'The subject (or the outermost actor) is not the SPIFFE ID of the peer certificate, or the issuer may not speak for that subject.',
  },
  TOKEN_EXPIRED: {
    status: UNAUTHENTICATED,
    sentence: 'The token has expired.',
    doc: '`exp` has passed. The client guard obtains a fresh token and retries once.',
  },
  TOKEN_NOT_YET_VALID: {
    status: UNAUTHENTICATED,
    sentence: 'The token is not valid yet.',
    doc: '`nbf` or `iat` lies in the future by more than the clock tolerance. Check the clocks.',
  },
  TOKEN_LIFETIME: {
    status: UNAUTHENTICATED,
    sentence: 'The token lives longer than is accepted.',
    doc: '`exp - iat` exceeds `maxLifetimeSeconds` of the issuer.',
  },
  TOKEN_TOO_OLD: {
    status: UNAUTHENTICATED,
    sentence: 'The token is too old for this method.',
    doc: '`now - iat` exceeds `max_token_age` of the method.',
  },
  TOKEN_BINDING_MISSING: {
    status: UNAUTHENTICATED,
    sentence: 'The token is not bound to a certificate.',
    doc: '`cnf.x5t#S256` (RFC 8705) is required and absent or malformed.',
  },
  TOKEN_BINDING_MISMATCH: {
    status: UNAUTHENTICATED,
    sentence: 'The token is bound to another certificate.',
    doc: '`cnf.x5t#S256` is not the thumbprint of the certificate of this connection: the token was stolen, or the certificate rotated.',
  },
  TOKEN_REVOKED: {
    status: UNAUTHENTICATED,
    sentence: 'The token has been revoked.',
    doc: 'The token, its subject or its signing key has been revoked.',
  },
  TOKEN_REPLAYED: {
    status: UNAUTHENTICATED,
    sentence: 'The token has been used before.',
    doc: 'The method takes single-use tokens and this one was presented already.',
  },
  PEER_MISSING: {
    status: UNAUTHENTICATED,
    sentence: 'A client certificate is required.',
    doc: 'The call did not arrive over a connection opened through `guard.credentials` with a verified client certificate.',
  },
  PEER_UNTRUSTED: {
    status: UNAUTHENTICATED,
    sentence: 'The client certificate is not trusted.',
    doc: 'The chain does not lead to an authority of the trust domain that the certificate claims.',
  },
  PEER_INVALID: {
    status: UNAUTHENTICATED,
    sentence: 'The client certificate is not a valid workload identity.',
    doc: 'The leaf is not an X509-SVID: it is a CA, has not exactly one URI SAN, a wrong key usage, or a malformed SPIFFE ID.',
  },
  PEER_EXPIRED: {
    status: UNAUTHENTICATED,
    sentence: 'The client certificate is not valid at this time.',
    doc: 'The certificate expired while the connection was open, or is not valid yet.',
  },
  PEER_REVOKED: {
    status: UNAUTHENTICATED,
    sentence: 'The client certificate has been revoked.',
    doc: 'The fingerprint, serial number or SPIFFE ID of the peer has been revoked; its connection is closed.',
  },
  CALLER_NOT_ALLOWED: {
    status: PERMISSION_DENIED,
    sentence: 'This workload may not call this method.',
    doc: 'The peer matches no entry of `callers`, or belongs to another trust domain that is not named there.',
  },
  METHOD_UNANNOTATED: {
    status: PERMISSION_DENIED,
    sentence: 'This method has no access policy and is refused.',
    doc: 'No annotation stands beside the RPC (or, for vendor services, no entry under `builtin`).',
  },
  PERMISSION_MISSING: {
    status: PERMISSION_DENIED,
    sentence: 'The token does not hold the permission this method needs.',
    doc: 'No grant of the token covers the action.',
  },
  RESOURCE_EMPTY: {
    status: PERMISSION_DENIED,
    sentence: 'The request does not name the resource it is about.',
    doc: 'A field that names the resource is unset or empty; empty never means all.',
  },
  RESOURCE_INVALID: {
    status: PERMISSION_DENIED,
    sentence: 'The request names its resource in a form that is not accepted.',
    doc: 'A resource segment holds a separator, wildcard, percent sign or control character, is `.`, `..` or `-`, a number is not exact, or the message has an unknown shape.',
  },
  RESOURCE_NOT_GRANTED: {
    status: PERMISSION_DENIED,
    sentence: 'The token does not hold the permission for this resource.',
    doc: 'The action is granted, but on other resources than the one the request names.',
  },
  FIELD_NOT_COVERED: {
    status: PERMISSION_DENIED,
    sentence: 'The request sets a field that the permission does not cover.',
    doc: 'A field listed under `must_be_unset` is set.',
  },
  DELEGATION_FORBIDDEN: {
    status: PERMISSION_DENIED,
    sentence: 'This method does not accept delegated tokens.',
    doc: 'The token has an `act` claim and the method does not say `delegation: { mode: DELEGATION_MODE_ALLOWED }`.',
  },
  DELEGATION_REQUIRED: {
    status: PERMISSION_DENIED,
    sentence: 'This method accepts delegated tokens only.',
    doc: 'The token has no `act` claim and the method says `DELEGATION_MODE_REQUIRED`.',
  },
  DELEGATION_DEPTH: {
    status: PERMISSION_DENIED,
    sentence: 'The delegation chain of the token is too long.',
    doc: 'The token has more actors than the method or the guard allows.',
  },
  DELEGATION_ACTOR: {
    status: PERMISSION_DENIED,
    sentence: 'An actor in the delegation chain is not allowed.',
    doc: 'A workload in the `act` chain is not among the actors that the issuer or the method allows.',
  },
  RESPONSE_NOT_GRANTED: {
    status: PERMISSION_DENIED,
    sentence: 'The response is not covered by the permission.',
    doc: 'The handler answered with a resource that the token does not grant.',
  },
  AUDIT_UNAVAILABLE: {
    status: UNAVAILABLE,
    sentence: 'The call cannot be recorded and is refused.',
    doc: 'The method requires an audit record and the sink could not keep it.',
  },
  STATE_UNAVAILABLE: {
    status: UNAVAILABLE,
    sentence: 'The call cannot be checked at this time and is refused.',
    doc: 'A part of the guard (keys, replay store, revocations) is unavailable, full, stale or failed; the guard fails closed.',
  },
  RATE_LIMITED: {
    status: RESOURCE_EXHAUSTED,
    sentence: 'Too many calls or connections from this workload.',
    doc: 'A limit of the guard was reached: see `limits`.',
  },
} as const satisfies Record<string, ReasonEntry>;

/** The stable name of a refusal. */
export type Reason = keyof typeof REASONS;

/**
 * A refusal as a value: what the stages of the guard return. `detail` goes to the audit record only; it never holds a
 * token or a key.
 */
export interface Denial {
  readonly reason: Reason;
  readonly detail: string;
}

/** Builds a {@link Denial}. */
export function deny(reason: Reason, detail: string): Denial {
  return { reason, detail };
}

/**
 * Thrown by the layer functions (`verifyToken`, `verifyChain`, ...) when what they were given is refused. Its message
 * is the constant sentence of the reason; `detail` is for logs of the caller's own and never holds a token or a key.
 */
export class RefusalError extends Error {
  override readonly name = 'RefusalError';
  readonly reason: Reason;
  readonly detail: string;
  constructor(denial: Denial) {
    super(`${REASONS[denial.reason].sentence} (${denial.reason})`);
    this.reason = denial.reason;
    this.detail = denial.detail;
  }
}

/** One mistake in a configuration or policy. */
export interface Problem {
  /** Where it stands: a file with line where known, a method, a field, or the path of an option. */
  readonly place: string;
  /** What is wrong. */
  readonly problem: string;
  /** How it is mended. */
  readonly remedy: string;
}

/**
 * Thrown at start when a configuration or policy is wrong. It lists every mistake at once, each with its place and its
 * remedy.
 */
export class ConfigurationError extends Error {
  override readonly name = 'ConfigurationError';
  readonly problems: readonly Problem[];
  constructor(subject: string, problems: readonly Problem[]) {
    const lines = problems.map((p) => `  - ${p.place}: ${p.problem}. ${p.remedy}.`);
    super(`${subject}: ${problems.length} problem${problems.length === 1 ? '' : 's'}\n${lines.join('\n')}`);
    this.problems = problems;
  }
}
