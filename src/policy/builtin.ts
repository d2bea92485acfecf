/**
 * Policies of services that are not ours to annotate, and the rule of the session service.
 *
 * @module
 */

import { ConfigurationError, type Problem } from '../errors.js';
import { parseSubjectPattern, type SubjectPattern } from '../pattern.js';
import { digestOf } from './digest.js';
import type { MethodRule, Policy } from './types.js';

/** The policy of one vendor service: refused, or open to the named workloads without a token. */
export type BuiltinPolicy =
  | 'deny'
  | {
      /** The written reason why a peer certificate suffices. */
      readonly mtlsOnly: string;
      /** SPIFFE ID patterns of those who may call. */
      readonly callers: readonly string[];
    };

/** Policies of vendor services. What is not named is refused. */
export interface BuiltinPolicies {
  /** `grpc.health.v1.Health`. */
  readonly health?: BuiltinPolicy;
  /** `grpc.reflection.v1.ServerReflection` and its `v1alpha`. It shows the whole API to whoever may call it. */
  readonly reflection?: BuiltinPolicy;
  /** `grpc.channelz.v1.Channelz`. It shows addresses and certificates of peers. */
  readonly channelz?: BuiltinPolicy;
}

type Kind = 'unary' | 'server' | 'bidi';

const METHODS: Readonly<Record<keyof BuiltinPolicies, Readonly<Record<string, Kind>>>> = {
  health: {
    '/grpc.health.v1.Health/Check': 'unary',
    '/grpc.health.v1.Health/List': 'unary',
    '/grpc.health.v1.Health/Watch': 'server',
  },
  reflection: {
    '/grpc.reflection.v1.ServerReflection/ServerReflectionInfo': 'bidi',
    '/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo': 'bidi',
  },
  channelz: Object.fromEntries(
    ['GetTopChannels', 'GetServers', 'GetServer', 'GetServerSockets', 'GetChannel', 'GetSubchannel', 'GetSocket'].map(
      (name) => [`/grpc.channelz.v1.Channelz/${name}`, 'unary' as const],
    ),
  ),
};

/** Services that are not ours to annotate; without annotations they get their policy from {@link BuiltinPolicies}. */
export const VENDOR_SERVICES: ReadonlySet<string> = new Set(
  Object.values(METHODS).flatMap((methods) => Object.keys(methods).map((method) => method.split('/')[1] ?? '')),
);

/**
 * `policy` with rules for the named vendor services. `deny` also takes away what an annotation beside a vendored copy of
 * the service allows; a policy in both places is a mistake, since it would not be plain which of them counts.
 *
 * @throws ConfigurationError naming every mistake at once.
 */
export function withBuiltins(policy: Policy, builtin: BuiltinPolicies | undefined): Policy {
  const problems: Problem[] = [];
  const rules = new Map(policy.rules);
  for (const [name, chosen] of Object.entries(builtin ?? {}) as [keyof BuiltinPolicies, unknown][]) {
    if (chosen === undefined) continue;
    const report = (where: string, problem: string, remedy: string): void => {
      problems.push({ place: `builtin.${name}${where}`, problem, remedy });
    };
    if (!Object.hasOwn(METHODS, name)) {
      report('', 'there is no such vendor service', `Use one of ${Object.keys(METHODS).join(', ')}`);
      continue;
    }
    const spelled = chosen === 'deny' ? null : parseBuiltin(chosen, report);
    for (const [method, kind] of Object.entries(METHODS[name])) {
      if (chosen === 'deny') rules.delete(method);
      else if (rules.has(method)) report('', `${method} has an annotation too`, 'Keep one of the two, or write deny');
      else if (spelled !== null) rules.set(method, rule(method, kind, { mode: 'mtls_only', ...spelled }));
    }
  }
  if (problems.length > 0) throw new ConfigurationError('createServerGuard', problems);
  return Object.freeze({ rules, digest: digestOf(rules) });
}

type Report = (where: string, problem: string, remedy: string) => void;

const MEMBERS: readonly string[] = ['mtlsOnly', 'callers'];
const EXAMPLE = "Write 'deny' or { mtlsOnly: 'why', callers: ['spiffe://acme.example/probes/*'] }";

function parseBuiltin(chosen: unknown, report: Report): Pick<MethodRule, 'because' | 'callers'> | null {
  if (typeof chosen !== 'object' || chosen === null) {
    report('', 'this is not a policy', EXAMPLE);
    return null;
  }
  const { mtlsOnly, callers } = chosen as { readonly [name: string]: unknown };
  for (const name of Object.keys(chosen)) {
    if (!MEMBERS.includes(name)) report(`.${name}`, 'there is no such member', EXAMPLE);
  }
  const because = typeof mtlsOnly === 'string' && mtlsOnly.trim() !== '' ? mtlsOnly : null;
  if (because === null) report('.mtlsOnly', 'the reason is missing', 'Write why a peer certificate suffices');
  if (!Array.isArray(callers) || callers.length === 0) {
    report('.callers', 'nobody is named', 'Name who may call, such as spiffe://acme.example/probes/*');
    return null;
  }
  const patterns: SubjectPattern[] = [];
  for (const text of callers as readonly unknown[]) {
    const pattern = typeof text === 'string' ? parseSubjectPattern(text) : null;
    if (pattern !== null && pattern.trustDomain !== null) patterns.push(pattern);
    else report('.callers', `'${String(text)}' is not a SPIFFE ID pattern`, 'Write spiffe://acme.example/probes/*');
  }
  return because === null ? null : { because, callers: Object.freeze([Object.freeze(patterns)]) };
}

/** Workloads of foreign domains too: whoever may not call a method has no stream of it to renew. */
const ANYONE: SubjectPattern = Object.freeze({ text: 'anyone', trustDomain: null, matches: () => true });

/** `policy` with the rule of `zerotrust.v1.SessionService`: the guard itself holds it to the connection of the stream. */
export function sessionRules(policy: Policy, renewMethod: string): Policy {
  const rules = new Map(policy.rules);
  const because = 'the token is matched against the one the stream was opened with';
  rules.set(renewMethod, rule(renewMethod, 'unary', { mode: 'authenticated', because, callers: [[ANYONE]] }));
  return Object.freeze({ rules, digest: digestOf(rules) });
}

const NO_CHECKS: MethodRule['checks'] = Object.freeze([]);
const AUDIT_ALL: MethodRule['audit'] = Object.freeze({ level: 'all', required: false });

function rule(method: string, kind: Kind, own: Pick<MethodRule, 'mode' | 'because' | 'callers'>): MethodRule {
  return Object.freeze({
    method,
    requestStream: kind === 'bidi',
    responseStream: kind !== 'unary',
    checks: NO_CHECKS,
    delegation: own.mode === 'authenticated' ? 'allowed' : 'forbidden',
    singleUse: false,
    maxTokenAgeMs: null,
    maxStreamAgeMs: null,
    audit: AUDIT_ALL,
    ...own,
  } satisfies MethodRule);
}
