/**
 * One call of a guarded channel: it attaches the token when the call starts, waits for one where none is known, and
 * starts once more with a fresh token after a refusal that a fresh token cures.
 *
 * @module
 */

import * as grpc from '@grpc/grpc-js';

type Call = ReturnType<grpc.ChannelInterface['createCall']>;
type Listener = Parameters<Call['start']>[1];
type Status = Parameters<Listener['onReceiveStatus']>[0];
type MessageContext = Parameters<Call['sendMessageWithContext']>[0];
type Deadline = Parameters<grpc.ChannelInterface['createCall']>[1];

/** One generation of a channel: connection, certificate and the tokens bound to it stay together. */
export interface ChannelGeneration {
  readonly channel: grpc.ChannelInterface;
  /** `null` for a client that sends no tokens. */
  readonly tokens: TokenAttachment | null;
}

/** What a call is made through: the generation it finds there when it starts stays open until it has ended. */
export interface CallHome {
  enter(): ChannelGeneration;
  leave(generation: ChannelGeneration): void;
  getTarget(): string;
}

/** Where the calls of one generation get their tokens. */
export interface TokenAttachment {
  /** A known token that may be used now; `null` when one must be obtained. Synchronous: the hot path. */
  peek(method: string): string | null;
  /** @param refused the token the server refused, where there was one: it is not to be used again */
  obtain(method: string, refused: string | null): Promise<string>;
  /** Whether a fresh token cures what the server answered. */
  curable(status: Status): boolean;
  /** The server answered a stream with its initial metadata; the returned function is called when the stream ends. */
  opened(metadata: grpc.Metadata, token: string): (() => void) | null;
}

/** Greatest number of request bytes kept so that a call can be started once more. */
const RETRY_BUFFER_BYTES = 65_536;

/** How a call was asked for: the arguments of `createCall`. */
export interface CallArguments {
  readonly method: string;
  readonly deadline: Deadline;
  readonly host: string | null | undefined;
  readonly parent: Parameters<grpc.ChannelInterface['createCall']>[3];
  readonly flags: number | null | undefined;
}

interface Sent {
  readonly message: Buffer;
  readonly flags: number | undefined;
  callback: MessageContext['callback'];
}

/** A call that carries its token by itself. */
export class GuardedClientCall implements Call {
  readonly #home: CallHome;
  /** The generation of the time the call started. */
  #generation: ChannelGeneration | null = null;
  readonly #arguments: CallArguments;
  #inner: Call | null = null;
  #listener: Listener | null = null;
  #metadata: grpc.Metadata | null = null;
  #token: string | null = null;
  #retried = false;
  /** Nothing came back yet and everything sent is still at hand. */
  #retryable = true;
  #ended = false;
  #foreignCredentials = false;
  #sent: Sent[] = [];
  #sentBytes = 0;
  #halfClosed = false;
  #reads = 0;
  #deadlineTimer: NodeJS.Timeout | null = null;
  #streamEnded: (() => void) | null = null;

  constructor(home: CallHome, args: CallArguments) {
    this.#home = home;
    this.#arguments = args;
  }

