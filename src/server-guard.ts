/**
 * `createServerGuard`: puts identity, policy, tokens, revocations and audit together into one thing a server is opened
 * with.
 *
 * @module
 */

import { createHash } from 'node:crypto';
import type * as grpc from '@grpc/grpc-js';
import { pinoAudit } from './audit/pino-sink.js';
import { Recorder } from './audit/recorder.js';
import { systemClock } from './clock.js';
import type { Problem } from './errors.js';
import { testAuthorityProblems } from './identity/test-mark.js';
import type { Closeable } from './lifecycle.js';
import { createAuthorizer } from './policy/authorizer.js';
import { sessionRules, withBuiltins } from './policy/builtin.js';
import type { Policy } from './policy/types.js';
import { ServerConnections } from './server-connections.js';
import {
  checkServerOptions,
  type EffectiveLimits,
  effectiveLimits,
  type ServerGuardOptions,
  throwProblems,
} from './server-options.js';
import { ServerPipeline } from './server-pipeline.js';
import { addSessionService } from './server-session.js';
import { createReplayStore } from './token/replay.js';
import { createRevocations } from './token/revocations.js';
import type { IssuerPosture, RevocationSource } from './token/types.js';
import { createTokenVerifier } from './token/verifier.js';
import { foreignPortInterceptor } from './transport/foreign-port.js';
import { GuardedCall } from './transport/interceptor.js';
import { GuardedCredentials } from './transport/server-credentials.js';
import { RENEW_METHOD } from './wire/session.js';

/** What a guard enforces now. All times are milliseconds since the Unix epoch. */
export interface Posture {
  readonly spiffeId: string;
  readonly certificate: {
    readonly fingerprint: string;
    readonly notBefore: number;
    readonly notAfter: number;
    readonly remainingSeconds: number;
  };
  /** Rises with every change of the certificate or of the bundles. */
  readonly identityGeneration: number;
  /** Why the newest identity was refused and the one before it kept; `null` when the newest is in force. */
  readonly identityProblem: string | null;
  /** SHA-256 over the authorities of each trust domain, base64url. */
  readonly bundles: Readonly<Record<string, string>>;
  readonly policyDigest: string;
  readonly methods: number;
  readonly audience: string | null;
  /** The key set in force of each issuer. */
  readonly issuers: readonly IssuerPosture[];
  /** How often a token was accepted only thanks to the clock tolerance: clocks that drift show here first. */
  readonly clockToleranceUsed: number;
  readonly revocationEpoch: number;
  readonly connections: number;
  readonly runningCalls: number;
  /** Methods watched instead of enforced, while they are. */
  readonly shadow: { readonly methods: readonly string[]; readonly until: number } | null;
  /** Audit events the sink did not take. */
  readonly auditLost: number;
  readonly testAuthorityAllowed: boolean;
  readonly limits: EffectiveLimits;
}

/** The guard of a server. */
export interface ServerGuard extends Closeable {
  /** Opens a port with mutual TLS and every check. A port opened with it cannot be opened without them. */
  readonly credentials: grpc.ServerCredentials;
  /**
   * For `new grpc.Server({ interceptors: [guard.interceptor] })`: refuses every call that arrived through another port
   * of the same server, and does nothing to the others.
   */
  readonly interceptor: grpc.ServerInterceptor;
  /** The rules that are enforced, vendor services included. */
  readonly policy: Policy;
  /** Serves `zerotrust.v1.SessionService`, by which streams outlive the token they were opened with. */
  addTo(server: grpc.Server): void;
  posture(): Posture;
}

/**
 * Creates the guard of a server. Resolves when the keys of every issuer are at hand.
 *
 * It does not check what a handler does with what it is given, what a response contains, nor calls that arrive through
 * ports opened with other credentials (for those see {@link ServerGuard.interceptor}).
 *
 * @throws ConfigurationError naming every mistake at once: place, problem and remedy.
 */
