/**
 * From what the annotations of an API say to the rules that are enforced. The one place where an annotation is judged:
 * every source of an API ends here.
 *
 * @module
 */

import type { Problem } from '../errors.js';
import { isPermission, parseSubjectPattern, type SubjectPattern } from '../pattern.js';
import type { CompiledCheck } from './authorizer.js';
import { VENDOR_SERVICES } from './builtin.js';
import type { Check, MethodPolicy, ServicePolicy } from './gen/zerotrust/v1/options_pb.js';
import { AuditLevel, DelegationMode, TokenUse } from './gen/zerotrust/v1/options_pb.js';
import type { MessageModel, MethodModel, ServiceModel } from './schema.js';
import { compileTemplate } from './template.js';
import type { AccessMode, MethodRule } from './types.js';

export type { CompiledCheck } from './authorizer.js';

/** What {@link compilePolicy} made of an API. With any problem the rules must not be used. */
export interface Compiled {
  readonly rules: ReadonlyMap<string, MethodRule>;
  readonly problems: readonly Problem[];
}

/** The longest `google.protobuf.Duration` (10,000 years), in seconds. */
const LONGEST_DURATION_SECONDS = 315_576_000_000n;

type Report = (problem: string, remedy: string) => void;

/**
 * Compiles every method of every service, and lists every mistake instead of stopping at the first. Does *not* check
 * anything that depends on a guard: issuers, trust domains, whether a permission is ever granted.
 */
export function compilePolicy(services: readonly ServiceModel[]): Compiled {
  const problems: Problem[] = [];
  const rules = new Map<string, MethodRule>();
  for (const service of services) {
    if (isUnannotatedVendorService(service)) continue;
    const shared = compileService(service, problems);
    for (const method of service.methods) {
      const path = `/${service.typeName}/${method.name}`;
      const report = reporter(problems, `${path} (${method.place})`);
      if (rules.has(path)) report('this method is defined twice', 'Load each service from one file only');
      if (method.policy === null) {
        report('the method has no annotation', 'Write `option (zerotrust.v1.method) = { ... }` in the RPC');
        continue;
      }
      rules.set(path, compileMethod(path, method, method.policy, shared, report));
    }
  }
  return { rules, problems };
}

function isUnannotatedVendorService(service: ServiceModel): boolean {
  return (
    VENDOR_SERVICES.has(service.typeName) &&
    service.policy === null &&
    service.methods.every((method) => method.policy === null)
  );
}

function reporter(problems: Problem[], place: string): Report {
  return (problem, remedy) => {
    problems.push({ place, problem, remedy });
  };
}

/** What the service's own annotation adds to each of its methods. */
interface SharedPolicy {
  readonly callers: readonly SubjectPattern[] | null;
  readonly namesCallers: boolean;
  readonly maxTokenAgeMs: number | null;
  readonly audit: ServicePolicy['audit'];
}

function compileService(service: ServiceModel, problems: Problem[]): SharedPolicy {
  const report = reporter(problems, `${service.typeName} (${service.place})`);
  const { policy } = service;
  return {
    callers: compileCallers(policy?.callers ?? [], report),
    namesCallers: (policy?.callers.length ?? 0) > 0,
    maxTokenAgeMs: durationMs('max_token_age', policy?.maxTokenAge, report),
    audit: policy?.audit,
  };
}

function compileMethod(
  path: string,
  method: MethodModel,
  policy: MethodPolicy,
  shared: SharedPolicy,
  report: Report,
): MethodRule {
  const mode = accessMode(policy, report);
  const callers = compileCallers(policy.callers, report);
  if (policy.mtlsOnly !== '') checkMtlsOnly(policy, shared, report);
  refuseUnsupported(policy, report);
  const ownAge = durationMs('max_token_age', policy.maxTokenAge, report);
  const streamAge = durationMs('stream.max_age', policy.stream?.maxAge, report);
  if (policy.stream?.maxAge !== undefined && !method.requestStream && !method.responseStream) {
    report('stream.max_age is set on a unary method', 'Remove it; a deadline bounds a unary call');
  }
  const lists = [shared.callers, callers].filter((list) => list !== null);
  return Object.freeze({
    method: path,
    requestStream: method.requestStream,
    responseStream: method.responseStream,
    mode,
    because: mode === 'require' ? null : mode === 'authenticated' ? policy.authenticated : policy.mtlsOnly,
    checks: Object.freeze(policy.require.map((check) => compileCheck(check, method.input, report))),
    callers: Object.freeze(lists),
    delegation: delegationOf(policy.delegation?.mode),
    singleUse: policy.tokenUse === TokenUse.SINGLE_USE,
    maxTokenAgeMs: mode === 'mtls_only' ? null : least(shared.maxTokenAgeMs, ownAge),
    maxStreamAgeMs: streamAge,
    audit: strongestAudit(shared.audit, policy.audit),
  });
}

