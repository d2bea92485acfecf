/**
 * The decision itself: delegation and permission before a message is decoded, resources for each message. Pure.
 *
 * @module
 */

import type { Principal } from '../call.js';
import { type Denial, deny } from '../errors.js';
import { callerAllowed } from './callers.js';
import { coveredBy, type Held, rightsOf } from './grants.js';
import { eachResource, soleResource, type Template } from './template.js';
import type { Authorizer, CheckRule, Decision, DecisionRequest, MethodRule, Policy, ResourceLog } from './types.js';

/** A check with its template prepared. */
export interface CompiledCheck extends CheckRule {
  readonly template: Template | null;
}

/** Actors between the subject and the peer that presents the token. Rules on longer chains are not supported yet. */
const MOST_ACTORS = 1;

function call(rule: MethodRule, principal: Principal): Denial | null {
  if (rule.mode === 'mtls_only') return null;
  const { length } = principal.actors;
  if (length > 0 && rule.delegation === 'forbidden') return deny('DELEGATION_FORBIDDEN', 'the token has an actor');
  if (length === 0 && rule.delegation === 'required') return deny('DELEGATION_REQUIRED', 'the token has no actor');
  if (length > MOST_ACTORS) return deny('DELEGATION_DEPTH', `the token has ${length} actors`);
  for (const { permission, resource } of rule.checks) {
    const held = rightsOf(principal).of(permission);
    if (!held.held) return deny('PERMISSION_MISSING', `no grant covers ${permission}`);
    if (resource === null && !held.onEverything) {
      return deny('RESOURCE_NOT_GRANTED', `${permission} is held on some resources, and needed on all`);
    }
    if (resource !== null && held.patterns.length === 0) {
      return deny('PERMISSION_MISSING', `${permission} is held by scope only, which names no resource`);
    }
  }
  return null;
}

function message(
  rule: MethodRule,
  principal: Principal,
  request: unknown,
  log: ResourceLog | null = null,
): Denial | null {
  for (const check of rule.checks as readonly CompiledCheck[]) {
    if (check.template === null) {
      if (check.resource !== null) return deny('RESOURCE_INVALID', 'the template of the rule was not prepared');
      log?.add(check, null);
      continue;
    }
    const denial =
      check.template.each === null
        ? sole(check, check.template, principal, request, log)
        : each(check, check.template, principal, request, log);
    if (denial !== null) return denial;
  }
  return null;
}

type Log = ResourceLog | null;

/** Apart from {@link each}, so that by far most checks make no closure. */
function sole(check: CheckRule, template: Template, principal: Principal, request: unknown, log: Log): Denial | null {
  const segments = soleResource(template, request);
  if ('reason' in segments) return segments;
  log?.add(check, segments);
  return granted(check.permission, rightsOf(principal).of(check.permission), segments);
}

function each(check: CheckRule, template: Template, principal: Principal, request: unknown, log: Log): Denial | null {
  const held = rightsOf(principal).of(check.permission);
  return eachResource(template, request, (segments) => {
    log?.add(check, segments);
    return granted(check.permission, held, segments);
  });
}

function granted(permission: string, held: Held, segments: readonly string[]): Denial | null {
  return coveredBy(held, segments)
    ? null
    : deny('RESOURCE_NOT_GRANTED', `no grant of ${permission} covers the resource`);
}

const authorizer: Authorizer = Object.freeze({ call, message });

/** The functions that guard live calls. */
export function createAuthorizer(): Authorizer {
  return authorizer;
}

/**
 * Decides a call by the very functions that guard live ones: callers, delegation, permission, and where `message` is
 * given the resources it names. Without `message` a method with resource checks is decided as far as that goes.
 *
 * Not checked: the connection, the validity of the token, its age, replay and revocation: a {@link Principal} exists only
 * once those passed. The own trust domain, which decides about methods without `callers`, is taken to be the peer's.
 */
export function decide(policy: Policy, principal: Principal, request: DecisionRequest): Decision {
  const rule = policy.rules.get(request.method);
  if (rule === undefined) return refused(deny('METHOD_UNANNOTATED', 'no rule for this method'));
  if (rule.mode !== 'mtls_only' && principal.token === null) {
    return refused(deny('TOKEN_MISSING', 'the method needs a token and the principal has none'));
  }
  const denial =
    callerAllowed(rule, principal.peer, principal.peer.trustDomain) ??
    call(rule, principal) ??
    (request.message === undefined ? null : message(rule, principal, request.message));
  return denial === null ? ALLOWED : refused(denial);
}

const ALLOWED: Decision = Object.freeze({ allowed: true });

function refused({ reason, detail }: Denial): Decision {
  return { allowed: false, reason, detail };
}
