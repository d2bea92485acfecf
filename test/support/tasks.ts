/** The fixture service: its definition, its handlers, and the client type the tests use. */

import { setImmediate as turn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';
import { principalOf } from 'grpc-zero-trust';

const root = fileURLToPath(new URL('../../../', import.meta.url));

export const PROTO = `${root}test/support/proto/fixture/v1/tasks.proto`;
export const INCLUDE_DIRS = [`${root}test/support/proto`, `${root}proto`];

const loaded = loader.loadSync(PROTO, {
  includeDirs: INCLUDE_DIRS,
  keepCase: true,
  longs: String,
  arrays: true,
  oneofs: true,
});
const packages = grpc.loadPackageDefinition(loaded) as unknown as {
  fixture: { v1: { TaskService: grpc.ServiceClientConstructor } };
};
export const TaskService = packages.fixture.v1.TaskService;

export interface Task {
  project_id: string;
  task_id: string;
  title?: string;
}

export interface Blob {
  data?: Buffer;
  behaviour?: string;
  times?: number;
}

export interface Identity {
  peer: string;
  subject: string;
  actors: string[];
}

type Unary<I, O> = (
  request: I,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: grpc.requestCallback<O>,
) => grpc.ClientUnaryCall;

/** The client as the tests see it. */
export interface TaskClient extends grpc.Client {
  GetTask: Unary<Task, Task>;
  GetTasks: Unary<{ names: Task[] }, { count: number }>;
  GetByNumber: Unary<object, Task>;
  PayTask: Unary<Task, Task>;
  OnBehalf: Unary<Task, Task>;
  Sweep: Unary<object, { count: number }>;
  WhoAmI: Unary<object, Identity>;
  PlannerOnly: Unary<object, Identity>;
  Ping: Unary<object, Identity>;
  Fresh: Unary<object, Identity>;
  Echo: Unary<Blob, Blob>;
  ListTasks(request: object, metadata?: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<Task>;
  ImportTasks(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<{ count: number }>,
  ): grpc.ClientWritableStream<Task>;
  PayTasks(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<{ count: number }>,
  ): grpc.ClientWritableStream<Task>;
  SyncTasks(metadata?: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<Task, Task>;
  EchoDown(request: Blob, metadata?: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientReadableStream<Blob>;
  EchoUp(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Blob>,
  ): grpc.ClientWritableStream<Blob>;
  EchoBoth(metadata?: grpc.Metadata, options?: grpc.CallOptions): grpc.ClientDuplexStream<Blob, Blob>;
}

export type TaskClientConstructor = new (
  address: string,
  credentials: grpc.ChannelCredentials,
  options?: grpc.ClientOptions,
) => TaskClient;

export const TaskClientClass = TaskService as unknown as TaskClientConstructor;

/** What the handlers saw: a test asserts that a refused call left nothing here. */
export interface Seen {
  calls: string[];
  messages: unknown[];
  cancelled: string[];
  /** The calls themselves, for tests that set it to an empty list. */
  live?: unknown[];
}

/** Handlers that record what reached them. `guarded` is false for the bare server that behaviour is compared with. */
export function taskHandlers(seen: Seen, guarded = true): grpc.UntypedServiceImplementation {
  const who = (call: { metadata: grpc.Metadata }): Identity => {
    if (!guarded) return { peer: '', subject: '', actors: [] };
    const principal = principalOf(call);
    return {
      peer: principal.peer.spiffeId,
      subject: principal.subject,
      actors: principal.actors.map((actor) => actor.subject),
    };
  };
  const enter = (name: string, call: { metadata: grpc.Metadata } & NodeJS.EventEmitter): void => {
    seen.calls.push(name);
    seen.live?.push(call);
    if (guarded) principalOf(call);
    call.on('cancelled', () => seen.cancelled.push(name));
  };
  const task =
    (name: string): grpc.handleUnaryCall<Task, Task> =>
    (call, callback) => {
      enter(name, call);
      seen.messages.push(call.request);
      callback(null, { project_id: call.request.project_id, task_id: call.request.task_id, title: 'a task' });
    };
  const identity =
    (name: string): grpc.handleUnaryCall<object, Identity> =>
    (call, callback) => {
      enter(name, call);
      callback(null, who(call));
    };
  const summary =
    (name: string): grpc.handleUnaryCall<object, { count: number }> =>
    (call, callback) => {
      enter(name, call);
      seen.messages.push(call.request);
      callback(null, { count: 1 });
    };
  const collect =
    (name: string): grpc.handleClientStreamingCall<Task, { count: number }> =>
    (call, callback) => {
      enter(name, call);
      let count = 0;
      call.on('data', (message: Task) => {
        seen.messages.push(message);
        count += 1;
      });
      call.on('error', () => {});
      call.on('end', () => callback(null, { count }));
    };
  const echo: grpc.handleUnaryCall<Blob, Blob> = (call, callback) => {
    enter('Echo', call);
    const { behaviour, data } = call.request;
    if (behaviour === 'throw') throw new Error('thrown by the handler');
    if (behaviour === 'hold') return;
    const trailer = new grpc.Metadata();
    trailer.set('x-trailer', 'tail');
    if (behaviour === 'error') {
      callback({ code: grpc.status.FAILED_PRECONDITION, details: 'as asked', metadata: trailer }, null);
      return;
    }
    if (behaviour === 'trailers') {
      const head = new grpc.Metadata();
      head.set('x-head', 'first');
      call.sendMetadata(head);
      callback(null, { data: data ?? Buffer.alloc(0) }, trailer);
      return;
    }
    callback(null, { data: data ?? Buffer.alloc(0) });
  };
  return {
    GetTask: task('GetTask'),
    PayTask: task('PayTask'),
    OnBehalf: task('OnBehalf'),
    GetByNumber: task('GetByNumber'),
    GetTasks: summary('GetTasks'),
    Sweep: summary('Sweep'),
    WhoAmI: identity('WhoAmI'),
    PlannerOnly: identity('PlannerOnly'),
    Ping: identity('Ping'),
    Fresh: identity('Fresh'),
    ImportTasks: collect('ImportTasks'),
    PayTasks: collect('PayTasks'),
    ListTasks(call: grpc.ServerWritableStream<{ project_id: string; count: number; hold: boolean }, Task>) {
      enter('ListTasks', call);
      seen.messages.push(call.request);
      for (let i = 0; i < call.request.count; i++) {
        call.write({ project_id: call.request.project_id, task_id: String(i), title: 'listed' });
      }
      if (!call.request.hold) call.end();
    },
    SyncTasks(call: grpc.ServerDuplexStream<Task, Task>) {
      enter('SyncTasks', call);
      call.on('data', (message: Task) => {
        seen.messages.push(message);
        call.write(message);
      });
      call.on('error', () => {});
      call.on('end', () => call.end());
    },
    Echo: echo,
    EchoDown(call: grpc.ServerWritableStream<Blob, Blob>) {
      enter('EchoDown', call);
      const { data, times = 1, behaviour } = call.request;
      void (async () => {
        for (let i = 0; i < times && !call.cancelled; i++) {
          if (!call.write({ data: data ?? Buffer.alloc(0) })) {
            await Promise.race([
              new Promise((go) => call.once('drain', go)),
              new Promise((go) => call.once('cancelled', go)),
            ]);
          } else if (i % 64 === 63) await turn();
        }
        if (behaviour === 'error') call.emit('error', { code: grpc.status.DATA_LOSS, details: 'as asked' });
        else if (behaviour !== 'hold') call.end();
      })();
    },
    EchoUp(call: grpc.ServerReadableStream<Blob, Blob>, callback: grpc.sendUnaryData<Blob>) {
      enter('EchoUp', call);
      const parts: Buffer[] = [];
      call.on('data', (blob: Blob) => parts.push(blob.data ?? Buffer.alloc(0)));
      call.on('error', () => {});
      call.on('end', () => callback(null, { data: Buffer.concat(parts) }));
    },
    EchoBoth(call: grpc.ServerDuplexStream<Blob, Blob>) {
      enter('EchoBoth', call);
      call.on('data', (blob: Blob) => call.write({ data: blob.data ?? Buffer.alloc(0) }));
      call.on('error', () => {});
      call.on('end', () => call.end());
    },
  };
}
