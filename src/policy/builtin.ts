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

/** Services whose methods get their policy from {@link BuiltinPolicies} and never by annotation. */
export const VENDOR_SERVICES: ReadonlySet<string> = new Set(
  Object.values(METHODS).flatMap((methods) => Object.keys(methods).map((method) => method.split('/')[1] ?? '')),
);

/**
 * `policy` with rules for the named vendor services.
 *
 * @throws ConfigurationError naming every mistake at once.
 */
export function withBuiltins(policy: Policy, builtin: BuiltinPolicies | undefined): Policy {
  const problems: Problem[] = [];
  const rules = new Map(policy.rules);
  for (const [name, chosen] of Object.entries(builtin ?? {}) as [keyof BuiltinPolicies, BuiltinPolicy | undefined][]) {
    const place = `builtin.${name}`;
    if (!Object.hasOwn(METHODS, name)) {
      problems.push({
        place,
        problem: 'there is no such vendor service',
        remedy: `Use one of ${Object.keys(METHODS).join(', ')}`,
      });
    } else if (chosen !== undefined && chosen !== 'deny') {
      const callers = callersOf(place, chosen, problems);
      for (const [method, kind] of Object.entries(METHODS[name])) {
        rules.set(method, rule(method, kind, { mode: 'mtls_only', because: chosen.mtlsOnly, callers: [callers] }));
      }
    }
  }
  if (problems.length > 0) throw new ConfigurationError('createServerGuard', problems);
  return Object.freeze({ rules, digest: digestOf(rules) });
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

function callersOf(place: string, chosen: Exclude<BuiltinPolicy, 'deny'>, problems: Problem[]): SubjectPattern[] {
  if (typeof chosen.mtlsOnly !== 'string' || chosen.mtlsOnly.trim() === '') {
    problems.push({
      place: `${place}.mtlsOnly`,
      problem: 'the reason is missing',
      remedy: 'Write why a peer certificate suffices',
    });
  }
  if (!Array.isArray(chosen.callers) || chosen.callers.length === 0) {
    problems.push({
      place: `${place}.callers`,
      problem: 'nobody is named',
      remedy: 'Name who may call, such as spiffe://acme.example/probes/*',
    });
    return [];
  }
  return chosen.callers.flatMap((text) => {
    const pattern = text.startsWith('spiffe://') ? parseSubjectPattern(text) : null;
    if (pattern !== null) return [pattern];
    problems.push({
      place: `${place}.callers`,
      problem: `'${text}' is not a SPIFFE ID pattern`,
      remedy: 'Write spiffe://acme.example/probes/*',
    });
    return [];
  });
}

function rule(method: string, kind: Kind, own: Pick<MethodRule, 'mode' | 'because' | 'callers'>): MethodRule {
  return Object.freeze({
    method,
    requestStream: kind === 'bidi',
    responseStream: kind !== 'unary',
    checks: [],
    delegation: own.mode === 'authenticated' ? 'allowed' : 'forbidden',
    singleUse: false,
    maxTokenAgeMs: null,
    maxStreamAgeMs: null,
    audit: { level: 'all', required: false },
    ...own,
  } satisfies MethodRule);
}
