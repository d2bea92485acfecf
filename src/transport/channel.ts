/**
 * Client channels by identity generation: a rotation opens a new connection with the new certificate, and lets what
 * runs over the old one finish.
 *
 * @module
 */

import { constants } from 'node:crypto';
import { createSecureContext, type DetailedPeerCertificate, type PeerCertificate } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import type { X509Context } from '../identity/types.js';
import { type CallHome, type ChannelGeneration, GuardedClientCall } from './client-call.js';
import { authoritiesPem } from './server-credentials.js';

/** Decides about the server's certificate chain (DER, leaf first): what is wrong with it, or `null`. */
export type ServerVerifier = (chain: readonly Uint8Array[]) => string | null;

/**
 * TLS 1.3 with our certificate, and a server known by its SPIFFE ID rather than by a DNS name. One object per
 * generation and server: grpc-js pools connections by the identity of its parts.
 */
export function channelCredentials(context: X509Context, verify: ServerVerifier): grpc.ChannelCredentials {
  const secureContext = createSecureContext({
    cert: context.svid.certificatePem,
    key: context.svid.privateKeyPem,
    ca: authoritiesPem(context.bundles),
    minVersion: 'TLSv1.3',
    maxVersion: 'TLSv1.3',
    secureOptions: constants.SSL_OP_NO_TICKET,
  });
  return grpc.credentials.createFromSecureContext(secureContext, {
    rejectUnauthorized: true,
    checkServerIdentity: (_hostname, certificate) => {
      const problem = verify(chainOf(certificate));
      return problem === null ? undefined : new Error(problem);
    },
  });
}

function chainOf(certificate: PeerCertificate): Uint8Array[] {
  const chain: Uint8Array[] = [];
  const seen = new Set<string>();
  let at: PeerCertificate | undefined = certificate;
  while (at?.raw !== undefined && !seen.has(at.fingerprint256)) {
    seen.add(at.fingerprint256);
    chain.push(at.raw);
    at = (at as Partial<DetailedPeerCertificate>).issuerCertificate;
  }
  return chain;
}

interface Watcher {
  settle(error?: Error): void;
}

/** A `grpc.ChannelInterface` that can be moved to another generation under the feet of its clients. */
export class GuardedChannel implements grpc.ChannelInterface {
  #generation: ChannelGeneration;
  #closed = false;
  readonly #onClosed: () => void;
  readonly #watchers = new Set<Watcher>();
  /** How many calls have started over each generation and not ended; the generations before this one close at none. */
  readonly #running = new Map<ChannelGeneration, number>();
  readonly #home: CallHome = {
    enter: () => {
      const generation = this.#generation;
      this.#running.set(generation, (this.#running.get(generation) ?? 0) + 1);
      return generation;
    },
    leave: (generation) => this.#leave(generation),
    getTarget: () => this.getTarget(),
  };

  /** @param onClosed called once, when the client that owns the channel closes it */
  constructor(first: ChannelGeneration, onClosed: () => void) {
    this.#generation = first;
    this.#onClosed = onClosed;
  }

  /**
   * Calls from now on use `next`; those that started before finish over the generation they started with, also where
   * they still wait for a token or a connection, and the renewals of their streams go there too.
   */
  rotate(next: ChannelGeneration): void {
    const old = this.#generation;
    this.#generation = next;
    if (!this.#running.has(old)) old.channel.close();
    for (const watcher of [...this.#watchers]) watcher.settle();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#onClosed();
    for (const { channel } of new Set([this.#generation, ...this.#running.keys()])) channel.close();
    for (const watcher of [...this.#watchers]) watcher.settle(new Error('The channel was closed.'));
  }

  getTarget(): string {
    return this.#generation.channel.getTarget();
  }

  getConnectivityState(tryToConnect: boolean): grpc.connectivityState {
    return this.#generation.channel.getConnectivityState(tryToConnect);
  }

  watchConnectivityState(
    currentState: grpc.connectivityState,
    deadline: Date | number,
    callback: (error?: Error) => void,
  ): void {
    const watcher: Watcher = {
      settle: (error) => {
        if (this.#watchers.delete(watcher)) callback(error);
      },
    };
    this.#watchers.add(watcher);
    this.#generation.channel.watchConnectivityState(currentState, deadline, watcher.settle);
  }

  getChannelzRef(): ReturnType<grpc.ChannelInterface['getChannelzRef']> {
    return this.#generation.channel.getChannelzRef();
  }

  createCall(
    ...[method, deadline, host, parent, flags]: Parameters<grpc.ChannelInterface['createCall']>
  ): ReturnType<grpc.ChannelInterface['createCall']> {
    if (this.#closed) throw new Error('The channel has been closed.');
    return new GuardedClientCall(this.#home, {
      method,
      deadline,
      host,
      parent,
      flags,
    });
  }

  #leave(generation: ChannelGeneration): void {
    const left = (this.#running.get(generation) ?? 0) - 1;
    if (left > 0) this.#running.set(generation, left);
    else {
      this.#running.delete(generation);
      if (generation !== this.#generation && !this.#closed) generation.channel.close();
    }
  }
}

/** Opens a channel to `address`. Channels with the same credentials object share connections, no others do. */
export function openChannel(
  address: string,
  credentials: grpc.ChannelCredentials,
  options: grpc.ChannelOptions,
): grpc.ChannelInterface {
  return new grpc.Channel(address, credentials, options);
}

/** The constructor of a generated client. */
export type ClientConstructor<C> = new (
  address: string,
  credentials: grpc.ChannelCredentials,
  options?: grpc.ClientOptions,
) => C;

/** A client whose calls all go through `channel`. */
export function clientOver<C>(
  ClientClass: ClientConstructor<C>,
  address: string,
  channel: grpc.ChannelInterface,
  options: grpc.ClientOptions,
): C {
  // These credentials are never used: those of the channel are.
  return new ClientClass(address, grpc.credentials.createInsecure(), { ...options, channelOverride: channel });
}

/** Channel credentials that send a token with each call, for clients that make their own channel. */
export function withTokens(
  credentials: grpc.ChannelCredentials,
  tokenFor: (method: string) => Promise<string>,
): grpc.ChannelCredentials {
  const perCall = grpc.credentials.createFromMetadataGenerator(({ method_name: method }, callback) => {
    tokenFor(method).then(
      (token) => {
        const metadata = new grpc.Metadata();
        metadata.set('authorization', `Bearer ${token}`);
        callback(null, metadata);
      },
      (error: unknown) => callback(error instanceof Error ? error : new Error('no token could be obtained')),
    );
  });
  return grpc.credentials.combineChannelCredentials(credentials, perCall);
}

/** One unary call over a channel, with this token. */
export function unaryOver<I, O>(
  channel: grpc.ChannelInterface,
  method: {
    readonly path: string;
    readonly requestSerialize: (value: I) => Buffer;
    readonly responseDeserialize: (bytes: Buffer) => O;
  },
  request: I,
  token: string,
  timeoutMs: number,
): Promise<O> {
  const client = clientOver(grpc.Client, channel.getTarget(), channel, {});
  const metadata = new grpc.Metadata();
  metadata.set('authorization', `Bearer ${token}`);
  const options = { deadline: Date.now() + timeoutMs };
  return new Promise((resolve, reject) => {
    const done = (error: grpc.ServiceError | null, response?: O): void => {
      if (error !== null || response === undefined) reject(error ?? new Error('no response'));
      else resolve(response);
    };
    client.makeUnaryRequest(
      method.path,
      method.requestSerialize,
      method.responseDeserialize,
      request,
      metadata,
      options,
      done,
    );
  });
}