  start(metadata: grpc.Metadata, listener: Listener): void {
    this.#listener = listener;
    this.#metadata = metadata;
    if (this.#foreignCredentials) {
      this.#end(grpc.status.INTERNAL, 'A guarded channel takes no credentials per call: its token is bound to it.');
      return;
    }
    if (metadata.get('authorization').length > 0) {
      this.#end(grpc.status.INTERNAL, 'The metadata holds "authorization", which the client guard sets itself.');
      return;
    }
    this.#generation = this.#home.enter();
    const { tokens } = this.#generation;
    if (tokens === null) {
      this.#begin(null);
      return;
    }
    const token = tokens.peek(this.#arguments.method);
    if (token !== null) this.#begin(token);
    else this.#wait(tokens.obtain(this.#arguments.method, null));
  }

  sendMessageWithContext(context: MessageContext, message: Buffer): void {
    if (this.#retryable) {
      this.#sentBytes += message.length;
      if (this.#inner !== null && this.#sentBytes > RETRY_BUFFER_BYTES) this.#commit();
      else {
        const sent: Sent = {
          message,
          flags: context.flags,
          callback: context.callback,
        };
        this.#sent.push(sent);
        if (this.#inner !== null) this.#send(sent);
        return;
      }
    }
    this.#inner?.sendMessageWithContext(context, message);
  }

  startRead(): void {
    if (this.#retryable) this.#reads += 1;
    this.#inner?.startRead();
  }

  halfClose(): void {
    this.#halfClosed = true;
    this.#inner?.halfClose();
  }

  cancelWithStatus(status: grpc.status, details: string): void {
    this.#retryable = false;
    if (this.#inner !== null) this.#inner.cancelWithStatus(status, details);
    else this.#end(status, details);
  }

  setCredentials(): void {
    this.#foreignCredentials = true;
  }

  getPeer(): string {
    return this.#inner?.getPeer() ?? this.#home.getTarget();
  }

  getCallNumber(): number {
    return this.#inner?.getCallNumber() ?? -1;
  }

  getAuthContext(): ReturnType<Call['getAuthContext']> {
    return this.#inner?.getAuthContext() ?? null;
  }

  // ---- what comes back -------------------------------------------------------------------------------------------

  onReceiveMetadata(metadata: grpc.Metadata): void {
    this.#commit();
    if (this.#token !== null) this.#streamEnded = this.#generation?.tokens?.opened(metadata, this.#token) ?? null;
    this.#listener?.onReceiveMetadata(metadata);
  }

  onReceiveMessage(message: unknown): void {
    this.#commit();
    this.#listener?.onReceiveMessage(message);
  }

  onReceiveStatus(status: Status): void {
    if (this.#ended) return;
    const tokens = this.#generation?.tokens;
    if (this.#retryable && !this.#retried && tokens?.curable(status) === true) {
      this.#retried = true;
      this.#inner = null;
      this.#wait(tokens.obtain(this.#arguments.method, this.#token), status);
      return;
    }
    this.#finish(status);
  }

  // ---- within ----------------------------------------------------------------------------------------------------

  #begin(token: string | null): void {
    const { method, deadline, host, parent, flags } = this.#arguments;
    let inner: Call | undefined;
    try {
      inner = this.#generation?.channel.createCall(method, deadline, host, parent, flags);
    } catch {
      // The client was closed while the call waited for its token.
    }
    if (inner === undefined) {
      this.#end(grpc.status.UNAVAILABLE, 'The channel was closed before the call could start.');
      return;
    }
    this.#inner = inner;
    this.#token = token;
    let metadata = this.#metadata ?? new grpc.Metadata();
    if (token !== null) {
      metadata = metadata.clone();
      metadata.set('authorization', `Bearer ${token}`);
    } else this.#commit();
    inner.start(metadata, this);
    for (const sent of this.#sent) this.#send(sent);
    for (let i = 0; i < this.#reads; i++) inner.startRead();
    if (this.#halfClosed) inner.halfClose();
  }

  #send(sent: Sent): void {
    const context: { flags?: number; callback?: MessageContext['callback'] } = {};
    if (sent.flags !== undefined) context.flags = sent.flags;
    if (sent.callback !== undefined) {
      context.callback = (error) => {
        const { callback } = sent;
        sent.callback = undefined;
        callback?.(error);
      };
    }
    this.#inner?.sendMessageWithContext(context as MessageContext, sent.message);
  }

  /** Something came back, or too much was sent: from here on the call cannot be started once more. */
  #commit(): void {
    if (!this.#retryable) return;
    this.#retryable = false;
    if (this.#inner !== null) this.#sent = [];
  }

  /** Holds the call until there is a token; the deadline and a cancellation count meanwhile. */
  #wait(pending: Promise<string>, refusal: Status | null = null): void {
    this.#watchDeadline();
    pending.then(
      (token) => {
        this.#stopWatching();
        if (this.#ended || this.#inner !== null) return;
        this.#begin(token);
      },
      (error: unknown) => {
        this.#stopWatching();
        if (this.#ended) return;
        // The refusal of the server says more than the failure to cure it.
        if (refusal !== null) this.#finish(refusal);
        else {
          const why = error instanceof Error ? error.message : 'unknown error';
          this.#end(grpc.status.UNAVAILABLE, `No token could be obtained for this call: ${why}`);
        }
      },
    );
  }

  #watchDeadline(): void {
    const { deadline, parent } = this.#arguments;
    const own = deadline instanceof Date ? deadline.getTime() : deadline;
    const inherited = parent?.getDeadline() ?? Number.POSITIVE_INFINITY;
    const at = Math.min(own, inherited instanceof Date ? inherited.getTime() : inherited);
    if (at === Number.POSITIVE_INFINITY) return;
    const left = Math.max(0, Math.min(at - Date.now(), 2 ** 31 - 1));
    this.#deadlineTimer = setTimeout(() => {
      this.#end(grpc.status.DEADLINE_EXCEEDED, 'Deadline exceeded while waiting for a token');
    }, left);
  }

  #stopWatching(): void {
    if (this.#deadlineTimer !== null) clearTimeout(this.#deadlineTimer);
    this.#deadlineTimer = null;
  }

  #end(code: grpc.status, details: string): void {
    const status = { code, details, metadata: new grpc.Metadata() };
    // As grpc-js does it: never within the call that caused it.
    process.nextTick(() => this.#finish(status));
  }

  #finish(status: Status): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#stopWatching();
    this.#sent = [];
    this.#streamEnded?.();
    if (this.#generation !== null) this.#home.leave(this.#generation);
    this.#listener?.onReceiveStatus(status);
  }
}
