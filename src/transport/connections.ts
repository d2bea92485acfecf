/**
 * One record per live connection: who is at the other end, settled once, and the calls that run over it.
 *
 * @module
 */

import type { Http2Session } from 'node:http2';
import type { Denial } from '../errors.js';
import { peerChain, socketOf } from './grpc-internals.js';

/** A call that runs now, as far as the connection is concerned. */
export interface RunningCall {
  /** Ends the call: the handler is told at once and nothing more is delivered in either direction. */
  terminate(denial: Denial): void;
  /** Asks again whether it may go on, and ends it when not. */
  reconsider(): void;
  /** Its place in the {@link RunningCalls} it is in, which alone changes it; -1 when it is in none. */
  place: number;
}

/** The calls that run over a connection, in no order. Unlike in a `Set`, coming and going takes no memory. */
export class RunningCalls implements Iterable<RunningCall> {
  readonly #calls: RunningCall[] = [];

  add(call: RunningCall): void {
    if (call.place === -1) call.place = this.#calls.push(call) - 1;
  }

  delete(call: RunningCall): void {
    const { place } = call;
    if (this.#calls[place] !== call) return;
    call.place = -1;
    const last = this.#calls.pop();
    if (last === undefined || last === call) return;
    this.#calls[place] = last;
    last.place = place;
  }

  get size(): number {
    return this.#calls.length;
  }

  /** Those that run now: calls may come and go meanwhile. */
  [Symbol.iterator](): IterableIterator<RunningCall> {
    return [...this.#calls].values();
  }
}

/** One live connection. `P` is what the guard remembers about it. */
export interface Connection<P> {
  readonly session: Http2Session | null;
  /** The certificates the peer presented, DER, leaf first. */
  readonly chain: readonly Uint8Array[];
  readonly calls: RunningCalls;
  /** What the guard settled about this connection; `null` before its first call. */
  state: P | null;
}

/** The live connections of one guard. */
export class Connections<P> {
  readonly #bySession = new WeakMap<Http2Session, Connection<P>>();
  readonly #live = new Set<Connection<P>>();
  readonly #onClosed: (connection: Connection<P>) => void;

  constructor(onClosed: (connection: Connection<P>) => void) {
    this.#onClosed = onClosed;
  }

  /** The record of a session, made at its first call. */
  of(session: Http2Session): Connection<P> {
    return this.#bySession.get(session) ?? this.#open(session);
  }

  /** A record for one call alone, where grpc-js does not show the session. It cannot be closed, only its call ended. */
  single(leaf: Uint8Array | undefined): Connection<P> {
    return { session: null, chain: leaf === undefined ? [] : [leaf], calls: new RunningCalls(), state: null };
  }

  /** The call of a connection made by {@link single} has begun. */
  track(connection: Connection<P>): void {
    this.#live.add(connection);
  }

  /** The call of a connection made by {@link single} has ended. */
  forget(connection: Connection<P>): void {
    if (connection.session === null) this.#live.delete(connection);
  }

  [Symbol.iterator](): IterableIterator<Connection<P>> {
    return [...this.#live].values();
  }

  get size(): number {
    return this.#live.size;
  }

  #open(session: Http2Session): Connection<P> {
    const socket = socketOf(session);
    const connection: Connection<P> = {
      session,
      chain: socket === undefined ? [] : peerChain(socket),
      calls: new RunningCalls(),
      state: null,
    };
    this.#bySession.set(session, connection);
    this.#live.add(connection);
    session.once('close', () => {
      this.#live.delete(connection);
      this.#onClosed(connection);
    });
    return connection;
  }
}

/** Ends every running call of a connection with `denial`, then closes it: no further call can arrive over it. */
export function closeConnection<P>(connection: Connection<P>, denial: Denial): void {
  for (const call of connection.calls) call.terminate(denial);
  const { session } = connection;
  if (session === null || session.destroyed) return;
  if (!session.closed) session.close();
  // What has not left by then is cut off.
  setTimeout(() => session.destroy(), CLOSE_GRACE_MS).unref();
}

/** How long the refusals of a connection that is being closed may take to leave. */
const CLOSE_GRACE_MS = 50;
