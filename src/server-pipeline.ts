/**
 * Every call is decided here, in the order in which `ServerPipeline` reads from top to bottom. The only file that knows
 * that order.
 *
 * @module
 */

import { randomBytes } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import type * as grpc from '@grpc/grpc-js';
import { type Recorder, UNKNOWN_CALLER } from './audit/recorder.js';
import type { Principal } from './call.js';
import type { Clock } from './clock.js';
import { type Denial, deny, REASONS } from './errors.js';
import type { X509Context } from './identity/types.js';
import { AuditedResources, auditedResources } from './policy/audited.js';
import { callerAllowed } from './policy/callers.js';
import type { AuditedResource, Authorizer, MethodRule, Policy } from './policy/types.js';
import {
  type CallAdmission,
  deniedCaller,
  denyTo,
  GONE,
  type GuardCall,
  NO_RESOURCES,
  outcomeOf,
  peerExpired,
  SESSION_CALL_KEY,
  UNDECIDED,
  unfitFor,
} from './server-admission.js';
import { peerRevoked, type ServerConnections } from './server-connections.js';
import type { EffectiveLimits, ShadowOptions } from './server-options.js';
import { auditOf, type Caller, callerOf, type PeerState } from './server-peers.js';
import { parseBearer } from './token/bearer.js';
import { replayKey } from './token/replay.js';
import type { ReplayStore, RevocationSource, TokenVerifier, VerifiedToken } from './token/types.js';
import type { Connection } from './transport/connections.js';
import type { PortGate } from './transport/foreign-port.js';
import type { Refusal } from './transport/interceptor.js';
import { RateLimit } from './transport/rate-limit.js';
import { RENEW_METHOD, STREAM_ID_KEY } from './wire/session.js';
import { encodeRefusal, STATUS_DETAILS_KEY } from './wire/status.js';

/** What the pipeline is made of. */
export interface PipelineParts {
  readonly clock: Clock;
  readonly policy: Policy;
  readonly authorizer: Authorizer;
  readonly verifier: TokenVerifier | null;
  readonly toleranceMs: number;
  readonly replay: ReplayStore;
  readonly revocations: RevocationSource;
  readonly recorder: Recorder;
  readonly connections: ServerConnections;
  readonly limits: EffectiveLimits;
  readonly shadow: ShadowOptions | undefined;
  readonly identity: () => X509Context;
}

/** Decides about every call of one guard. */
export class ServerPipeline implements PortGate<PeerState, CallAdmission> {
  readonly clock: Clock;
  readonly decisionTimeoutMs: number;
  readonly messageBytes: number | null;
  readonly streamIdKey = STREAM_ID_KEY;
  readonly recorder: Recorder;
  /** Whether streams can be renewed: the server serves the session service. */
  renewable = false;

  readonly #parts: PipelineParts;
  readonly #made = new WeakSet<Principal>();
  readonly #rules: ReadonlyMap<string, MethodRule>;
  readonly #shadowed: ReadonlySet<string>;
  readonly #verifications: RateLimit;
  readonly #hashKey = randomBytes(32);
  readonly #idPrefix = randomBytes(9).toString('base64url');
  #decisions = 0;

  constructor(parts: PipelineParts) {
    this.#parts = parts;
    this.clock = parts.clock;
    this.decisionTimeoutMs = parts.limits.decisionTimeoutMs;
    this.messageBytes = parts.limits.messageBytes;
    this.#rules = parts.policy.rules;
    this.#shadowed = new Set(parts.shadow?.methods);
    this.#verifications = new RateLimit(parts.limits.verificationsPerPeerPerSecond);
    this.recorder = parts.recorder;
  }

  connectionOf(
    call: grpc.ServerInterceptingCallInterface,
    stream: ServerHttp2Stream | undefined,
  ): Connection<PeerState> {
    const session = stream?.session;
    if (session != null) return this.#parts.connections.live.of(session);
    return this.#parts.connections.live.single(call.getAuthContext().sslPeerCertificate?.raw);
  }

  // ---- 1. Who is at the other end, before anything that was sent is believed ----------------------------------------