export async function createServerGuard(options: ServerGuardOptions): Promise<ServerGuard> {
  const clock = options.clock ?? systemClock;
  const policy = withBuiltins(options.policy, options.builtin);
  const problems: Problem[] = checkServerOptions(options, policy);
  const limits = effectiveLimits(options.limits, problems);
  const { svid } = options.identity.current();
  const allowTestAuthority = options.unsafeAllowTestAuthority === true;
  problems.push(...testAuthorityProblems(options));
  throwProblems('createServerGuard', problems);

  const audience = options.tokens === null ? null : (options.tokens.audience ?? svid.spiffeId);
  const toleranceSeconds = options.tokens?.clockToleranceSeconds ?? 30;
  const verifier =
    options.tokens === null || audience === null
      ? null
      : await createTokenVerifier({
          issuers: options.tokens.issuers,
          audience,
          clock,
          clockToleranceSeconds: toleranceSeconds,
          ...(allowTestAuthority && { unsafeAllowTestAuthority: true as const }),
        });
  const effective = verifier === null ? policy : sessionRules(policy, RENEW_METHOD);
  const sink = options.audit ?? pinoAudit();
  const recorder = new Recorder(sink, clock);
  const revocations = options.revocations ?? createRevocations({ clock });
  const identity = () => options.identity.current();
  const connections = new ServerConnections({
    clock,
    identity,
    revocations,
    recorder,
    connectionsPerPeer: limits.connectionsPerPeer,
    allowTestAuthority,
  });
  const pipeline = new ServerPipeline({
    clock,
    policy: effective,
    authorizer: createAuthorizer(),
    verifier,
    toleranceMs: toleranceSeconds * 1000,
    replay: options.replay ?? createReplayStore({ clock }),
    revocations,
    recorder,
    connections,
    limits,
    shadow: options.shadow,
    identity,
  });
  const credentials = new GuardedCredentials(
    options.identity.current(),
    limits,
    (method, call) => new GuardedCall(pipeline, method, call),
  );

  const identityRefused = ([first, ...more]: readonly Problem[]): void => {
    if (first !== undefined) recorder.guard('identity-refused', { ...first, furtherProblems: more.length });
  };
  const stop = [
    options.identity.onProblem?.(identityRefused) ?? (() => {}),
    revocations.onChange(() => {
      connections.reconsider();
      recorder.guard('revocations-changed', { epoch: epochOf(revocations) });
    }),
    options.identity.onChange((next) => {
      if (next.svid.spiffeId !== svid.spiffeId) {
        recorder.guard('identity-refused', { problem: 'the SPIFFE ID changed', spiffeId: next.svid.spiffeId });
        return;
      }
      credentials.rotate(next);
      recorder.guard('identity-changed', { generation: next.generation, fingerprint: next.svid.fingerprint });
      connections.retrust();
    }),
  ];
  recorder.guard('started', { spiffeId: svid.spiffeId, policyDigest: effective.digest, methods: effective.rules.size });
  identityRefused(options.identity.status?.problems ?? []);
  if (allowTestAuthority) recorder.guard('unsafe-test-authority', { spiffeId: svid.spiffeId });
  if (options.shadow !== undefined) {
    recorder.guard('shadow', {
      methods: options.shadow.methods.join(' '),
      until: options.shadow.until.toISOString(),
    });
  }

  let closed = false;
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    for (const act of stop) act();
    await verifier?.close();
    recorder.guard('closed');
    if (options.audit === undefined) await sink.close();
  };
  return {
    credentials,
    interceptor: foreignPortInterceptor(pipeline),
    policy: effective,
    addTo: (server) => addSessionService(server, pipeline),
    posture() {
      const context = options.identity.current();
      const live = [...connections.live];
      const { shadow } = options;
      const refused = options.identity.status?.lastError ?? null;
      return {
        spiffeId: context.svid.spiffeId,
        certificate: {
          fingerprint: context.svid.fingerprint,
          notBefore: context.svid.notBefore,
          notAfter: context.svid.notAfter,
          remainingSeconds: Math.floor((context.svid.notAfter - clock.now()) / 1000),
        },
        identityGeneration: context.generation,
        identityProblem: refused === null ? null : `${refused.place}: ${refused.problem}`,
        bundles: Object.fromEntries([...context.bundles].map(([domain, roots]) => [domain, digestOf(roots)])),
        policyDigest: effective.digest,
        methods: effective.rules.size,
        audience,
        issuers: verifier?.posture() ?? [],
        clockToleranceUsed: verifier?.toleranceUsed ?? 0,
        revocationEpoch: revocations.current().epoch,
        connections: live.length,
        runningCalls: live.reduce((sum, connection) => sum + connection.calls.size, 0),
        shadow:
          shadow !== undefined && clock.now() < shadow.until.getTime()
            ? { methods: [...shadow.methods], until: shadow.until.getTime() }
            : null,
        auditLost: recorder.lost,
        testAuthorityAllowed: allowTestAuthority,
        limits,
      };
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** `null` where the source cannot say: whoever told us of the change must not get its error back. */
function epochOf(revocations: RevocationSource): number | null {
  try {
    return revocations.current().epoch;
  } catch {
    return null;
  }
}

function digestOf(roots: readonly Uint8Array[]): string {
  const hash = createHash('sha256');
  for (const root of roots.map((der) => createHash('sha256').update(der).digest('hex')).sort()) hash.update(root);
  return hash.digest('base64url');
}
