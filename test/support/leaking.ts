/**
 * Run in a process of its own with `--expose-gc`: makes many calls and connections through a guard, takes stock before
 * and after, sends the report to its parent, and must then end by itself.
 */

import { EventEmitter } from 'node:events';
import { readdirSync } from 'node:fs';
import type { Http2Session } from 'node:http2';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';
import tls from 'node:tls';
import * as grpc from '@grpc/grpc-js';

/** What the parent checks. */
export interface LeakReport {
  readonly calls: number;
  readonly connections: number;
  /** Outcome to number of calls: that the work was done. */
  readonly outcomes: Record<string, number>;
  readonly warnings: readonly string[];
  readonly rejections: readonly string[];
  /** Whatever import, start, work and close changed of the process; empty when nothing. */
  readonly sideEffects: readonly string[];
  readonly heapBytes: { readonly before: number; readonly after: number };
  readonly descriptors: { readonly before: number; readonly after: number } | null;
  /** Listeners on one server session before and after it carried half of the calls. */
  readonly sessionListeners: { readonly before: number; readonly after: number };
  /** Subscriptions to identities, keys and revocations, while the guard runs and after it was closed. */
  readonly subscriptions: { readonly open: number; readonly closed: number };
  readonly posture: { readonly connections: number; readonly runningCalls: number; readonly auditLost: number };
  /** What keeps the process alive, before and after. */
  readonly resources: { readonly before: readonly string[]; readonly after: readonly string[] };
}

const CALLS = Number(process.env['LEAK_CALLS'] ?? 10_000);
const CONNECTIONS = Number(process.env['LEAK_CONNECTIONS'] ?? 100);
const AT_ONCE = 64;

const gc = (globalThis as { gc?: () => void }).gc;

/** Everything of the process that a library could change behind the back of a program. */
function environment(): Map<string, unknown> {
  const found = new Map<string, unknown>([
    ['Error.stackTraceLimit', Error.stackTraceLimit],
    ['EventEmitter.defaultMaxListeners', EventEmitter.defaultMaxListeners],
    ['tls.DEFAULT_MIN_VERSION', tls.DEFAULT_MIN_VERSION],
    ['tls.DEFAULT_MAX_VERSION', tls.DEFAULT_MAX_VERSION],
    ['tls.DEFAULT_CIPHERS', tls.DEFAULT_CIPHERS],
    ['process.env', JSON.stringify(process.env)],
    // Names with two underscores are those of tslib, which the ASN.1 library brings.
    [
      'globals',
      Object.getOwnPropertyNames(globalThis)
        .filter((name) => !name.startsWith('__'))
        .sort()
        .join(),
    ],
  ]);
  for (const event of [
    'exit',
    'beforeExit',
    'uncaughtException',
    'unhandledRejection',
    'warning',
    'SIGTERM',
    'SIGINT',
    'SIGHUP',
  ]) {
    found.set(`listeners of process for ${event}`, process.listenerCount(event));
  }
  const patched = {
    Server: grpc.Server,
    Client: grpc.Client,
    Channel: grpc.Channel,
    Metadata: grpc.Metadata,
    ServerCredentials: grpc.ServerCredentials,
  };
  for (const [name, { prototype }] of Object.entries(patched)) {
    for (const key of Object.getOwnPropertyNames(prototype)) {
      found.set(`grpc.${name}.prototype.${key}`, Object.getOwnPropertyDescriptor(prototype, key)?.value);
    }
  }
  for (const builtin of [Object, Array, Map, Set, Promise, Function, String, Buffer, EventEmitter]) {
    for (const key of Object.getOwnPropertyNames(builtin.prototype)) {
      found.set(`${builtin.name}.prototype.${key}`, Object.getOwnPropertyDescriptor(builtin.prototype, key)?.value);
    }
  }
  return found;
}

const descriptors = (): number | null => (process.platform === 'linux' ? readdirSync('/proc/self/fd').length : null);

