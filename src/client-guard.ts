/**
 * `createClientGuard`: identity and tokens to channels and clients, one generation at a time.
 *
 * @module
 */

import type * as grpc from '@grpc/grpc-js';
import type { SpiffeId, SpiffeIdText } from './call.js';
import { renewals } from './client-session.js';
import { type Clock, systemClock } from './clock.js';
import { ConfigurationError, type Problem } from './errors.js';
import { authenticatePeer } from './identity/authenticate.js';
import { parseSpiffeId } from './identity/spiffe-id.js';
import { testAuthorityProblems } from './identity/test-mark.js';
import type { X509Context, X509Source } from './identity/types.js';
import type { Closeable } from './lifecycle.js';
import type { Policy } from './policy/types.js';
import { createTokenCache } from './token/token-cache.js';
import type { TokenLane } from './token/token-lane.js';
import type { TokenSource } from './token/types.js';
import { readUnverified } from './token/unverified.js';
import {
  type ClientConstructor,
  channelCredentials,
  clientOver,
  GuardedChannel,
  openChannel,
  withTokens,
} from './transport/channel.js';
import type { ChannelGeneration, TokenAttachment } from './transport/client-call.js';
import { grpcProblems } from './transport/grpc-internals.js';
import { RENEW_METHOD } from './wire/session.js';
import { decodeRefusal, type RefusalInfo, STATUS_DETAILS_KEY } from './wire/status.js';

/** Options of {@link createClientGuard}. */
export interface ClientGuardOptions {
  /** Own certificate and key, and the trust bundles. Not closed by the guard. */
  readonly identity: X509Source;
  /** Where tokens come from. `null`: this client calls only methods that read no token. */
  readonly tokens: TokenSource | null;
  /** The policy of the servers that are called: for their single-use methods a fresh token is asked for each call. */
  readonly policy?: Policy;
  /** Default: the clock of the machine. */
  readonly clock?: Clock;
  /**
   * Accepts servers that were certified by the test kit, whose keys anyone can make.
   * @deprecated Not deprecated: dangerous. Never outside tests and demonstrations.
   */
  readonly unsafeAllowTestAuthority?: true;
}

/** Which server a client talks to. */
export interface ServerTarget {
  /** The SPIFFE ID the server must prove, exactly. */
  readonly server: SpiffeIdText;
  /** The audience of the tokens sent to it. Default: `server`. */
  readonly audience?: string;
}

/** Options of {@link ClientGuard.createClient}: the target, and whatever grpc-js takes for a client. */
export type GuardedClientOptions = ServerTarget &
  Omit<grpc.ClientOptions, 'channelOverride' | 'channelFactoryOverride'>;

/** The guard of the clients of one workload. */
export interface ClientGuard extends Closeable {
  /**
   * A client whose every call goes over mutual TLS to the server of that SPIFFE ID and carries a token bound to our
   * certificate. `close()` of the client closes its connections.
   */
  createClient<C>(clientClass: ClientConstructor<C>, address: string, options: GuardedClientOptions): C;
  /**
   * Credentials for frameworks that build their own client. They stay with the certificate of the moment they were
   * made: make new ones after a rotation. A refused token is not retried through them.
   */
  credentialsFor(target: ServerTarget): grpc.ChannelCredentials;
}

/** Refusals that a fresh token cures. */
const CURABLE: ReadonlySet<string> = new Set(['TOKEN_EXPIRED', 'TOKEN_REVOKED', 'TOKEN_BINDING_MISMATCH']);

/** Some client that was made, to be moved to the next generation. */
interface Moving {
  readonly channel: GuardedChannel;
  generation(context: X509Context): ChannelGeneration;
}

/**
 * Creates the guard of the clients of one workload.
 *
 * @throws ConfigurationError naming every mistake at once.
 */
