/** What an attacker does with certificates: clients of any certificate, and TLS without our client. */

import { once } from 'node:events';
import { type ConnectionOptions, connect, type TLSSocket } from 'node:tls';
import type * as grpc from '@grpc/grpc-js';
import type { MintedCertificate, TestAuthority } from 'grpc-zero-trust/testing';
import { bearer, type Outcome, rawClient, unary } from './fixture.js';
import type { Identity, TaskClient } from './tasks.js';

/** Everything a client needs to speak mutual TLS. */
export interface Credentials {
  readonly certificatePem: string;
  readonly privateKeyPem: string;
  readonly bundlePem: string;
}

/** A minted certificate with its key, and further certificates to send with it, for servers of `trusted`. */
export function credentialsOf(minted: MintedCertificate, trusted: TestAuthority, ...chain: string[]): Credentials {
  return {
    certificatePem: [minted.pem, ...chain].join(''),
    privateKeyPem: minted.privateKeyPem,
    bundlePem: trusted.bundle(),
  };
}

/** Calls WhoAmI. */
export function whoAmI(client: TaskClient, token?: string): Promise<Outcome<Identity>> {
  return unary<object, Identity>(client.WhoAmI, client, {}, token === undefined ? undefined : bearer(token));
}

/** Calls WhoAmI over a connection of its own, closed afterwards. */
export async function visit(address: string, credentials: Credentials, token?: string): Promise<Outcome<Identity>> {
  const client = rawClient(address, credentials);
  try {
    return await whoAmI(client, token);
  } finally {
    client.close();
  }
}

/** Why handshakes with a server fail, in the server's words, oldest first. Nothing else tells: the client only sees the end. */
export function failedHandshakes(server: grpc.Server): string[] {
  const failures: string[] = [];
  const { http2Servers } = server as unknown as { http2Servers: Map<NodeJS.EventEmitter, unknown> };
  for (const port of http2Servers.keys()) {
    port.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
      failures.push(String(socket.authorizationError ?? error.code));
    });
  }
  return failures;
}

/** What came of a TLS handshake, and of the HTTP/2 preface sent after it. */
export interface Handshake {
  /** The server answered our preface: the connection is of use. */
  readonly usable: boolean;
  readonly reused: boolean;
  /** The code of the alert or socket error that ended it. */
  readonly error: string | null;
  /** Everything of it that could be used to resume the session. */
  readonly sessions: readonly Buffer[];
}

const PREFACE = Buffer.concat([
  Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'),
  Buffer.from('000000040000000000', 'hex'),
]);
const SETTINGS = 4;

/** Shakes hands with a TLS server and asks for HTTP/2; resolves when the server has answered or the connection ended. */
export async function handshake(port: number, options: ConnectionOptions): Promise<Handshake> {
  const socket = connect({
    host: '127.0.0.1',
    port,
    ALPNProtocols: ['h2'],
    checkServerIdentity: () => undefined,
    ...options,
  });
  const sessions: Buffer[] = [];
  let error: string | null = null;
  socket.on('session', (session) => sessions.push(session));
  socket.on('error', (cause: NodeJS.ErrnoException) => {
    error = cause.code ?? cause.message;
  });
  socket.on('secureConnect', () => socket.write(PREFACE));
  const ended = new Promise<null>((resolve) => socket.once('close', () => resolve(null)));
  const answer = await Promise.race([
    ended,
    once(socket, 'data').then(
      ([chunk]) => chunk as Buffer,
      () => ended,
    ),
  ]);
  const reused = socket.isSessionReused();
  const own = socket.getSession();
  if (own !== undefined) sessions.push(own);
  socket.destroy();
  await ended;
  return { usable: answer !== null && answer[3] === SETTINGS, reused, error, sessions };
}
