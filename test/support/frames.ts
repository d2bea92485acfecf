/** HTTP/2 by hand (RFC 9113), for what no client library would send. */

import { once } from 'node:events';
import { connect, type TLSSocket } from 'node:tls';

/** What a client needs to speak mutual TLS. */
export interface Credentials {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly bundlePem: string;
}

/** Frame types. */
export const FRAME = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  pushPromise: 5,
  ping: 6,
  goaway: 7,
  windowUpdate: 8,
  continuation: 9,
} as const;

export const FLAG = { endStream: 0x1, ack: 0x1, endHeaders: 0x4 } as const;

/** A frame that was received. */
export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

/** One frame as it stands on the wire. */
export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A header block of literals that are never indexed (RFC 7541, section 6.2.3), in exactly this order. */
export function headerBlock(headers: readonly (readonly [string, string])[]): Buffer {
  return Buffer.concat(headers.flatMap(([name, value]) => [Buffer.of(0x10), text(name), text(value)]));
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([integer(bytes.length, 7), bytes]);
}

/** RFC 7541, section 5.1. */
function integer(value: number, prefix: number): Buffer {
  const most = 2 ** prefix - 1;
  if (value < most) return Buffer.of(value);
  const bytes = [most];
  let rest = value - most;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  bytes.push(rest);
  return Buffer.from(bytes);
}

/** A gRPC message as DATA carries it. */
export function grpcMessage(message: Uint8Array = Buffer.alloc(0), compressed = false): Buffer {
  const head = Buffer.alloc(5);
  head[0] = compressed ? 1 : 0;
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}

/** The headers of an honest gRPC request, to be changed at will. */
export function requestHeaders(method: string, more: readonly (readonly [string, string])[] = []): [string, string][] {
  return [
    [':method', 'POST'],
    [':scheme', 'https'],
    [':path', method],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...more.map(([name, value]): [string, string] => [name, value]),
  ];
}

/** A connection over which frames go as they are given. */
export class FrameConnection {
  readonly socket: TLSSocket;
  /** Everything received, oldest first. */
  readonly frames: Frame[] = [];
  readonly #waiters = new Set<() => void>();
  #rest = Buffer.alloc(0);
  #closed = false;
  #answering = false;

  private constructor(socket: TLSSocket) {
    this.socket = socket;
    socket.on('data', (chunk) => this.#read(chunk));
    socket.on('error', () => {});
    socket.once('close', () => {
      this.#closed = true;
      this.#wake();
    });
  }

  /** Connects, sends the preface and `settings`, and waits for the settings of the server. Does not acknowledge them. */
  static async open(
    port: number,
    credentials: Credentials,
    settings: Uint8Array = Buffer.alloc(0),
  ): Promise<FrameConnection> {
    const socket = connect({
      host: '127.0.0.1',
      port,
      cert: credentials.certificatePem,
      key: credentials.privateKeyPem,
      ca: credentials.bundlePem,
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
    });
    const connection = new FrameConnection(socket);
    await once(socket, 'secureConnect');
    connection.send(Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), frame(FRAME.settings, 0, 0, settings));
    await connection.receive((one) => one.type === FRAME.settings && (one.flags & FLAG.ack) === 0);
    return connection;
  }

  /** From now on pings are answered, as every honest client does. */
  answerPings(): void {
    this.#answering = true;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Sends all of it in one write. */
  send(...parts: readonly Uint8Array[]): void {
    if (!this.#closed) this.socket.write(Buffer.concat(parts));
  }

  /** Acknowledges the settings of the server. */
  acknowledge(): void {
    this.send(frame(FRAME.settings, FLAG.ack, 0));
  }

  /** The first frame, received or yet to come, for which `predicate` holds; `null` when the connection ends before. */
  async receive(predicate: (one: Frame) => boolean): Promise<Frame | null> {
    for (;;) {
      const found = this.frames.find(predicate);
      if (found !== undefined || this.#closed) return found ?? null;
      await new Promise<void>((resolve) => this.#waiters.add(resolve));
    }
  }

  /** Resolves when the server has handled everything sent before: it answers a PING in order. */
  async settled(): Promise<void> {
    const mark = Buffer.alloc(8);
    mark.writeUInt32BE(this.frames.length + 1, 4);
    this.send(frame(FRAME.ping, 0, 0, mark));
    await this.receive((one) => one.type === FRAME.ping && one.payload.equals(mark));
  }

  /** Resolves when the connection is closed. */
  async ended(): Promise<void> {
    await this.receive(() => false);
  }

  /** Calls a unary method with an empty message, and says how the stream ended. */
  call(stream: number, headers: readonly (readonly [string, string])[]): Promise<string> {
    this.send(
      frame(FRAME.headers, FLAG.endHeaders, stream, headerBlock(headers)),
      frame(FRAME.data, FLAG.endStream, stream, grpcMessage()),
    );
    return this.outcome(stream);
  }

  /** How the stream ended: `reset` with the code, `trailers`, or `closed` with the connection. */
  async outcome(stream: number): Promise<'trailers' | 'closed' | `reset ${number}` | `goaway ${number}`> {
    const last = await this.receive(
      (one) =>
        one.type === FRAME.goaway ||
        (one.stream === stream &&
          (one.type === FRAME.reset || (one.type === FRAME.headers && (one.flags & FLAG.endStream) !== 0))),
    );
    if (last === null) return 'closed';
    if (last.type === FRAME.goaway) return `goaway ${last.payload.readUInt32BE(4)}`;
    return last.type === FRAME.reset ? `reset ${last.payload.readUInt32BE(0)}` : 'trailers';
  }

  close(): void {
    this.socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    while (this.#rest.length >= 9) {
      const length = this.#rest.readUIntBE(0, 3);
      if (this.#rest.length < 9 + length) break;
      const one: Frame = {
        type: this.#rest.readUInt8(3),
        flags: this.#rest.readUInt8(4),
        stream: this.#rest.readUInt32BE(5) & 0x7fffffff,
        payload: this.#rest.subarray(9, 9 + length),
      };
      this.frames.push(one);
      if (this.#answering && one.type === FRAME.ping && (one.flags & FLAG.ack) === 0) {
        this.send(frame(FRAME.ping, FLAG.ack, 0, one.payload));
      }
      this.#rest = this.#rest.subarray(9 + length);
    }
    this.#wake();
  }

  #wake(): void {
    for (const waiter of [...this.#waiters]) {
      this.#waiters.delete(waiter);
      waiter();
    }
  }
}
