/**
 * One fused server interceptor for all four kinds of call: it stands between grpc-js and the handler, asks the gate,
 * and can end a running call from outside.
 *
 * @module
 */

import { constants, type ServerHttp2Stream } from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import { PRINCIPAL_KEY, type Principal } from '../call.js';
import type { Clock } from '../clock.js';
import { type Denial, deny } from '../errors.js';
import type { Connection, RunningCall } from './connections.js';
import { limitMessageSize, streamOf } from './grpc-internals.js';

type PartialStatus = Parameters<grpc.ServerInterceptingCallInterface['sendStatus']>[0];
type Listener = Parameters<grpc.ServerInterceptingCallInterface['start']>[0];

/** That a call may go on, and as whom. */
export interface Admission {
  readonly principal: Principal;
  /** The call is ended then with what {@link Gate.stillAllowed} says; milliseconds since the Unix epoch. Streams only. */
  endsAt: number;
  /** Sent to the client in the initial metadata under this key and value; `null` when the stream cannot be renewed. */
  readonly streamId: string | null;
}

/** A refusal as the caller sees it. */
export interface Refusal {
  readonly code: number;
  readonly details: string;
  /** The bytes of `google.rpc.Status`, and the metadata key they travel under. */
  readonly info: Uint8Array;
  readonly infoKey: string;
}

/** What the interceptor asks at each point of a call. Implemented by the server guard, which alone knows the order. */
export interface Gate<P, A extends Admission> {
  readonly clock: Clock;
  /** Longest time one asynchronous decision may take before the call is refused. */
  readonly decisionTimeoutMs: number;
  /** Greatest message a call may receive; `null` leaves it to the server's own option. */
  readonly messageBytes: number | null;
  readonly streamIdKey: string;
  connectionOf(call: grpc.ServerInterceptingCallInterface, stream: ServerHttp2Stream | undefined): Connection<P>;
  /** Everything that is decided before any message is decoded. */
  admit(call: GuardedCall<P, A>, metadata: grpc.Metadata): A | Denial | Promise<A | Denial>;
  /** One message of the client, before the handler sees it. */
  message(call: GuardedCall<P, A>, admission: A, message: unknown): Denial | null | Promise<Denial | null>;
  /** Whether a running call may go on, asked when its time has come or a revocation arrived; `null` when it may. */
  stillAllowed(call: GuardedCall<P, A>, admission: A): Denial | null;
  /** What the caller is told. Called once per refused call. */
  refusal(call: GuardedCall<P, A>, denial: Denial): Refusal;
  /** The call has ended, whichever way. Called once per call. */
  finished(call: GuardedCall<P, A>): void;
  /** A failure of the guard itself: a defect, reported and turned into a refusal. */
  failed(error: unknown): void;
}

/** After a running call was ended, how long its refusal may take to leave before the stream is reset. */
const RESET_GRACE_MS = 1_000;

function isDenial(value: object): value is Denial {
  return 'reason' in value;
}

/** A call under guard. It is at once the call the handler talks to and the listener grpc-js talks to. */
export class GuardedCall<P, A extends Admission> extends grpc.ServerInterceptingCall implements RunningCall {
  readonly gate: Gate<P, A>;
  readonly connection: Connection<P>;
  /** Full method, as registered. */
  readonly method: string;
  readonly streaming: boolean;
  readonly requestStream: boolean;
  readonly arrivedAt = performance.now();
  admission: A | null = null;
  /** Why the call was refused or ended by the guard. */
  denial: Denial | null = null;
  /** The status the handler or the guard gave; `null` when the call ended below both. */
  status: number | null = null;
  /** Messages handed to the handler. */
  messages = 0;
  /** Set by the gate for the audit record. */
  decisionId = '';
  place = -1;

  readonly #next: grpc.ServerInterceptingCallInterface;
  readonly #stream: ServerHttp2Stream | undefined;
  readonly #sizeLimited: boolean;
  #listener: Listener | null = null;
  #metadataSent = false;
  /** Nothing passes any more, in either direction. */
  #dead = false;
  #finished = false;
  /** Cancels whatever the call still waits for on the clock. */
  #waiting: AbortController | null = null;
  /** Cancels the sending of the stream's id by the guard itself. */
  #announcing: AbortController | null = null;

