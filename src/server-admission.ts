/**
 * A call that was let in, and the small checks that stand on it alone.
 *
 * @module
 */

import type { AuditCaller, DecisionEvent } from './audit/types.js';
import { type Denial, deny } from './errors.js';
import type { AuditedResource, MethodRule } from './policy/types.js';
import type { Caller, PeerState } from './server-peers.js';
import type { VerifiedToken } from './token/types.js';
import type { Admission, GuardedCall } from './transport/interceptor.js';

/** In the opaque data of a call of the session service: the call itself. */
export const SESSION_CALL_KEY = 'zerotrust.session-call';

/** A call that was let in. */
export interface CallAdmission extends Admission {
  readonly rule: MethodRule;
  readonly caller: Caller;
  /** Whose rights every message must be within: the caller, and whoever renewed the stream. */
  rights: readonly Caller[];
  /** Whose token must be valid now: the one the stream was renewed with last. */
  bearer: Caller;
  /** When the stream was opened; milliseconds since the Unix epoch. */
  readonly openedAt: number;
  /** The refusal that was not enforced, where the method is in shadow. */
  shadowed: Denial | null;
  /** What the message that is recorded named; `null` before there was one. */
  resources: readonly AuditedResource[] | null;
}

/** A guarded call of a server. */
export type GuardCall = GuardedCall<PeerState, CallAdmission>;

/** Nothing was named, or not yet. */
export const NO_RESOURCES: readonly AuditedResource[] = Object.freeze([]);

/** A denial that knows more of the caller than the connection does: whose token it was, once that is verified. */
interface DenialTo extends Denial {
  readonly caller: AuditCaller;
}

/** Denies a call of which it is known by whose token it was made. */
export function denyTo(caller: AuditCaller, denial: Denial): DenialTo {
  return { ...denial, caller };
}

/** Whom a denial names; `undefined` where nothing but the connection was known. */
export function deniedCaller(denial: (Denial & Partial<DenialTo>) | null): AuditCaller | undefined {
  return denial?.caller;
}

/** How a decision is recorded. */
export type Outcome = {
  readonly outcome: DecisionEvent['outcome'];
  readonly denial: Denial | null;
};
/** The call ended before it was decided. */
export const UNDECIDED: Outcome = { outcome: 'refused', denial: null };

/** The answer for such a call, which nobody hears. */
export const GONE: Denial = deny('STATE_UNAVAILABLE', 'the call ended before it was decided');

/** How the decision about an admitted call is recorded. */
export function outcomeOf(admission: CallAdmission, denial: Denial | null): Outcome {
  if (denial !== null) return { outcome: 'refused', denial };
  if (admission.shadowed !== null) return { outcome: 'shadow', denial: admission.shadowed };
  return ALLOWED;
}
const ALLOWED: Outcome = { outcome: 'allowed', denial: null };

/** Whether a certificate of the peer's chain is out of its time. */
export function peerExpired(state: PeerState, notBefore: number, now: number): Denial | null {
  return now >= state.notAfter || now < notBefore
    ? deny('PEER_EXPIRED', 'a certificate of the peer is not valid now')
    : null;
}

/** Whether the method asks more of a token than this one gives: its age, or being bound to the certificate. */
export function unfitFor(rule: MethodRule, token: VerifiedToken, now: number): Denial | null {
  if (token.profile === 'jwt-svid' && (rule.singleUse || rule.maxTokenAgeMs !== null)) {
    return deny('TOKEN_TYPE', 'a jwt-svid serves neither single-use methods nor methods that limit the age of tokens');
  }
  if (rule.maxTokenAgeMs === null) return null;
  if (token.issuedAt === null)
    return deny('TOKEN_TOO_OLD', 'the method limits the age of tokens and this one has no iat');
  return now - token.issuedAt > rule.maxTokenAgeMs
    ? deny('TOKEN_TOO_OLD', 'iat is further back than max_token_age')
    : null;
}
