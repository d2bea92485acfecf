/**
 * What the guard sees of its port before grpc-js does: connections that made no call yet, and headers as they were sent.
 *
 * @module
 */

import type {
  Http2SecureServer,
  Http2Session,
  IncomingHttpHeaders,
  SecureServerOptions,
  ServerHttp2Stream,
} from 'node:http2';
import { http2ServerOf } from './grpc-internals.js';

type AlpnCallback = NonNullable<SecureServerOptions['ALPNCallback']>;

/**
 * The `ALPNCallback` of a guarded port. It accepts HTTP/2 alone, and with the first connection, before any call, it
 * starts to watch the HTTP/2 server of the port. Where Node does not show that server nothing is watched: of two
 * `authorization` values Node then keeps the first, and silent connections are left to grpc-js
 * (`grpc.keepalive_time_ms`).
 */
export function watchingAlpn(silentConnectionMs: number): AlpnCallback {
  const watched = new WeakSet<Http2SecureServer>();
  return function alpn(this: unknown, { protocols }) {
    const server = http2ServerOf(this);
    if (server !== null && !watched.has(server)) {
      watched.add(server);
      server.on('session', (session) => closeWhenSilent(session, silentConnectionMs));
      server.prependListener('stream', restoreAuthorization);
    }
    return protocols.includes('h2') ? 'h2' : undefined;
  };
}

const VISIBLE = /^[ -~]*$/;

/** The last value each connection sent that is fit to be shown: most often the next one is the same. */
const lastVisible = new WeakMap<Http2Session, string>();

/**
 * Shows grpc-js every `authorization` value that was sent, where Node would keep the first of several and say nothing;
 * and none that grpc-js would print, as it prints every value that is not ASCII.
 */
function restoreAuthorization(
  stream: ServerHttp2Stream,
  headers: IncomingHttpHeaders,
  _flags: number,
  ...[raw]: readonly unknown[]
): void {
  const { authorization } = headers;
  if (authorization === undefined) return;
  const { session } = stream;
  if (session === undefined || lastVisible.get(session) !== authorization) {
    if (!VISIBLE.test(authorization)) headers.authorization = 'Bearer (not ASCII)';
    else if (session !== undefined) lastVisible.set(session, authorization);
  }
  if (!Array.isArray(raw)) return;
  let values = 0;
  for (let i = 0; i < raw.length; i += 2) if (raw[i] === 'authorization') values += 1;
  if (values > 1) (headers as Record<string, unknown>)['authorization'] = new Array(values).fill('(one of several)');
}

/**
 * Pings a connection, and destroys it when it has not answered for `silentMs` to one and a half times as long. Some
 * breaches of HTTP/2 leave a session in Node that neither reads nor ends: without this its calls would run for ever, and
 * its socket would never be closed.
 */
function closeWhenSilent(session: Http2Session, silentMs: number): void {
  let silence = 0;
  const timer = setInterval(() => {
    // One that is being closed cannot be pinged; it ends with its last call.
    if (session.closed || session.destroyed) return;
    silence += 1;
    // Two turns at least: what arrived while the process was busy is read between them.
    if (silence > 2) session.destroy();
    else if (silence === 1) {
      session.ping((error) => {
        if (error === null) silence = 0;
      });
    }
  }, silentMs / 2);
  timer.unref();
  session.once('close', () => clearInterval(timer));
}
