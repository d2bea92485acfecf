/** Handlers that do what the metadata of a call asks for, and write down everything a handler can see of its call. */

import { EventEmitter, once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { type Blob, type Seen, taskHandlers } from './tasks.js';

/** The four kinds of calls, by the echo method of each. */
export type Kind = 'Echo' | 'EchoUp' | 'EchoDown' | 'EchoBoth';

export const KINDS: readonly Kind[] = ['Echo', 'EchoUp', 'EchoDown', 'EchoBoth'];

/** What one handler saw. */
export interface ServerSide {
  readonly kind: Kind;
  readonly metadata: Record<string, string[]>;
  readonly path: string;
  readonly deadline: 'none' | 'set';
  readonly host: string;
  readonly peer: string;
  readonly transport: string | undefined;
  /** In order of arrival. */
  readonly events: string[];
  /** `call.cancelled` when all was over. */
  cancelled: boolean;
}

type Call = grpc.ServerDuplexStream<Blob, Blob> & { readonly request?: Blob };
type Callback = grpc.sendUnaryData<Blob>;

/** What the handlers of one server saw, by the `x-call` of the call; and what the test tells them. */
export class Log extends EventEmitter {
  readonly sides = new Map<string, ServerSide>();
  readonly #released = new Set<string>();
  readonly #waiting = new Map<string, (() => void)[]>();

  /** Resolves when `event` has happened to the call. */
  async until(id: string, event: string): Promise<void> {
    while (this.sides.get(id)?.events.includes(event) !== true) await once(this, id);
  }

  note(id: string, event: string): void {
    this.sides.get(id)?.events.push(event);
    this.emit(id);
  }

  /** Lets the calls go on that wait under this name. */
  release(name: string): void {
    this.#released.add(name);
    for (const go of this.#waiting.get(name)?.splice(0) ?? []) go();
  }

  wait(name: string, go: () => void): void {
    if (this.#released.has(name)) go();
    else this.#waiting.set(name, [...(this.#waiting.get(name) ?? []), go]);
  }

  /** Goes on when `count` calls wait under this name. */
  together(name: string, count: number, go: () => void): void {
    this.wait(name, go);
    if ((this.#waiting.get(name)?.length ?? 0) >= count) this.release(name);
  }
}

/** Metadata as plain text; binary values in base64. */
export function plain(metadata: grpc.Metadata | undefined | null): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [key, values] of Object.entries(metadata?.toJSON() ?? {})) {
    found[key] = values.map((value) => (Buffer.isBuffer(value) ? value.toString('base64') : value));
    // Node adds the date to every answer.
    if (key === 'date') found[key] = ['now'];
  }
  return found;
}

/** Metadata with one key of each shape. */
export function rich(prefix: string): grpc.Metadata {
  const metadata = new grpc.Metadata();
  metadata.set(`${prefix}-text`, 'one, two and; three');
  metadata.add(`${prefix}-many`, 'first');
  metadata.add(`${prefix}-many`, 'second');
  metadata.set(`${prefix}-bytes-bin`, Buffer.from([0, 1, 254, 255]));
  return metadata;
}

const FAILURE = {
  code: grpc.status.FAILED_PRECONDITION,
  details: 'as asked: 100 % ✓',
  get metadata() {
    const metadata = rich('x-trailer');
    metadata.set('grpc-status-details-bin', Buffer.from([8, 9, 18, 2, 111, 107]));
    return metadata;
  },
};

/** What a handler does instead of the echo (`true`: it did), by the value of `x-behaviour`. */
const BEHAVIOURS: Record<string, (call: Call, callback: Callback, log: Log, id: string, go: () => void) => void> = {
  hold: () => {},
  throw: () => {
    throw new Error('thrown by the handler');
  },
  head(call, _callback, _log, _id, go) {
    call.sendMetadata(rich('x-head'));
    go();
  },
  'head-twice'(call, _callback, _log, _id, go) {
    call.sendMetadata(rich('x-head'));
    call.sendMetadata(rich('x-second'));
    go();
  },
  fail(call, callback) {
    if (callback !== undefined) callback(FAILURE);
    else call.emit('error', FAILURE);
  },
  'fail-late'(call, callback) {
    if (callback !== undefined) {
      call.sendMetadata(rich('x-head'));
      setImmediate(() => callback(FAILURE));
    } else call.write({ data: Buffer.from('before') }, () => call.emit('error', FAILURE));
  },
  'fail-plainly'(call, callback) {
    const error = new Error('no code');
    if (callback !== undefined) callback(error);
    else call.emit('error', error);
  },
  trailers(call, callback) {
    if (callback !== undefined) callback(null, { data: Buffer.from('last') }, rich('x-trailer'));
    else (call.end as (trailer: grpc.Metadata) => void)(rich('x-trailer'));
  },
  twice(_call, callback) {
    callback(null, { data: Buffer.from('first') });
    callback(FAILURE);
  },
  unserializable(call, callback) {
    const message = {
      get data(): Buffer {
        throw new Error('it has no bytes');
      },
    };
    if (callback !== undefined) callback(null, message);
    else call.write(message);
  },
  one: (call) => void call.write({ data: Buffer.from('only') }),
  empty: (call) => void call.end(),
  // The server ends its half first.
  early(call, callback) {
    call.once('data', (first: Blob) => {
      if (callback !== undefined) callback(null, first);
      else {
        call.write(first);
        call.end();
      }
    });
  },
  // The server goes on after the client has ended its half.
  after(call) {
    call.on('data', () => {});
    call.on('end', () => {
      for (const text of ['a', 'b', 'c']) call.write({ data: Buffer.from(text) });
      call.end();
    });
  },
  late: (_call, _callback, log, id, go) => log.wait(id, go),
  together(call, _callback, log, _id, go) {
    const [name = '', count = ''] = String(call.metadata.get('x-together')[0]).split(' ');
    log.together(name, Number(count), go);
  },
  // More than a connection takes without being read.
  flood(call, _callback, log, id) {
    const data = Buffer.alloc(16_384, 'f');
    let left = 512;
    const pump = (): void => {
      while (left > 0 && !call.cancelled) {
        left -= 1;
        if (!call.write({ data })) break;
      }
      if (left === 0) call.end();
      else {
        log.note(id, 'full');
        call.once('drain', pump);
      }
    };
    pump();
  },
};

/** The handlers of the fixture service, observed. `guarded` is false for the bare server. */
export function observedHandlers(seen: Seen, log: Log, guarded: boolean): grpc.UntypedServiceImplementation {
  const handlers = taskHandlers(seen, guarded);
  for (const kind of KINDS) {
    const echo = handlers[kind] as unknown as (call: Call, callback: Callback) => void;
    handlers[kind] = ((call: Call, callback: Callback) => {
      const id = String(call.metadata.get('x-call')[0] ?? '');
      if (id !== '') observe(kind, id, call, log);
      const go = (): void => {
        echo(call, callback);
        if (kind === 'EchoUp' || kind === 'EchoBoth') call.on('data', () => log.note(id, 'data'));
      };
      const act = BEHAVIOURS[String(call.metadata.get('x-behaviour')[0])];
      if (act === undefined) go();
      else act(call, callback, log, id, go);
    }) as unknown as grpc.UntypedServiceImplementation[string];
  }
  return handlers;
}

function observe(kind: Kind, id: string, call: Call, log: Log): void {
  const side: ServerSide = {
    kind,
    metadata: plain(call.metadata),
    path: call.getPath(),
    deadline: call.getDeadline() === Number.POSITIVE_INFINITY ? 'none' : 'set',
    host: call.getHost().replace(/:\d+$/, ''),
    peer: call.getPeer().replace(/:\d+$/, ''),
    transport: call.getAuthContext().transportSecurityType,
    events: [],
    cancelled: false,
  };
  log.sides.set(id, side);
  log.note(id, 'entered');
  for (const event of ['end', 'error', 'finish']) call.on(event, () => log.note(id, event));
  call.on('cancelled', () => {
    side.cancelled = call.cancelled;
    log.note(id, 'cancelled');
  });
}