  admit(call: GuardCall, metadata: grpc.Metadata): CallAdmission | Denial | Promise<CallAdmission | Denial> {
    const now = this.clock.now();
    call.decisionId = this.#nextId();
    const { connection } = call;
    if (connection.session === null) this.#parts.connections.live.track(connection);
    connection.state ??= this.#parts.connections.meet(connection, now);
    const { state } = connection;
    const { peer } = state;
    const refused = this.#parts.connections.standing(connection, state, now);
    if (peer === null || refused !== null) return refused ?? deny('PEER_MISSING', 'no peer identity');
    const expired = peerExpired(state, peer.notBefore, now);
    if (expired !== null) return expired;
    if (this.#parts.revocations.current().peerRevoked(peer, state.root)) {
      const denial = peerRevoked();
      this.#parts.connections.close(connection, denial);
      return denial;
    }

    // ---- 2. The rule; a method nobody annotated has none ------------------------------------------------------------
    const rule = this.#rules.get(call.method);
    if (rule === undefined) return deny('METHOD_UNANNOTATED', 'no rule for this method');
    // The handler gets the principal, not the token: what it forwards or logs cannot carry it away.
    const authorization = metadata.get('authorization');
    if (authorization.length > 0) metadata.remove('authorization');
    if (rule.mode === 'mtls_only') return this.#authorize(call, rule, callerOf(state, peer, null), now);

    // ---- 3. The token: known to this connection, known to this guard, or verified now -------------------------------
    const { verifier } = this.#parts;
    if (verifier === null) return deny('STATE_UNAVAILABLE', 'no issuer is configured');
    if (rule.method === RENEW_METHOD) metadata.setOpaque(SESSION_CALL_KEY, call);
    const header = authorization[0];
    const last = state.lastCaller?.token ?? null;
    if (last !== null && authorization.length === 1 && header === state.lastHeader && verifier.current(last)) {
      return this.#present(call, rule, last, header, now);
    }
    const bearer = parseBearer(authorization);
    if (typeof bearer !== 'string') return bearer;
    const known = verifier.recall(bearer);
    if (known !== null && verifier.current(known)) return this.#present(call, rule, known, header, now);
    if (!this.#verifications.take(peer.spiffeId, now)) {
      return deny('RATE_LIMITED', 'too many tokens to verify from this peer');
    }
    return verifier.verify(bearer, peer.spiffeId).then((token) => {
      if ('reason' in token) return token;
      return call.ended ? GONE : this.#present(call, rule, token, header, this.clock.now());
    });
  }

  // ---- 4. Whether the token is valid now, for us, and for this very connection ---------------------------------------

