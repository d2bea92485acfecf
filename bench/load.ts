/**
 * The load generator, in a process of its own: calls over plain HTTP/2, which costs less than a gRPC client, so that it
 * is the server that is measured. One connection, 64 calls in flight.
 */

import { type ClientHttp2Session, connect, constants } from 'node:http2';
import { createSecureContext } from 'node:tls';
import { EchoService, type Material, METHOD, REQUEST } from './material.js';

export type LoadOrder =
  | { readonly order: 'start'; readonly material: Material }
  | { readonly order: 'run'; readonly port: number; readonly bearer: boolean; readonly calls: number };

export interface LoadResult {
  readonly calls: number;
  readonly elapsedMs: number;
  /** Ascending. */
  readonly latenciesMs: readonly number[];
}

const IN_FLIGHT = 64;

const sessions = new Map<number, Promise<ClientHttp2Session>>();
let material: Material | null = null;
const body = frame(EchoService['Echo']?.requestSerialize(REQUEST) ?? Buffer.alloc(0));

process.on('message', (order: LoadOrder) => {
  if (order.order === 'start') {
    material = order.material;
    process.send?.({ ready: true });
  } else void run(order);
});
process.on('disconnect', () => process.exit());

async function run({ port, bearer, calls }: Extract<LoadOrder, { order: 'run' }>): Promise<void> {
  if (material === null) throw new Error('the load generator was not started');
  let session = sessions.get(port);
  if (session === undefined) {
    session = open(port, material);
    sessions.set(port, session);
  }
  const connection = await session;
  const headers = {
    [constants.HTTP2_HEADER_METHOD]: 'POST',
    [constants.HTTP2_HEADER_PATH]: METHOD,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc',
    [constants.HTTP2_HEADER_TE]: 'trailers',
    [constants.HTTP2_HEADER_USER_AGENT]: 'grpc-zero-trust-bench',
    ...(bearer && { authorization: `Bearer ${material.token}` }),
  };
  const latenciesMs: number[] = [];
  const started = performance.now();
  await new Promise<void>((resolve, reject) => {
    let begun = 0;
    const next = (): void => {
      if (begun === calls) return;
      begun += 1;
      const at = performance.now();
      const stream = connection.request(headers);
      let status: string | undefined;
      stream.on('trailers', (trailers) => {
        status = String(trailers['grpc-status']);
      });
      stream.on('response', (first) => {
        status ??= first['grpc-status'] === undefined ? undefined : String(first['grpc-status']);
      });
      stream.on('error', reject);
      stream.on('close', () => {
        if (status !== '0') reject(new Error(`a call ended with status ${status}`));
        latenciesMs.push(performance.now() - at);
        if (latenciesMs.length === calls) resolve();
        else next();
      });
      stream.resume();
      stream.end(body);
    };
    for (let i = 0; i < IN_FLIGHT; i++) next();
  });
  const result: LoadResult = {
    calls,
    elapsedMs: performance.now() - started,
    latenciesMs: latenciesMs.sort((a, b) => a - b),
  };
  process.send?.(result);
}

function open(port: number, { client, bundle }: Material): Promise<ClientHttp2Session> {
  const session = connect(`https://127.0.0.1:${port}`, {
    secureContext: createSecureContext({ cert: client.certificate, key: client.privateKey, ca: bundle }),
    checkServerIdentity: () => undefined,
  });
  return new Promise((resolve, reject) => {
    session.once('connect', () => resolve(session));
    session.once('error', reject);
  });
}

function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  return Buffer.concat([head, message]);
}
