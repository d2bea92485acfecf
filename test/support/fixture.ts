/** A guarded server on a real socket, an authority, and clients of either kind: guarded, or by hand for attacks. */

import * as grpc from '@grpc/grpc-js';
import {
  type AuditSink,
  type ClientGuard,
  createClientGuard,
  createRevocations,
  createServerGuard,
  loadPolicy,
  type Policy,
  type ServerGuard,
  type ServerGuardOptions,
  type TokenSource,
  type X509Source,
} from 'grpc-zero-trust';
import { createTestAuthority, recordingAudit, type TestAuthority, type TestIdentity } from 'grpc-zero-trust/testing';
import protobuf from 'protobufjs';
import {
  INCLUDE_DIRS,
  PROTO,
  type Seen,
  type TaskClient,
  TaskClientClass,
  TaskService,
  taskHandlers,
} from './tasks.js';

export const SERVER_ID = 'spiffe://acme.example/services/tasks';

/** What the honest planner holds in these tests. */
export const GRANTS = [
  {
    type: 'zerotrust',
    actions: ['tasks.task.read', 'tasks.task.write', 'tasks.task.pay'],
    resources: ['projects/7/tasks/**'],
  },
];

let policy: Promise<Policy> | undefined;

/** The policy of the fixture service; loaded once. */
export function fixturePolicy(): Promise<Policy> {
  policy ??= loadPolicy({ protos: [PROTO], includeDirs: INCLUDE_DIRS });
  return policy;
}

type Overrides = Partial<Omit<ServerGuardOptions, 'identity' | 'tokens' | 'audit'>> & {
  readonly authority?: TestAuthority;
  /** The identity of the server, with the SPIFFE ID `SERVER_ID`. Default: one of the authority. */
  readonly identity?: X509Source;
  readonly issuer?: Partial<NonNullable<ServerGuardOptions['tokens']>['issuers'][number]>;
  readonly moreIssuers?: NonNullable<ServerGuardOptions['tokens']>['issuers'];
  readonly sessions?: boolean;
  /** Takes the events in place of the recording sink, which then has none. */
  readonly sink?: ServerGuardOptions['audit'];
  /** Gets every event too. */
  readonly alsoAudit?: AuditSink;
  readonly serverOptions?: grpc.ServerOptions;
  /** Before the server is bound: more services, more ports. */
  readonly prepare?: (server: grpc.Server, guard: ServerGuard) => void | Promise<void>;
};

export interface Fixture {
  readonly authority: TestAuthority;
  readonly guard: ServerGuard;
  readonly server: grpc.Server;
  readonly address: string;
  readonly port: number;
  readonly seen: Seen;
  readonly audit: ReturnType<typeof recordingAudit>;
  readonly revocations: ReturnType<typeof createRevocations>;
  readonly planner: TestIdentity;
  readonly serverIdentity: TestIdentity;
  /** A token for the fixture server. */
  token(options?: Partial<Parameters<TestAuthority['token']>[0]>): Promise<string>;
  /** A client that sends exactly this token over exactly this identity, with no guard of ours in between. */
  raw(identity: TestIdentity, options?: grpc.ClientOptions): TaskClient;
  /** A guarded client of this identity; `to`: of another server, by its address. */
  client(
    identity?: TestIdentity,
    tokens?: TokenSource | null,
    options?: Partial<Parameters<typeof createClientGuard>[0]>,
    grpcOptions?: grpc.ClientOptions,
    to?: string,
  ): Promise<TaskClient>;
  close(): Promise<void>;
}

/** Starts a guarded server. Close it in `afterEach` or `after`. */
export async function startFixture(overrides: Overrides = {}): Promise<Fixture> {
  const {
    authority: given,
    issuer,
    moreIssuers = [],
    sessions,
    sink,
    alsoAudit,
    serverOptions,
    prepare,
    ...options
  } = overrides;
  const authority =
    given ??
    (await createTestAuthority({ trustDomain: 'acme.example', ...(options.clock && { clock: options.clock }) }));
  const serverIdentity = await authority.identity('services/tasks');
  const planner = await authority.identity('agents/planner');
  const audit = recordingAudit();
  const revocations = createRevocations(options.clock === undefined ? {} : { clock: options.clock });
  const seen: Seen = { calls: [], messages: [], cancelled: [] };
  const guard = await createServerGuard({
    policy: await fixturePolicy(),
    revocations,
    unsafeAllowTestAuthority: true,
    ...options,
    identity: options.identity ?? serverIdentity,
    audit: sink ?? (alsoAudit === undefined ? audit : both(audit, alsoAudit)),
    tokens: {
      issuers: [
        {
          issuer: authority.issuer,
          keys: authority.keys,
          subjects: ['spiffe://acme.example/**'],
          actors: ['spiffe://acme.example/agents/*'],
          permits: [{ actions: ['tasks.*'], resources: ['**'] }],
          grants: 'authorization_details',
          ...issuer,
        },
        ...moreIssuers,
      ],
    },
  });
  const server = new grpc.Server({ ...serverOptions, interceptors: [guard.interceptor] });
  server.addService(TaskService.service, taskHandlers(seen));
  if (sessions === true) guard.addTo(server);
  await prepare?.(server, guard);
  const port = await bind(server, guard.credentials);
  const address = `127.0.0.1:${port}`;
  const closing: (() => unknown)[] = [];
  return {
    authority,
    guard,
    server,
    address,
    port,
    seen,
    audit,
    revocations,
    planner,
    serverIdentity,
    token: (more = {}) =>
      authority.token({ subject: planner.spiffeId, audience: SERVER_ID, boundTo: planner, grants: GRANTS, ...more }),
    raw(identity, clientOptions) {
      const client = rawClient(address, identity, clientOptions);
      closing.push(() => client.close());
      return client;
    },
    async client(identity = planner, tokens, clientOptions, grpcOptions = {}, to = address) {
      const source: TokenSource | null =
        tokens === undefined
          ? {
              getToken: ({ audience }) =>
                authority.token({ subject: identity.spiffeId, audience, boundTo: identity, grants: GRANTS }),
            }
          : tokens;
      const clientGuard: ClientGuard = await createClientGuard({
        identity,
        tokens: source,
        unsafeAllowTestAuthority: true,
        ...(options.clock && { clock: options.clock }),
        ...clientOptions,
      });
      closing.push(() => clientGuard.close());
      return clientGuard.createClient(TaskClientClass, to, { ...grpcOptions, server: SERVER_ID });
    },
    async close() {
      for (const act of closing) await act();
      server.forceShutdown();
      await guard.close();
    },
  };
}