export async function createClientGuard(options: ClientGuardOptions): Promise<ClientGuard> {
  const problems = checkClientOptions(options);
  if (problems.length > 0) throw new ConfigurationError('createClientGuard', problems);
  const clock = options.clock ?? systemClock;
  const { identity } = options;
  const cache = options.tokens === null ? null : createTokenCache({ source: options.tokens, clock });
  const singleUse = singleUseMethods(options.policy);
  const moving = new Set<Moving>();
  const pooled = new Map<string, grpc.ChannelCredentials>();
  let closed = false;

  const credentials = (context: X509Context, server: SpiffeIdText): grpc.ChannelCredentials => {
    const key = `${context.generation} ${server}`;
    const known = pooled.get(key);
    if (known !== undefined) return known;
    const made = channelCredentials(context, (chain) => {
      // The bundles of now, not of then: an authority that was removed vouches for nobody any more.
      const met = authenticatePeer(chain, identity.current().bundles, { now: clock.now(), role: 'server' });
      if ('reason' in met) return `the server is not trusted: ${met.detail}`;
      if (met.testAuthority && options.unsafeAllowTestAuthority !== true)
        return 'the server was certified by a test authority';
      return met.peer.spiffeId === server ? null : `the server is ${met.peer.spiffeId}, not ${server}`;
    });
    pooled.set(key, made);
    return made;
  };
  const target = ({ server, audience }: ServerTarget): { server: SpiffeIdText; audience: string } => {
    if (closed) throw new Error('The client guard has been closed.');
    const parsed = workloadOf(server);
    if (parsed !== null) return { server: parsed, audience: audience ?? server };
    throw new ConfigurationError('createClient', [
      {
        place: 'server',
        problem: 'it is not the SPIFFE ID of a workload',
        remedy: 'Write the identity the server must prove, such as spiffe://acme.example/services/tasks',
      },
    ]);
  };
  const stop = identity.onChange((context) => {
    pooled.clear();
    cache?.rotate(context.svid.fingerprint);
    for (const one of moving) one.channel.rotate(one.generation(context));
  });
  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    stop();
    for (const { channel } of moving) channel.close();
    moving.clear();
    pooled.clear();
    await cache?.close();
  };

  return {
    createClient(ClientClass, address, { server: serverText, audience: audienceText, ...grpcOptions }) {
      const { server, audience } = target({
        server: serverText,
        ...(audienceText !== undefined && { audience: audienceText }),
      });
      const generation = (context: X509Context): ChannelGeneration => {
        const channel = openChannel(address, credentials(context, server), grpcOptions as grpc.ChannelOptions);
        if (cache === null) return { channel, tokens: null };
        const lane = cache.lane({ audience, svid: context.svid });
        return { channel, tokens: attachment(lane, singleUse, channel, clock) };
      };
      const channel = new GuardedChannel(generation(identity.current()), () => moving.delete(one));
      const one: Moving = { channel, generation };
      moving.add(one);
      return clientOver(ClientClass, address, channel, grpcOptions);
    },
    credentialsFor(wanted) {
      const { server, audience } = target(wanted);
      const context = identity.current();
      const channel = credentials(context, server);
      if (cache === null) return channel;
      const lane = cache.lane({ audience, svid: context.svid });
      return withTokens(channel, (method) => (singleUse.has(method) ? lane.getFresh(method) : lane.get(method)));
    },
    close,
    [Symbol.asyncDispose]: close,
  };
}

/** A SPIFFE ID with a path: one without is a trust domain, which no server can prove to be. */
function workloadOf(server: string): SpiffeId | null {
  try {
    const parsed = parseSpiffeId(server);
    return parsed.includes('/', 'spiffe://'.length) ? parsed : null;
  } catch {
    return null;
  }
}

function attachment(
  lane: TokenLane,
  singleUse: ReadonlySet<string>,
  channel: grpc.ChannelInterface,
  clock: Clock,
): TokenAttachment {
  return {
    peek: (method) => (singleUse.has(method) ? null : lane.peek(method)),
    obtain(method, refused) {
      if (singleUse.has(method)) return lane.getFresh(method);
      return refused === null ? lane.get(method) : lane.refresh(method, refused);
    },
    curable: (status) => CURABLE.has(refusalOf(status)?.reason ?? ''),
    opened: renewals({
      channel,
      clock,
      freshToken: (used) => lane.refresh(RENEW_METHOD, used),
      expiryOf: (token) => readUnverified(token).expiresAt,
    }),
  };
}

/**
 * What a guarded server said when it refused a call; `null` for any other error. Programs switch on `reason`, never on
 * text; `decisionId` names the record in the audit trail of the server.
 */
export function refusalOf(status: { readonly metadata?: grpc.Metadata | null }): RefusalInfo | null {
  const [bytes] = status.metadata?.get(STATUS_DETAILS_KEY) ?? [];
  return bytes instanceof Uint8Array ? decodeRefusal(bytes) : null;
}

function singleUseMethods(policy: Policy | undefined): ReadonlySet<string> {
  const methods = new Set<string>();
  for (const rule of policy?.rules.values() ?? []) if (rule.singleUse) methods.add(rule.method);
  return methods;
}

const KNOWN_OPTIONS = new Set(['identity', 'tokens', 'policy', 'clock', 'unsafeAllowTestAuthority']);

function checkClientOptions(options: ClientGuardOptions): Problem[] {
  const problems = grpcProblems();
  for (const name of Object.keys(options)) {
    if (KNOWN_OPTIONS.has(name)) continue;
    problems.push({
      place: name,
      problem: 'there is no such option',
      remedy: `Use one of ${[...KNOWN_OPTIONS].join(', ')}`,
    });
  }
  if (options.tokens !== null && typeof options.tokens?.getToken !== 'function') {
    problems.push({
      place: 'tokens',
      problem: 'it is no token source',
      remedy: 'Give an object with getToken, or write null to send none',
    });
  }
  problems.push(...testAuthorityProblems(options));
  return problems;
}
