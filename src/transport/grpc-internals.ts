/**
 * Every private part of grpc-js and Node that the guard leans on, each detected before use, each with a public
 * fallback or a refusal where it is missing.
 *
 * @module
 */

import type { Http2SecureServer, Http2Session, ServerHttp2Stream } from 'node:http2';
import { createRequire } from 'node:module';
import type { TLSSocket } from 'node:tls';
import type * as grpc from '@grpc/grpc-js';
import type { Problem } from '../errors.js';

/** The first grpc-js whose server does not hand out unverified client certificates (CVE-2026-101916). */
export const OLDEST_GRPC = '1.14.5';

/** The version of grpc-js that is installed; `null` when it cannot be read. */
export function grpcVersion(): string | null {
  try {
    const manifest: unknown = createRequire(import.meta.url)('@grpc/grpc-js/package.json');
    const version = (manifest as { version?: unknown }).version;
    return typeof version === 'string' ? version : null;
  } catch {
    return null;
  }
}

/** Whether a version is at least {@link OLDEST_GRPC}. A version that cannot be read is not. */
export function isSupportedGrpc(version: string | null): boolean {
  const found = /^(\d+)\.(\d+)\.(\d+)(-.+)?$/.exec(version ?? '');
  if (found === null) return false;
  const [major, minor, patch] = [Number(found[1]), Number(found[2]), Number(found[3])];
  if (major !== 1) return false;
  return minor > 14 || (minor === 14 && (patch > 5 || (patch === 5 && found[4] === undefined)));
}

/** What is wrong with the grpc-js that is installed. */
export function grpcProblems(version: string | null = grpcVersion()): Problem[] {
  if (isSupportedGrpc(version)) return [];
  return [
    {
      place: '@grpc/grpc-js',
      problem: `version ${version ?? 'unknown'} is not supported (before ${OLDEST_GRPC} it hands out unverified client certificates)`,
      remedy: `Install @grpc/grpc-js ${OLDEST_GRPC} or newer, below 2`,
    },
  ];
}

interface BaseCallInternals {
  stream?: ServerHttp2Stream;
  maxReceiveMessageSize?: number;
  decoder?: { maxReadMessageLength?: number };
}

/** The HTTP/2 stream of a call; `undefined` where grpc-js does not show it. */
export function streamOf(call: grpc.ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  const stream = (call as unknown as BaseCallInternals).stream;
  return typeof stream?.close === 'function' ? stream : undefined;
}

/** The TLS socket under a session; `undefined` when it is not TLS. */
export function socketOf(session: Http2Session): TLSSocket | undefined {
  const socket = session.socket as TLSSocket | undefined;
  return typeof socket?.getPeerX509Certificate === 'function' ? socket : undefined;
}

/** The HTTP/2 server of a socket whose handshake is under way; `null` where Node does not show it. */
export function http2ServerOf(socket: unknown): Http2SecureServer | null {
  const server = (socket as { server?: Partial<Http2SecureServer> } | undefined)?.server;
  return typeof server?.prependListener === 'function' ? (server as Http2SecureServer) : null;
}

/**
 * Lowers the size of messages a call may receive, before any is read. `false` when this grpc-js does not let us: the
 * caller then refuses the call.
 */
export function limitMessageSize(call: grpc.ServerInterceptingCallInterface, bytes: number): boolean {
  const internals = call as unknown as BaseCallInternals;
  const { decoder } = internals;
  if (typeof internals.maxReceiveMessageSize !== 'number' || typeof decoder?.maxReadMessageLength !== 'number')
    return false;
  const lower = (now: number): number => (now === -1 ? bytes : Math.min(now, bytes));
  internals.maxReceiveMessageSize = lower(internals.maxReceiveMessageSize);
  decoder.maxReadMessageLength = lower(decoder.maxReadMessageLength);
  return true;
}

/** The certificates the peer sent, DER, leaf first; empty when it sent none that TLS verified. Once per connection. */
export function peerChain(socket: TLSSocket): Uint8Array[] {
  if (!socket.authorized) return [];
  const chain: Uint8Array[] = [];
  const seen = new Set<string>();
  let certificate = socket.getPeerCertificate(true);
  while (certificate?.raw !== undefined && !seen.has(certificate.fingerprint256)) {
    seen.add(certificate.fingerprint256);
    chain.push(certificate.raw);
    certificate = certificate.issuerCertificate;
  }
  return chain;
}
