/**
 * The credentials of a guarded port: TLS 1.3, a client certificate required, no session tickets, limits, and the
 * interceptor bound to the port, so that it cannot be opened without the checks.
 *
 * @module
 */

import { constants } from 'node:crypto';
import type { SecureServerOptions } from 'node:http2';
import type { SecureContextOptions } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import type { TrustBundles, X509Context } from '../identity/types.js';
import { watchingAlpn } from './port.js';

/** Limits of the HTTP/2 layer. */
export interface PortLimits {
  readonly streamsPerConnection: number;
  readonly headerBytes: number;
  readonly sessionMemoryMegabytes: number;
  readonly handshakeTimeoutMs: number;
  readonly silentConnectionMs: number;
}

/** Everything TLS needs of one identity generation. Complete: what is left out of a rotation is lost. */
export function secureContextOptions(context: X509Context): SecureContextOptions {
  return {
    cert: context.svid.certificatePem,
    key: context.svid.privateKeyPem,
    ca: authoritiesPem(context.bundles),
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    // A resumed session would skip the verification of the client certificate.
    secureOptions: constants.SSL_OP_NO_TICKET,
  };
}

/** The authorities of all trust domains. TLS cannot tell them apart; the guard does, once per connection. */
export function authoritiesPem(bundles: TrustBundles): string[] {
  const pem: string[] = [];
  for (const roots of bundles.values()) {
    for (const der of roots) {
      const lines =
        Buffer.from(der)
          .toString('base64')
          .match(/.{1,64}/g) ?? [];
      pem.push(`-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`);
    }
  }
  return pem;
}

/** `grpc.ServerCredentials` of a guard. */
export class GuardedCredentials extends grpc.ServerCredentials {
  readonly #interceptor: grpc.ServerInterceptor;

  constructor(context: X509Context, limits: PortLimits, interceptor: grpc.ServerInterceptor) {
    const options: SecureServerOptions = {
      requestCert: true,
      rejectUnauthorized: true,
      ALPNCallback: watchingAlpn(limits.silentConnectionMs),
      handshakeTimeout: limits.handshakeTimeoutMs,
      sessionTimeout: 1,
      maxSessionMemory: limits.sessionMemoryMegabytes,
      settings: {
        maxConcurrentStreams: limits.streamsPerConnection,
        maxHeaderListSize: limits.headerBytes,
      },
    };
    super(options, secureContextOptions(context));
    this.#interceptor = interceptor;
  }

  /** Handshakes from now on use this generation; connections that are open stay. */
  rotate(context: X509Context): void {
    this.updateSecureContextOptions(secureContextOptions(context));
  }

  override _getInterceptors(): grpc.ServerInterceptor[] {
    return [this.#interceptor];
  }

  _equals(other: grpc.ServerCredentials): boolean {
    return this === other;
  }
}