  constructor(
    gate: Gate<P, A>,
    method: grpc.ServerMethodDefinition<unknown, unknown>,
    next: grpc.ServerInterceptingCallInterface,
  ) {
    super(next);
    this.gate = gate;
    this.method = method.path;
    this.requestStream = method.requestStream;
    this.streaming = method.requestStream || method.responseStream;
    this.#next = next;
    this.#stream = streamOf(next);
    this.#sizeLimited = gate.messageBytes === null || limitMessageSize(next, gate.messageBytes);
    this.connection = gate.connectionOf(next, this.#stream);
  }

  // ---- from the handler's side -------------------------------------------------------------------------------------

  override start(listener: Listener): void {
    this.#listener = listener;
    this.#next.start(this);
  }

  override sendMetadata(metadata: grpc.Metadata): void {
    if (this.#dead) return;
    this.#announcing?.abort();
    const streamId = this.admission?.streamId ?? null;
    if (streamId !== null && !this.#metadataSent) {
      const own = metadata.clone();
      own.set(this.gate.streamIdKey, streamId);
      this.#metadataSent = true;
      this.#next.sendMetadata(own);
      return;
    }
    this.#metadataSent = true;
    this.#next.sendMetadata(metadata);
  }

  override sendMessage(message: unknown, callback: () => void): void {
    if (this.#dead) return;
    if (!this.#metadataSent && this.admission !== null && this.admission.streamId !== null) {
      this.sendMetadata(new grpc.Metadata());
    }
    this.#next.sendMessage(message, callback);
  }

  override sendStatus(status: PartialStatus): void {
    if (this.#dead) return;
    this.status ??= status.code;
    this.#next.sendStatus(status);
  }

  // ---- from the network's side -------------------------------------------------------------------------------------

  onReceiveMetadata(metadata: grpc.Metadata): void {
    if (this.#dead) return;
    this.connection.calls.add(this);
    if (!this.#sizeLimited) {
      this.terminate(deny('STATE_UNAVAILABLE', 'this version of grpc-js does not let the guard limit message sizes'));
      return;
    }
    try {
      const verdict = this.gate.admit(this, metadata);
      if (verdict instanceof Promise) this.#await(verdict, (late) => this.#enter(late, metadata));
      else this.#enter(verdict, metadata);
    } catch (error) {
      this.#fail(error);
    }
  }

  onReceiveMessage(message: unknown): void {
    const { admission } = this;
    if (this.#dead || admission === null) return;
    try {
      const verdict = this.gate.message(this, admission, message);
      if (verdict === null) this.#deliver(message);
      else if (verdict instanceof Promise)
        this.#await(verdict, (late) => (late === null ? this.#deliver(message) : this.terminate(late)));
      else this.terminate(verdict);
    } catch (error) {
      this.#fail(error);
    }
  }

  onReceiveHalfClose(): void {
    if (!this.#dead) this.#listener?.onReceiveHalfClose();
  }

  onCancel(): void {
    const told = this.#dead;
    this.#dead = true;
    if (!told && this.admission !== null) this.#listener?.onCancel();
    this.#finish();
  }

  // ---- from the guard's side ---------------------------------------------------------------------------------------

  /** Whether the call has ended or was ended. */
  get ended(): boolean {
    return this.#dead;
  }

  terminate(denial: Denial): void {
    if (this.#dead) return;
    this.#dead = true;
    this.denial = denial;
    const running = this.admission !== null;
    try {
      const { code, details, info, infoKey } = this.gate.refusal(this, denial);
      const metadata = new grpc.Metadata();
      metadata.set(infoKey, Buffer.from(info.buffer, info.byteOffset, info.byteLength));
      this.status = code;
      this.#next.sendStatus({ code, details, metadata });
    } catch (error) {
      this.gate.failed(error);
    }
    if (running) this.#listener?.onCancel();
    this.#finish();
    this.#reset(running);
  }

  /** Watches the clock for the end of a stream; called again whenever its end has moved. */
  watchExpiry(): void {
    const { admission } = this;
    if (admission === null || this.#dead || !this.streaming) return;
    this.#waiting?.abort();
    if (admission.endsAt === Number.POSITIVE_INFINITY) return;
    const waiting = new AbortController();
    this.#waiting = waiting;
    void this.gate.clock.delay(admission.endsAt - this.gate.clock.now(), waiting.signal).then(() => {
      if (waiting.signal.aborted || this.#dead) return;
      this.reconsider();
      this.watchExpiry();
    });
  }

  reconsider(): void {
    const { admission } = this;
    if (this.#dead || admission === null) return;
    try {
      const denial = this.gate.stillAllowed(this, admission);
      if (denial !== null) this.terminate(denial);
    } catch (error) {
      this.#fail(error);
    }
  }

  // ---- within ------------------------------------------------------------------------------------------------------

  #enter(verdict: A | Denial, metadata: grpc.Metadata): void {
    if (this.#dead) return;
    if (isDenial(verdict)) {
      this.terminate(verdict);
      return;
    }
    this.admission = verdict;
    metadata.setOpaque(PRINCIPAL_KEY, verdict.principal);
    if (this.streaming) this.watchExpiry();
    this.#listener?.onReceiveMetadata(metadata);
    if (verdict.streamId !== null) this.#announceLater(verdict);
  }

  /**
   * A handler that sends nothing would leave its client without the id by which the stream is renewed. It has half of
   * the time for initial metadata of its own; then the guard sends the id without any.
   */
  #announceLater({ endsAt }: A): void {
    if (this.#dead || this.#metadataSent) return;
    this.#announcing = new AbortController();
    const { signal } = this.#announcing;
    const { clock } = this.gate;
    void clock.delay((endsAt - clock.now()) / 2, signal).then(() => {
      if (!signal.aborted) this.sendMetadata(new grpc.Metadata());
    });
  }

  #deliver(message: unknown): void {
    if (this.#dead) return;
    this.messages += 1;
    this.#listener?.onReceiveMessage(message);
  }

  /** Waits for a decision, no longer than the gate allows; whatever comes after that is too late. */
  #await<T>(decision: Promise<T>, then: (value: T) => void): void {
    const timer = new AbortController();
    let settled = false;
    const settle = (act: () => void): void => {
      if (settled) return;
      settled = true;
      timer.abort();
      if (this.#dead) return;
      try {
        act();
      } catch (error) {
        this.#fail(error);
      }
    };
    decision.then(
      (value) => settle(() => then(value)),
      (error: unknown) => settle(() => this.#fail(error)),
    );
    void this.gate.clock.delay(this.gate.decisionTimeoutMs, timer.signal).then(() => {
      settle(() => this.terminate(deny('STATE_UNAVAILABLE', 'the decision took too long')));
    });
  }

  #fail(error: unknown): void {
    this.gate.failed(error);
    this.terminate(deny('STATE_UNAVAILABLE', 'the guard failed; see the internal-error event'));
  }

  #finish(): void {
    if (this.#finished) return;
    this.#finished = true;
    this.#waiting?.abort();
    this.#announcing?.abort();
    this.connection.calls.delete(this);
    try {
      this.gate.finished(this);
    } catch (error) {
      this.gate.failed(error);
    }
  }

  /** Stops a refused client from sending on: without a reset its messages would be read and thrown away for ever. */
  #reset(running: boolean): void {
    const stream = this.#stream;
    if (stream === undefined) {
      this.connection.session?.destroy();
      return;
    }
    const close = (code: number): void => {
      if (!stream.closed && !stream.destroyed) stream.close(code);
    };
    if (!running) setImmediate(close, constants.NGHTTP2_NO_ERROR);
    // Not NO_ERROR: that would wait for a client that does not read.
    else setTimeout(close, RESET_GRACE_MS, constants.NGHTTP2_CANCEL).unref();
  }
}
