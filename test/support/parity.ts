/** One call against one server, with everything both sides can see of it. */

import { createHash, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { setImmediate as turn } from 'node:timers/promises';
import * as grpc from '@grpc/grpc-js';
import { type Kind, type Log, plain, rich, type ServerSide } from './observed.js';
import type { Blob, TaskClient } from './tasks.js';

/** A client and the server it talks to. */
export interface Target {
  readonly name: string;
  readonly client: TaskClient;
  readonly log: Log;
  /** What a client of this kind has to put into the metadata by itself. */
  credentials(): Record<string, string>;
}

/** What a client does. */
export interface Script {
  readonly kind: Kind;
  /** `x-behaviour` of the handler. */
  readonly behaviour?: string;
  /** Request messages; one for kinds that send one. Default: one of 100 bytes, three where it is a stream. */
  readonly send?: readonly Buffer[];
  readonly metadata?: Record<string, string>;
  readonly options?: grpc.CallOptions;
  /** When the client cancels. */
  readonly cancel?: 'at once' | 'entered' | 'first message';
  /** Whether the client ends its half; default true. */
  readonly halfClose?: boolean;
  /** In request metadata: one key of each shape. */
  readonly rich?: boolean;
  /**
   * Whether the server may never learn of the end: grpc-js sends a call that ended in the very turn it was made, and
   * tells the server nothing more.
   */
  readonly lost?: boolean;
  /** Runs beside the call. */
  readonly beside?: (target: Target, id: string, call: ClientCall) => Promise<void>;
  /** Whether messages are read only once `beside` has resumed the call; default false. */
  readonly paused?: boolean;
}

/** All there is to see of a call. Of two equal calls, equal. */
export interface Observation {
  readonly client: {
    readonly events: readonly string[];
    readonly initial: Record<string, string[]> | null;
    readonly messages: readonly string[];
    readonly status: { code: number; details: string; metadata: Record<string, string[]> } | null;
    readonly error: { code: number; details: string; message: string; metadata: Record<string, string[]> } | null;
  };
  /** `null` when no handler was reached. */
  readonly server: Omit<ServerSide, 'kind'> | null;
}

export type ClientCall = grpc.ClientDuplexStream<Blob, Blob>;

const DEFAULT = [Buffer.alloc(100, 'a'), Buffer.alloc(100, 'b'), Buffer.alloc(100, 'c')];

/** Length and digest: enough to tell messages apart. */
function named(blob: Blob | undefined): string {
  const data = blob?.data ?? Buffer.alloc(0);
  return `${data.length} ${createHash('sha256').update(data).digest('hex').slice(0, 8)}`;
}

// Where the clock shows in a text, it is not compared.
function settled(details: string): string {
  return /^(\d+ [A-Z_]+: )?Deadline exceeded/.test(details) ? details.replace(/(Deadline exceeded).*/s, '$1') : details;
}

/** Makes the call that `script` describes and waits until both sides have seen its end. */
export async function run(target: Target, script: Script): Promise<Observation> {
  const { client, log } = target;
  const { kind, behaviour, cancel, halfClose = true } = script;
  const id = randomUUID();
  const metadata = script.rich === true ? rich('x-request') : new grpc.Metadata();
  metadata.set('x-call', id);
  if (behaviour !== undefined) metadata.set('x-behaviour', behaviour);
  for (const [key, value] of Object.entries({ ...script.metadata, ...target.credentials() })) metadata.set(key, value);
  const send = script.send ?? (kind === 'Echo' || kind === 'EchoDown' ? DEFAULT.slice(0, 1) : DEFAULT);

  const events: string[] = [];
  const messages: string[] = [];
  let initial: grpc.Metadata | null = null;
  let status: grpc.StatusObject | null = null;
  let error: grpc.ServiceError | null = null;
  const answered = pending();
  const finished = pending();
  const respond: grpc.requestCallback<Blob> = (failure, value) => {
    events.push('callback');
    error = failure;
    if (failure === null) messages.push(named(value));
    answered.resolve();
  };
  const options = script.options ?? {};
  const request = { data: send[0] ?? Buffer.alloc(0), times: 3 };
  let call: ClientCall;
  switch (kind) {
    case 'Echo':
      call = client.Echo(request, metadata, options, respond) as unknown as ClientCall;
      break;
    case 'EchoUp':
      call = client.EchoUp(metadata, options, respond) as unknown as ClientCall;
      break;
    case 'EchoDown':
      call = client.EchoDown(request, metadata, options) as unknown as ClientCall;
      break;
    case 'EchoBoth':
      call = client.EchoBoth(metadata, options);
      break;
  }
  const streamsDown = kind === 'EchoDown' || kind === 'EchoBoth';
  call.on('metadata', (value: grpc.Metadata) => {
    events.push('metadata');
    initial = value;
  });
  call.on('status', (value: grpc.StatusObject) => {
    events.push('status');
    status = value;
    finished.resolve();
  });
  call.on('error', (value: grpc.ServiceError) => {
    // A stream that could not send on says so as well; the status says why.
    if (!streamsDown) return;
    events.push('error');
    error = value;
  });
  if (streamsDown) {
    if (script.paused === true) call.pause();
    call.on('data', (blob: Blob) => {
      events.push('message');
      messages.push(named(blob));
    });
    call.on('end', () => events.push('end'));
  }

  const cancelling = (async () => {
    if (cancel === 'at once') call.cancel();
    if (cancel === 'entered') {
      await log.until(id, 'entered');
      call.cancel();
    }
    if (cancel === 'first message') {
      if (streamsDown) await once(call, 'data');
      else await log.until(id, 'data');
      call.cancel();
    }
  })();
  if (kind === 'EchoUp' || kind === 'EchoBoth') {
    if (cancel !== 'entered') for (const data of send) call.write({ data });
    if (halfClose && cancel === undefined) call.end();
  }
  await script.beside?.(target, id, call);
  await Promise.all([finished.promise, streamsDown ? null : answered.promise, cancelling]);
  await settle(target, id, script.lost !== true);
  const side = log.sides.get(id);
  log.sides.delete(id);
  const end = status as grpc.StatusObject | null;
  const failure = error as grpc.ServiceError | null;
  return {
    client: {
      events,
      initial: initial === null ? null : plain(initial),
      messages,
      status: end && { code: end.code, details: settled(end.details), metadata: plain(end.metadata) },
      error: failure && {
        code: failure.code,
        details: settled(failure.details),
        message: settled(failure.message),
        metadata: plain(failure.metadata),
      },
    },
    server: side === undefined ? null : withoutCall(side),
  };
}

function pending(): { promise: Promise<void>; resolve: () => void } {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}

/** A call on the same connection, behind all that was sent before; then whatever a handler still has to be told. */
async function settle(target: Target, id: string, ends: boolean): Promise<void> {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(target.credentials())) metadata.set(key, value);
  await new Promise<void>((resolve, reject) => {
    target.client.Echo({}, metadata, {}, (error) => (error === null ? resolve() : reject(error)));
  });
  if (ends && target.log.sides.has(id)) await target.log.until(id, 'cancelled');
  await turn();
  await turn();
}

function withoutCall({ kind: _kind, metadata, ...side }: ServerSide): Omit<ServerSide, 'kind'> {
  // The id differs from run to run; a token reaches the handlers of a bare server only.
  const { 'x-call': _id, authorization: _token, ...rest } = metadata;
  return { ...side, metadata: rest };
}