function accessMode(policy: MethodPolicy, report: Report): AccessMode {
  const set: AccessMode[] = [];
  if (policy.require.length > 0) set.push('require');
  if (policy.authenticated !== '') set.push('authenticated');
  if (policy.mtlsOnly !== '') set.push('mtls_only');
  const [mode] = set;
  if (mode === undefined) {
    report(
      'none of require, authenticated and mtls_only is set (an empty reason counts as not set)',
      'Set exactly one of them',
    );
    return 'require';
  }
  if (set.length > 1) report(`more than one of ${set.join(' and ')} is set`, 'Keep exactly one of them');
  for (const [name, reason] of [
    ['authenticated', policy.authenticated],
    ['mtls_only', policy.mtlsOnly],
  ] as const) {
    if (reason !== '' && reason.trim() === '') report(`the reason of ${name} is blank`, 'Write why it suffices');
  }
  return mode;
}

function checkMtlsOnly(policy: MethodPolicy, shared: SharedPolicy, report: Report): void {
  if (policy.callers.length === 0 && !shared.namesCallers) {
    report('mtls_only needs callers', 'Name the workloads that may call, in the method or its service');
  }
  const unread = [
    ['token_use', policy.tokenUse !== TokenUse.UNSPECIFIED],
    ['max_token_age', policy.maxTokenAge !== undefined],
    ['delegation', policy.delegation !== undefined],
  ] as const;
  for (const [name, set] of unread) {
    if (set) report(`${name} is set although mtls_only reads no token`, `Remove ${name}, or use authenticated`);
  }
}

/** What the annotations can say and this version does not enforce is refused: ignoring it would allow too much. */
function refuseUnsupported(policy: MethodPolicy, report: Report): void {
  const unsupported = [
    ['require.if_set', policy.require.some((check) => check.ifSet !== '')],
    ['response', policy.response.length > 0],
    ['must_be_unset', policy.mustBeUnset.length > 0],
    ['delegation.max_depth', policy.delegation?.maxDepth !== undefined],
    ['delegation.actors', (policy.delegation?.actors.length ?? 0) > 0],
  ] as const;
  for (const [name, set] of unsupported) {
    if (set) report(`${name} is not supported yet`, `Remove ${name}; it is refused because it would not be enforced`);
  }
}

function compileCheck(check: Check, input: MessageModel, report: Report): CompiledCheck {
  const { permission } = check;
  if (!isPermission(permission)) {
    report(
      `"${permission}" is not a permission`,
      'Write dotted segments of [a-z][A-Za-z0-9_]*, for example "tasks.task.read"',
    );
  }
  if (check.resource === '') return Object.freeze({ permission, resource: null, template: null });
  const template = compileTemplate(check.resource, input);
  if ('problem' in template) {
    report(`resource "${check.resource}": ${template.problem}`, template.remedy);
    return Object.freeze({ permission, resource: check.resource, template: null });
  }
  return Object.freeze({ permission, resource: check.resource, template });
}

/** `null` when no callers are written, which is not the same as an empty list. */
function compileCallers(texts: readonly string[], report: Report): readonly SubjectPattern[] | null {
  if (texts.length === 0) return null;
  const patterns: SubjectPattern[] = [];
  for (const text of texts) {
    const pattern = parseSubjectPattern(text);
    if (pattern === null || pattern.trustDomain === null) {
      report(`"${text}" is not a SPIFFE ID pattern`, 'Write for example "spiffe://acme.example/agents/*"');
    } else patterns.push(Object.freeze(pattern));
  }
  return Object.freeze(patterns);
}

/** Rounded down to whole milliseconds, the stricter side. */
function durationMs(
  name: string,
  duration: { readonly seconds: bigint; readonly nanos: number } | undefined,
  report: Report,
): number | null {
  if (duration === undefined) return null;
  const { seconds, nanos } = duration;
  const inRange = seconds >= 0n && seconds <= LONGEST_DURATION_SECONDS && nanos >= 0 && nanos <= 999_999_999;
  const ms = inRange ? Number(seconds) * 1000 + Math.floor(nanos / 1_000_000) : 0;
  if (ms > 0) return ms;
  report(`${name} is not a positive duration`, `Write for example ${name}: { seconds: 60 }, one millisecond or more`);
  return null;
}

function least(a: number | null, b: number | null): number | null {
  if (a === null || b === null) return a ?? b;
  return Math.min(a, b);
}

function delegationOf(mode: DelegationMode | undefined): MethodRule['delegation'] {
  if (mode === DelegationMode.ALLOWED) return 'allowed';
  return mode === DelegationMode.REQUIRED ? 'required' : 'forbidden';
}

/** All is stronger than refused only; the default, where neither says anything, is all. */
function strongestAudit(...policies: readonly ServicePolicy['audit'][]): MethodRule['audit'] {
  const levels = policies.map((policy) => policy?.level ?? AuditLevel.UNSPECIFIED);
  const refusedOnly = levels.includes(AuditLevel.REFUSED) && !levels.includes(AuditLevel.ALL);
  return Object.freeze({
    level: refusedOnly ? 'refused' : 'all',
    required: policies.some((policy) => policy?.required === true),
  });
}