/** What is left when nothing more is let go of: a refused stream is held for a second, so that its status can leave. */
async function heap(): Promise<number> {
  let least = Number.POSITIVE_INFINITY;
  for (let rounds = 0; rounds < 15; rounds++) {
    gc?.();
    const used = process.memoryUsage().heapUsed;
    if (used < least - 1_024) rounds = 0;
    least = Math.min(least, used);
    await delay(100);
  }
  return least;
}

async function main(): Promise<void> {
  const warnings: string[] = [];
  const rejections: string[] = [];
  process.on('warning', (warning) => warnings.push(`${warning.name}: ${warning.message}`));
  process.on('unhandledRejection', (reason) => rejections.push(String(reason)));
  // Node itself is done with starting a turn later.
  await turn();
  await turn();
  const resourcesBefore = process.getActiveResourcesInfo();
  const before = environment();

  // Imported only now, so that what importing does is seen.
  const { createClientGuard, createRevocations } = await import('grpc-zero-trust');
  const { createTestAuthority, staticToken } = await import('grpc-zero-trust/testing');
  const { bearer, rawClient, SERVER_ID, startFixture } = await import('./fixture.js');
  const { TaskClientClass } = await import('./tasks.js');

  let subscriptions = 0;
  const counted = <T extends { onChange(listener: () => void): () => void }>(source: T): T => {
    const original = source.onChange.bind(source);
    source.onChange = (listener) => {
      subscriptions += 1;
      const remove = original(listener);
      let removed = false;
      return () => {
        remove();
        if (!removed) subscriptions -= 1;
        removed = true;
      };
    };
    return source;
  };
  const authority = await createTestAuthority({ trustDomain: 'acme.example' });
  const issue = authority.identity.bind(authority);
  authority.identity = async (...options) => counted(await issue(...options));
  counted(authority.keys);
  const sessions = new Set<Http2Session>();
  const fixture = await startFixture({ authority, sessions: true, revocations: counted(createRevocations()) });
  const listeners = (fixture.server as unknown as { http2Servers: Map<EventEmitter, unknown> }).http2Servers;
  for (const server of listeners.keys()) {
    server.on('session', (session: Http2Session) => {
      sessions.add(session);
      session.once('close', () => sessions.delete(session));
    });
  }
  const { planner } = fixture;
  const token = await fixture.token();
  const outcomes: Record<string, number> = {};
  const task = { project_id: '7', task_id: '1', title: 't' };
  const forget = (): void => {
    (fixture.audit.events as unknown[]).length = 0;
    for (const list of Object.values(fixture.seen) as unknown[][]) list.length = 0;
  };
  const raw = fixture.raw(planner);
  const guarded = await fixture.client();

  /** One call of some kind, to its end. */
  const call = (client: typeof raw, n: number): Promise<void> => {
    const metadata = client === raw ? bearer(token) : new grpc.Metadata();
    return new Promise((resolve) => {
      const done = (what: string) => (error?: grpc.ServiceError | null) => {
        const key = `${what} ${error?.code ?? 0}`;
        outcomes[key] = (outcomes[key] ?? 0) + 1;
        resolve();
      };
      const stream = (
        what: string,
        made: grpc.ClientReadableStream<unknown> | grpc.ClientDuplexStream<unknown, unknown>,
      ) => {
        let failure: grpc.ServiceError | null = null;
        made.on('error', (error) => {
          failure = error as grpc.ServiceError;
        });
        made.on('data', () => {
          if (what === 'cancelled') made.cancel();
        });
        made.on('status', () => done(what)(failure));
      };
      switch (n % 10) {
        case 0:
          return void client.GetTask(task, metadata, {}, done('unary'));
        case 1:
          return void client.Echo({ data: Buffer.alloc(100) }, metadata, {}, done('echo'));
        case 2:
          return void client.Echo({ behaviour: 'error' }, metadata, {}, done('failed'));
        case 3:
          return void client.GetTask({ ...task, project_id: '8' }, metadata, {}, done('refused'));
        case 4:
          return void raw.Echo({}, new grpc.Metadata(), {}, done('no token'));
        case 5:
          return stream('down', client.EchoDown({ data: Buffer.alloc(100), times: 3 }, metadata));
        case 6:
          return stream('cancelled', client.EchoDown({ data: Buffer.alloc(100), behaviour: 'hold' }, metadata));
        case 7: {
          const up = client.ImportTasks(metadata, {}, done('up'));
          up.write(task);
          up.write(task);
          return void up.end();
        }
        case 8: {
          const both = client.SyncTasks(metadata);
          stream('both', both);
          both.write(task);
          return void both.end();
        }
        default: {
          // Refused while the client goes on sending.
          const both = client.SyncTasks(metadata);
          stream('refused in a stream', both);
          for (let i = 0; i < 5; i++) both.write({ ...task, project_id: '8' });
        }
      }
    });
  };
  const work = async (client: typeof raw, count: number): Promise<void> => {
    for (let at = 0; at < count; at += AT_ONCE) {
      await Promise.all(Array.from({ length: Math.min(AT_ONCE, count - at) }, (_, i) => call(client, at + i)));
      forget();
    }
  };
  // One client guard of many clients, each with a connection of its own.
  const clientGuard = await createClientGuard({
    identity: planner,
    tokens: staticToken(token),
    unsafeAllowTestAuthority: true,
  });
  const local = { 'grpc.use_local_subchannel_pool': 1 };
  const connect = async (count: number): Promise<void> => {
    for (let i = 0; i < count; i++) {
      const plain = i % 2 === 0;
      const client = plain
        ? rawClient(fixture.address, planner)
        : clientGuard.createClient(TaskClientClass, fixture.address, { server: SERVER_ID, ...local });
      await new Promise<void>((resolve, reject) => {
        client.Echo({}, plain ? bearer(token) : new grpc.Metadata(), {}, (error) =>
          error === null ? resolve() : reject(error),
        );
      });
      client.close();
    }
  };
  const until = async (connections: number): Promise<void> => {
    while (fixture.guard.posture().connections > connections) await turn();
  };

  await work(raw, 1_000);
  await work(guarded, 1_000);
  await connect(10);
  await until(2);
  for (const key of Object.keys(outcomes)) delete outcomes[key];
  const [session] = sessions;
  if (session === undefined) throw new Error('no session was seen');
  const onSession = (): number => session.eventNames().reduce((sum, name) => sum + session.listenerCount(name), 0);
  const heapBefore = await heap();
  const descriptorsBefore = descriptors();
  const listenersBefore = onSession();

  await work(raw, CALLS / 2);
  await work(guarded, CALLS / 2);
  await connect(CONNECTIONS);
  await until(2);
  forget();
  const heapAfter = await heap();
  const descriptorsAfter = descriptors();
  const listenersAfter = onSession();
  const open = subscriptions;

  raw.close();
  guarded.close();
  await until(0);
  const { connections, runningCalls, auditLost } = fixture.guard.posture();
  await clientGuard.close();
  await fixture.close();
  sessions.clear();
  for (let i = 0; i < 100; i++) await turn();
  const after = environment();
  const sideEffects = [...after.keys()].filter((key) => after.get(key) !== before.get(key));
  const report: LeakReport = {
    calls: CALLS,
    connections: CONNECTIONS,
    outcomes,
    warnings,
    rejections,
    sideEffects,
    heapBytes: { before: heapBefore, after: heapAfter },
    descriptors:
      descriptorsBefore === null || descriptorsAfter === null
        ? null
        : { before: descriptorsBefore, after: descriptorsAfter },
    sessionListeners: { before: listenersBefore, after: listenersAfter },
    subscriptions: { open, closed: subscriptions },
    posture: { connections, runningCalls, auditLost },
    resources: { before: resourcesBefore, after: process.getActiveResourcesInfo() },
  };
  process.send?.(report, () => process.disconnect());
}

// Awaited by nobody: a failure is a rejection nobody handles, which ends the process with an error.
void main();