  #present(
    call: GuardCall,
    rule: MethodRule,
    token: VerifiedToken,
    header: unknown,
    now: number,
  ): CallAdmission | Denial | Promise<CallAdmission | Denial> {
    const { state } = call.connection;
    if (state === null || state.peer === null) return deny('PEER_MISSING', 'no peer identity');
    const unfit = this.#tokenFit(token, state.peer, now);
    if (unfit !== null) return denyTo(auditOf(state, token), unfit);
    const caller = callerOf(state, state.peer, token);
    state.lastHeader = header;
    state.lastCaller = caller;
    const old = unfitFor(rule, token, now);
    if (old !== null) return denyTo(caller.audit, old);
    return this.#authorize(call, rule, caller, now);
  }

  #tokenFit(token: VerifiedToken, peer: NonNullable<PeerState['peer']>, now: number): Denial | null {
    const { verifier, revocations } = this.#parts;
    const unfit =
      verifier === null ? deny('STATE_UNAVAILABLE', 'no issuer is configured') : verifier.check(token, peer, now);
    if (unfit !== null) return unfit;
    return revocations.current().tokenRevoked(token)
      ? deny('TOKEN_REVOKED', 'the token, its subject or its key is revoked')
      : null;
  }

  // ---- 5. Whether this caller may: callers, delegation, permission ---------------------------------------------------

  #authorize(
    call: GuardCall,
    rule: MethodRule,
    caller: Caller,
    now: number,
  ): CallAdmission | Denial | Promise<CallAdmission | Denial> {
    let shadowed: Denial | null = null;
    if (!caller.passed.has(rule)) {
      this.#made.add(caller.principal);
      const denial = this.mayCall(rule, caller);
      if (denial === null) caller.passed.add(rule);
      else if (this.#inShadow(rule, now)) shadowed = denial;
      else return denyTo(caller.audit, denial);
    }
    const { state } = call.connection;
    const notAfter = state?.notAfter ?? 0;
    const admission: CallAdmission = {
      principal: caller.principal,
      rule,
      caller,
      rights: caller.alone,
      bearer: caller,
      openedAt: now,
      shadowed,
      resources: null,
      endsAt: call.streaming ? this.endOf(rule, caller, notAfter, now) : Number.POSITIVE_INFINITY,
      streamId: call.streaming && this.renewable && caller.token !== null && !rule.singleUse ? call.decisionId : null,
    };
    // A handler that reads a stream runs before the first message, so what is used once is used up now.
    const settled = call.requestStream ? this.#settle(call, admission, NO_RESOURCES) : null;
    if (settled === null) return this.#opened(call, admission);
    const open = (no: Denial | null) => (no === null ? this.#opened(call, admission) : denyTo(caller.audit, no));
    return settled instanceof Promise ? settled.then(open) : open(settled);
  }

  /** Callers, delegation and permission. */
  mayCall(rule: MethodRule, caller: Caller): Denial | null {
    const { trustDomain } = this.#parts.identity().svid;
    return (
      callerAllowed(rule, caller.principal.peer, trustDomain) ?? this.#parts.authorizer.call(rule, caller.principal)
    );
  }

  #opened(call: GuardCall, admission: CallAdmission): CallAdmission {
    // A call that ended meanwhile was recorded then, and nobody would take it off the list of streams.
    if (call.ended) return admission;
    if (admission.streamId !== null) call.connection.state?.streams.set(admission.streamId, call);
    if (call.streaming && admission.rule.audit.level === 'all') {
      this.recorder.decision(call, admission.caller.audit, {
        ...outcomeOf(admission, null),
        phase: 'opened',
        resources: NO_RESOURCES,
      });
    }
    return admission;
  }

  // ---- 6. Each message: what may have changed meanwhile, the resources it names, and at last what is used once -------

  message(call: GuardCall, admission: CallAdmission, message: unknown): Denial | null | Promise<Denial | null> {
    const { rule, rights } = admission;
    if (call.streaming) {
      const ended = this.stillAllowed(call, admission);
      if (ended !== null) return ended;
    }
    const first = call.messages === 0;
    // What was asked is recorded from the first message, while it is checked, and from one that is refused.
    const log = first && rule.checks.length > 0 ? new AuditedResources(this.#hashKey) : null;
    let refused: Denial | null = null;
    for (let i = 0; i < rights.length && refused === null; i++) {
      const { principal } = rights[i] as Caller;
      refused = this.#parts.authorizer.message(rule, principal, message, i === 0 ? log : null);
    }
    if (refused === null) {
      if (log !== null) admission.resources = log.list();
    } else {
      admission.resources = auditedResources(rule, message, this.#hashKey);
      if (!this.#inShadow(rule, this.clock.now())) return refused;
      admission.shadowed ??= refused;
    }
    return first && !call.requestStream ? this.#settle(call, admission, admission.resources ?? NO_RESOURCES) : null;
  }

  /** Uses up a single-use token, then keeps the record of methods that require it. */
  #settle(
    call: GuardCall,
    admission: CallAdmission,
    resources: readonly AuditedResource[],
  ): Denial | null | Promise<Denial | null> {
    const { rule, caller } = admission;
    const { replay, toleranceMs } = this.#parts;
    if (!rule.singleUse && !rule.audit.required) return null;
    const { nextUpdate } = this.#parts.revocations.current();
    if (nextUpdate !== null && this.clock.now() > nextUpdate) {
      return deny('STATE_UNAVAILABLE', 'the revocations are older than they say they may be');
    }
    return (async () => {
      if (rule.singleUse) {
        if (caller.token === null || caller.token.id === null)
          return deny('TOKEN_MALFORMED', 'a single-use token needs a jti');
        let claimed: Awaited<ReturnType<ReplayStore['claim']>>;
        try {
          claimed = await replay.claim(
            replayKey(caller.token),
            caller.token.expiresAt + 2 * toleranceMs,
            caller.principal.peer.spiffeId,
          );
        } catch {
          return deny('STATE_UNAVAILABLE', 'the replay store failed');
        }
        if (claimed === 'replayed') return deny('TOKEN_REPLAYED', 'the token was used before');
        if (claimed !== 'fresh') return deny('STATE_UNAVAILABLE', 'the replay store is full');
      }
      if (rule.audit.required) {
        try {
          await this.recorder.durably(call, caller.audit, {
            ...outcomeOf(admission, null),
            phase: 'admitted',
            resources,
          });
        } catch {
          return deny('AUDIT_UNAVAILABLE', 'the audit sink did not keep the record');
        }
      }
      // What was so when the wait began need not be so when it ends.
      return this.stillAllowed(call, admission);
    })();
  }

  // ---- 7. While it runs: time, certificate, revocation ---------------------------------------------------------------

  stillAllowed(call: GuardCall, admission: CallAdmission): Denial | null {
    const now = this.clock.now();
    const { state } = call.connection;
    if (state === null || state.peer === null) return deny('PEER_MISSING', 'no peer identity');
    const expired = peerExpired(state, state.peer.notBefore, now);
    if (expired !== null) return expired;
    const snapshot = this.#parts.revocations.current();
    if (snapshot.peerRevoked(state.peer, state.root)) return peerRevoked();
    if (call.streaming && now >= admission.openedAt + (admission.rule.maxStreamAgeMs ?? Number.POSITIVE_INFINITY)) {
      return deny('TOKEN_EXPIRED', 'the stream has reached the greatest age of its method');
    }
    for (const { token } of admission.rights) {
      if (token !== null && snapshot.tokenRevoked(token)) return deny('TOKEN_REVOKED', 'the token is revoked');
    }
    // A unary call that was let in may outlive its token; a stream may not.
    const { token } = admission.bearer;
    if (token === null || !call.streaming) return null;
    const known = this.#parts.verifier?.current(token) === true;
    return known ? this.#tokenFit(token, state.peer, now) : deny('TOKEN_REVOKED', 'the key of the token was withdrawn');
  }

  // ---- 8. How it ended -----------------------------------------------------------------------------------------------

  refusal(call: GuardCall, { reason }: Denial): Refusal {
    call.decisionId ||= this.#nextId();
    const { status, sentence } = REASONS[reason];
    return {
      code: status,
      details: sentence,
      info: encodeRefusal(reason, call.decisionId),
      infoKey: STATUS_DETAILS_KEY,
    };
  }

  finished(call: GuardCall): void {
    const { admission, connection, denial } = call;
    if (admission?.streamId != null) connection.state?.streams.delete(admission.streamId);
    this.#parts.connections.live.forget(connection);
    if (denial === null && admission?.shadowed == null && admission?.rule.audit.level === 'refused') return;
    const who = admission?.caller.audit ?? deniedCaller(denial) ?? connection.state?.audit ?? UNKNOWN_CALLER;
    const resources = admission?.resources ?? NO_RESOURCES;
    const phase = call.streaming && admission !== null ? 'closed' : 'call';
    const { outcome, denial: shown } = admission === null ? UNDECIDED : outcomeOf(admission, denial);
    this.recorder.decision(call, who, { outcome, denial: denial ?? shown, phase, resources });
  }

  failed(error: unknown): void {
    // The message of an unknown error could hold anything; its name and place cannot hold a token.
    const name = error instanceof Error ? error.name : typeof error;
    const place =
      error instanceof Error ? (error.stack?.split('\n').find((line) => line.startsWith('    at ')) ?? '').trim() : '';
    this.recorder.guard('internal-error', { name, place });
  }

  /** Whether this guard made the principal. */
  made(principal: Principal): boolean {
    return this.#made.has(principal);
  }

  // ---- within --------------------------------------------------------------------------------------------------------

  /** When a stream of this rule and caller ends; milliseconds since the Unix epoch. */
  endOf(rule: MethodRule, caller: Caller, notAfter: number, openedAt: number): number {
    const token = caller.token === null ? Number.POSITIVE_INFINITY : caller.token.expiresAt + this.#parts.toleranceMs;
    return Math.min(notAfter, token, openedAt + (rule.maxStreamAgeMs ?? Number.POSITIVE_INFINITY));
  }

  #nextId(): string {
    return `${this.#idPrefix}-${(this.#decisions++).toString(36)}`;
  }

  #inShadow(rule: MethodRule, now: number): boolean {
    const { shadow } = this.#parts;
    return shadow !== undefined && this.#shadowed.has(rule.method) && now < shadow.until.getTime();
  }
}