function both(one: AuditSink, other: AuditSink): AuditSink {
  return {
    write(event) {
      one.write(event);
      return other.write(event);
    },
    close: async () => {},
  };
}

/** Binds to a free port of the loopback interface. */
export function bind(server: grpc.Server, credentials: grpc.ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, port) => (error === null ? resolve(port) : reject(error)));
  });
}

/** A plain grpc-js client over mutual TLS: what an attacker, or a stranger without our guard, has. */
export function rawClient(
  address: string,
  identity: { certificatePem: string; privateKeyPem: string; bundlePem: string },
  options: grpc.ClientOptions = {},
): TaskClient {
  const credentials = grpc.credentials.createSsl(
    Buffer.from(identity.bundlePem),
    Buffer.from(identity.privateKeyPem),
    Buffer.from(identity.certificatePem),
    { checkServerIdentity: () => undefined },
  );
  return new TaskClientClass(address, credentials, {
    'grpc.use_local_subchannel_pool': 1,
    ...options,
  });
}

/** Metadata that carries a bearer token. */
export function bearer(token: string, more: Record<string, string> = {}): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  for (const [name, value] of Object.entries(more)) metadata.set(name, value);
  return metadata;
}

/** The two ways a call ends. */
export type Outcome<O> = { readonly ok: O } | { readonly error: grpc.ServiceError; readonly reason: string | null };

/** Makes a unary call and says how it ended. Never rejects. */
export function unary<I, O>(
  method: (
    request: I,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<O>,
  ) => unknown,
  client: grpc.Client,
  request: I,
  metadata = new grpc.Metadata(),
  options: grpc.CallOptions = { deadline: Date.now() + 20_000 },
): Promise<Outcome<O>> {
  return new Promise((resolve) => {
    method.call(client, request, metadata, options, (error: grpc.ServiceError | null, value?: O) => {
      resolve(error === null ? { ok: value as O } : { error, reason: reasonOf(error) });
    });
  });
}

/** Reads a stream to its end. */
export async function drain<T>(
  stream: NodeJS.ReadableStream & NodeJS.EventEmitter,
): Promise<{ messages: T[]; status: grpc.StatusObject; reason: string | null }> {
  const messages: T[] = [];
  stream.on('data', (message: T) => messages.push(message));
  stream.on('error', () => {});
  // Not `once` of node:events: it rejects on 'error', which comes before 'status'.
  const status = await new Promise<grpc.StatusObject>((resolve) => stream.once('status', resolve));
  return { messages, status, reason: reasonOf(status) };
}

/** The `reason` of the `google.rpc.ErrorInfo` a refusal carries, read the way any gRPC client would. */
export function reasonOf(status: { metadata?: grpc.Metadata }): string | null {
  return errorInfoOf(status)?.reason ?? null;
}

/** The `google.rpc.ErrorInfo` of a status, decoded independently of our own encoder. */
export function errorInfoOf(status: {
  metadata?: grpc.Metadata;
}): { reason: string; domain: string; decisionId: string } | null {
  const [bytes] = status.metadata?.get('grpc-status-details-bin') ?? [];
  if (!Buffer.isBuffer(bytes)) return null;
  const decoded = RpcStatus.decode(bytes).toJSON() as { details?: { typeUrl: string; value: string }[] };
  for (const detail of decoded.details ?? []) {
    if (!detail.typeUrl.endsWith('/google.rpc.ErrorInfo')) continue;
    const info = ErrorInfo.decode(Buffer.from(detail.value, 'base64')).toJSON() as {
      reason: string;
      domain: string;
      metadata?: Record<string, string>;
    };
    return { reason: info.reason, domain: info.domain, decisionId: info.metadata?.decision_id ?? '' };
  }
  return null;
}

const { root } = protobuf.parse(`
  syntax = "proto3"; package google.rpc;
  message Any { string type_url = 1; bytes value = 2; }
  message Status { int32 code = 1; string message = 2; repeated Any details = 3; }
  message ErrorInfo { string reason = 1; string domain = 2; map<string, string> metadata = 3; }
`);
const RpcStatus = root.lookupType('google.rpc.Status');
const ErrorInfo = root.lookupType('google.rpc.ErrorInfo');
