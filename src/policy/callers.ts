/**
 * Which workloads may call a method directly.
 *
 * @module
 */

import type { PeerIdentity, TrustDomain } from '../call.js';
import { type Denial, deny } from '../errors.js';
import type { MethodRule } from './types.js';

/**
 * Every list of callers must allow the peer. Without a list the own trust domain may call; workloads of other trust
 * domains are always named.
 */
export function callerAllowed(rule: MethodRule, peer: PeerIdentity, own: TrustDomain): Denial | null {
  if (rule.callers.length === 0) {
    return peer.trustDomain === own
      ? null
      : deny('CALLER_NOT_ALLOWED', `no entry of callers names ${peer.trustDomain}`);
  }
  for (const list of rule.callers) {
    if (!list.some((pattern) => pattern.matches(peer.spiffeId))) {
      return deny('CALLER_NOT_ALLOWED', `the peer matches none of ${list.map((pattern) => pattern.text).join(', ')}`);
    }
  }
  return null;
}
