/**
 * What a server guard is made of, its defaults, and the check of it at start.
 *
 * @module
 */

import type { AuditSink } from './audit/types.js';
import type { Clock } from './clock.js';
import { ConfigurationError, type Problem } from './errors.js';
import type { X509Source } from './identity/types.js';
import type { BuiltinPolicies } from './policy/builtin.js';
import type { Policy } from './policy/types.js';
import type { IssuerOptions, ReplayStore, RevocationSource } from './token/types.js';
import { grpcProblems } from './transport/grpc-internals.js';

/** Which tokens a server accepts. */
export interface TokenOptions {
  /** The `aud` a token must carry. Default: the server's own SPIFFE ID. */
  readonly audience?: string;
  /** How far clocks may be apart, for `exp`, `nbf` and `iat`; 0 to 30. Default 30. */
  readonly clockToleranceSeconds?: number;
  readonly issuers: readonly IssuerOptions[];
}

/** Bounds on what callers can make a server spend. */
export interface Limits {
  /** Calls that run at once over one connection. Default 1,000. */
  readonly streamsPerConnection?: number;
  /** Connections of one workload (SPIFFE ID) at once. Default 1,000. */
  readonly connectionsPerPeer?: number;
  /** Signatures verified for one workload per second; twice as many at once. Tokens already known cost none. Default 500. */
  readonly verificationsPerPeerPerSecond?: number;
  /** Size of all headers of one call. Default 16,384. */
  readonly headerBytes?: number;
  /** Size of one received message. Default: the server's own `grpc.max_receive_message_length` (4 MiB). */
  readonly messageBytes?: number;
  /** Memory one connection may hold, in megabytes. Default 128. */
  readonly sessionMemoryMegabytes?: number;
  /** Time for a TLS handshake. Default 10,000. */
  readonly handshakeTimeoutMs?: number;
  /** A connection that leaves a ping unanswered for so long, or half as long again, is closed. Default 60,000. */
  readonly silentConnectionMs?: number;
  /** Time for one asynchronous decision (keys, replay store, durable audit). Default 5,000. */
  readonly decisionTimeoutMs?: number;
}

/** Methods whose authorization is watched before it is enforced. */
export interface ShadowOptions {
  /** Full methods, `/pkg.Service/Method`. */
  readonly methods: readonly string[];
  /** When enforcement begins by itself. */
  readonly until: Date;
}

/** Options of `createServerGuard`. */
export interface ServerGuardOptions {
  /** Own certificate and key, and the trust bundles. Not closed by the guard. */
  readonly identity: X509Source;
  /** What `loadPolicy` made of the annotations. */
  readonly policy: Policy;
  /** Which tokens are accepted. `null` only where every method is `mtls_only`. */
  readonly tokens: TokenOptions | null;
  /** Policies of vendor services (health, reflection, channelz). What is not named here is refused. */
  readonly builtin?: BuiltinPolicies;
  readonly limits?: Limits;
  /** Default: in memory, bounded, of this process alone. */
  readonly replay?: ReplayStore;
  /** Default: an empty `createRevocations()` that nobody can add to. */
  readonly revocations?: RevocationSource;
  /** Default: `pinoAudit()`, JSON lines on standard output. One that is given is not closed by the guard. */
  readonly audit?: AuditSink;
  /** Watches instead of enforcing; authentication is always enforced. In code only. */
  readonly shadow?: ShadowOptions;
  /** Default: the clock of the machine. */
  readonly clock?: Clock;
  /**
   * Accepts the certificates and tokens of the test kit, whose keys anyone can make.
   * @deprecated Not deprecated: dangerous. Never outside tests and demonstrations.
   */
  readonly unsafeAllowTestAuthority?: true;
}

/** {@link Limits} with every default filled in. */
export type EffectiveLimits = Required<Omit<Limits, 'messageBytes'>> & {
  readonly messageBytes: number | null;
};

const DEFAULT_LIMITS: EffectiveLimits = {
  streamsPerConnection: 1_000,
  connectionsPerPeer: 1_000,
  verificationsPerPeerPerSecond: 500,
  headerBytes: 16_384,
  messageBytes: null,
  sessionMemoryMegabytes: 128,
  handshakeTimeoutMs: 10_000,
  silentConnectionMs: 60_000,
  decisionTimeoutMs: 5_000,
};

const KNOWN_OPTIONS = new Set([
  'identity',
  'policy',
  'tokens',
  'builtin',
  'limits',
  'replay',
  'revocations',
  'audit',
  'shadow',
  'clock',
  'unsafeAllowTestAuthority',
]);

/** The limits in force; a limit that is unknown or not a positive whole number is a problem. */
export function effectiveLimits(limits: Limits | undefined, problems: Problem[]): EffectiveLimits {
  const effective: Record<string, number | null> = { ...DEFAULT_LIMITS };
  for (const [name, value] of Object.entries(limits ?? {})) {
    const place = `limits.${name}`;
    if (!Object.hasOwn(DEFAULT_LIMITS, name)) {
      problems.push({
        place,
        problem: 'there is no such limit',
        remedy: `Use one of ${Object.keys(DEFAULT_LIMITS).join(', ')}`,
      });
    } else if (value !== undefined && !(Number.isSafeInteger(value) && value > 0)) {
      problems.push({
        place,
        problem: 'it is not a positive whole number',
        remedy: 'Leave it out to have the default',
      });
    } else if (value !== undefined) effective[name] = value;
  }
  return effective as unknown as EffectiveLimits;
}

/** What is wrong with the options as such, before anything is created from them. */
export function checkServerOptions(options: ServerGuardOptions, policy: Policy): Problem[] {
  const problems = grpcProblems();
  for (const name of Object.keys(options)) {
    if (!KNOWN_OPTIONS.has(name)) {
      problems.push({
        place: name,
        problem: 'there is no such option',
        remedy: `Use one of ${[...KNOWN_OPTIONS].join(', ')}`,
      });
    }
  }
  if (options.tokens === undefined) {
    problems.push({
      place: 'tokens',
      problem: 'it is missing',
      remedy: 'Name the issuers, or write null where every method is mtls_only',
    });
  }
  for (const rule of policy.rules.values()) {
    if (options.tokens === null && rule.mode !== 'mtls_only') {
      problems.push({
        place: `tokens (${rule.method})`,
        problem: 'the method needs a token and no issuer is configured',
        remedy: 'Configure `tokens.issuers`, or make the method mtls_only',
      });
    }
    if (rule.audit.required && options.audit?.durable !== true) {
      problems.push({
        place: `audit (${rule.method})`,
        problem: 'the method requires its audit record and the sink does not promise durability',
        remedy: 'Give a sink with `durable: true`, or remove `audit { required: true }`',
      });
    }
  }
  const { shadow } = options;
  if (shadow !== undefined) {
    if (!(shadow.until instanceof Date) || Number.isNaN(shadow.until.getTime())) {
      problems.push({
        place: 'shadow.until',
        problem: 'it is not a date',
        remedy: 'Say when enforcement begins by itself',
      });
    }
    for (const method of shadow.methods) {
      if (!policy.rules.has(method)) {
        problems.push({
          place: 'shadow.methods',
          problem: `no method ${method} in the policy`,
          remedy: 'Write it as /pkg.Service/Method',
        });
      }
    }
  }
  return problems;
}

/** Throws when there are problems. */
export function throwProblems(subject: string, problems: readonly Problem[]): void {
  if (problems.length > 0) throw new ConfigurationError(subject, problems);
}
