/**
 * Rules as they are enforced: what the annotations of an API say, compiled once.
 *
 * @module
 */

import type { Principal } from '../call.js';
import type { Denial, Reason } from '../errors.js';
import type { SubjectPattern } from '../pattern.js';

/** What a method needs beyond a valid peer certificate. */
export type AccessMode = 'require' | 'authenticated' | 'mtls_only';

/** One `require` entry. */
export interface CheckRule {
  readonly permission: string;
  /** The template as written; `null` when the permission is needed on everything. */
  readonly resource: string | null;
}

/** The compiled policy of one method. Frozen. */
export interface MethodRule {
  /** `/pkg.Service/Method`. */
  readonly method: string;
  readonly requestStream: boolean;
  readonly responseStream: boolean;
  readonly mode: AccessMode;
  /** The written reason of `authenticated` and `mtls_only`; `null` for `require`. */
  readonly because: string | null;
  readonly checks: readonly CheckRule[];
  /** Lists that must each allow the peer: the service's and the method's, where given. Empty: own trust domain only. */
  readonly callers: readonly (readonly SubjectPattern[])[];
  readonly delegation: 'forbidden' | 'allowed' | 'required';
  readonly singleUse: boolean;
  readonly maxTokenAgeMs: number | null;
  readonly maxStreamAgeMs: number | null;
  readonly audit: { readonly level: 'all' | 'refused'; readonly required: boolean };
}

/** The policy of an API. Made by `loadPolicy`; total: every method of every service has a rule. */
export interface Policy {
  /** By full method, `/pkg.Service/Method`. */
  readonly rules: ReadonlyMap<string, MethodRule>;
  /** SHA-256 over the canonical rules, base64url: equal for equal rules, whatever they were loaded from. */
  readonly digest: string;
}

/** One resource a decision was about, for the audit record. */
export interface AuditedResource {
  readonly permission: string;
  /** The resource name, with sensitive values replaced by a keyed hash; `null` where none was built. */
  readonly resource: string | null;
}

/** Yes, or no with a reason. */
export type Decision =
  | { readonly allowed: true }
  | { readonly allowed: false; readonly reason: Reason; readonly detail: string };

/** What is being asked of {@link decide}. */
export interface DecisionRequest {
  /** `/pkg.Service/Method`. */
  readonly method: string;
  /** The request message; without it only what does not depend on it is decided. */
  readonly message?: object;
}

/** Takes down the resources a message names while they are checked, so that it is read once. */
export interface ResourceLog {
  /** @param segments `null` where the check names no resource */
  add(check: CheckRule, segments: readonly string[] | null): void;
}

/** The two halves of a decision as the guard runs them: each returns `null` to allow. Pure and synchronous. */
export interface Authorizer {
  /** Delegation and permission, before any message is decoded. */
  call(rule: MethodRule, principal: Principal): Denial | null;
  /**
   * The resources one message names.
   * @param log told of each on the way; complete where the message is allowed
   */
  message(rule: MethodRule, principal: Principal, message: unknown, log?: ResourceLog | null): Denial | null;
}
