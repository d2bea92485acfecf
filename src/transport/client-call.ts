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

/** The channel a call was made on, as far as the call is concerned. */
export interface CallOwner {
  /** The generation calls start in now; `null` once the channel is closed. */
  current(): ChannelGeneration | null;
  /** The call is under way in this generation, which stays open for it. */
  entered(call: GuardedClientCall, generation: ChannelGeneration): void;
  left(call: GuardedClientCall, generation: ChannelGeneration): void;
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
  readonly #owner: CallOwner;
  readonly #arguments: CallArguments;
  #generation: ChannelGeneration | null = null;
  #inner: Call | null = null;
  #listener: Listener | null = null;
  #metadata: grpc.Metadata | null = null;
  #token: string | null = null;
  #retried = false;
  /** Nothing came back yet and everything sent is still at hand. */
  #retryable = true;
  #ended = false;
  #foreignCredentials = false;
  /** What was sent and is kept, and what waits to be handed over. */
  #sent: Sent[] = [];
  /** How many of them the inner call was given. It takes the next one only when it has called back for the last. */
  #given = 0;
  #giving = false;
  #sentBytes = 0;
  #halfClosed = false;
  #halfCloseGiven = false;
  #reads = 0;
  #deadlineTimer: NodeJS.Timeout | null = null;
  #streamEnded: (() => void) | null = null;

  constructor(owner: CallOwner, args: CallArguments) {
    this.#owner = owner;
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
    this.#enter();
  }

  sendMessageWithContext(context: MessageContext, message: Buffer): void {
    this.#sentBytes += message.length;
    if (this.#inner !== null && this.#sentBytes > RETRY_BUFFER_BYTES) this.#commit();
    this.#sent.push({ message, flags: context.flags, callback: context.callback });
    this.#give();
  }

  startRead(): void {
    if (this.#retryable) this.#reads += 1;
    this.#inner?.startRead();
  }

  halfClose(): void {
    this.#halfClosed = true;
    this.#give();
  }

  cancelWithStatus(status: grpc.status, details: string): void {
    this.#retryable = false;
    if (this.#inner !== null) this.#inner.cancelWithStatus(status, details);
    else this.#end(status, details);
  }

  setCredentials(): void {
    this.#foreignCredentials = true;
  }

  /** The channel was closed: a call that has not started never will. */
  channelClosed(): void {
    if (this.#inner === null) this.#end(grpc.status.UNAVAILABLE, 'The channel was closed before the call started');
  }

  getPeer(): string {
    return this.#inner?.getPeer() ?? this.#owner.current()?.channel.getTarget() ?? 'unknown';
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
      this.#given = 0;
      this.#giving = false;
      this.#halfCloseGiven = false;
      if (this.#stale()) this.#enter();
      else this.#wait(tokens.obtain(this.#arguments.method, this.#token), status);
      return;
    }
    this.#finish(status);
  }

  // ---- within ----------------------------------------------------------------------------------------------------

  /** Starts in the generation of now: certificate, connection and token of one generation stay together. */
  #enter(): void {
    const generation = this.#owner.current();
    this.#leave();
    if (generation === null) {
      this.#end(grpc.status.UNAVAILABLE, 'The channel was closed before the call started');
      return;
    }
    this.#generation = generation;
    this.#owner.entered(this, generation);
    const { tokens } = generation;
    if (tokens === null) {
      this.#begin(null);
      return;
    }
    const token = tokens.peek(this.#arguments.method);
    if (token !== null) this.#begin(token);
    else this.#wait(tokens.obtain(this.#arguments.method, null));
  }

  #leave(): void {
    if (this.#generation !== null) this.#owner.left(this, this.#generation);
    this.#generation = null;
  }

  /** Whether the channel has moved to another generation. */
  #stale(): boolean {
    return this.#owner.current() !== this.#generation;
  }

  #begin(token: string | null): void {
    const channel = this.#generation?.channel;
    if (channel === undefined) return;
    const { method, deadline, host, parent, flags } = this.#arguments;
    const inner = channel.createCall(method, deadline, host, parent, flags);
    this.#inner = inner;
    this.#token = token;
    let metadata = this.#metadata ?? new grpc.Metadata();
    if (token !== null) {
      metadata = metadata.clone();
      metadata.set('authorization', `Bearer ${token}`);
    } else this.#commit();
    inner.start(metadata, this);
    for (let i = 0; i < this.#reads; i++) inner.startRead();
    this.#give();
  }

  /** Hands over what may be handed over now. */
  #give(): void {
    const inner = this.#inner;
    if (inner === null) return;
    const sent = this.#giving ? undefined : this.#sent[this.#given];
    if (sent !== undefined) {
      this.#giving = true;
      if (this.#retryable) this.#given += 1;
      else this.#sent.shift();
      const context: { flags?: number; callback: NonNullable<MessageContext['callback']> } = {
        callback: (error) => {
          // Of an attempt that was given up: the message is sent again.
          if (inner !== this.#inner) return;
          this.#giving = false;
          const { callback } = sent;
          sent.callback = undefined;
          callback?.(error);
          this.#give();
        },
      };
      if (sent.flags !== undefined) context.flags = sent.flags;
      inner.sendMessageWithContext(context, sent.message);
    }
    if (this.#halfClosed && !this.#halfCloseGiven && this.#given === this.#sent.length) {
      this.#halfCloseGiven = true;
      inner.halfClose();
    }
  }

  /** Something came back, or too much was sent: from here on the call cannot be started once more. */
  #commit(): void {
    if (!this.#retryable) return;
    this.#retryable = false;
    this.#sent.splice(0, this.#given);
    this.#given = 0;
  }

  /** Holds the call until there is a token; the deadline and a cancellation count meanwhile. */
  #wait(pending: Promise<string>, refusal: Status | null = null): void {
    this.#watchDeadline();
    pending.then(
      (token) => this.#resume(() => this.#begin(token)),
      (error: unknown) =>
        this.#resume(() => {
          // The refusal of the server says more than the failure to cure it.
          if (refusal !== null) this.#finish(refusal);
          else this.#end(grpc.status.UNAVAILABLE, `No token could be obtained for this call: ${messageOf(error)}`);
        }),
    );
  }

  #resume(act: () => void): void {
    this.#stopWatching();
    if (this.#ended || this.#inner !== null) return;
    try {
      // What was obtained for a generation that is over, or failed with it, is of no use in the next.
      if (this.#stale()) this.#enter();
      else act();
    } catch (error) {
      this.#end(grpc.status.INTERNAL, `The call could not be started: ${messageOf(error)}`);
    }
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
    if (this.#ended) return;
    this.#settle();
    const status = { code, details, metadata: new grpc.Metadata() };
    // As grpc-js does it: never within the call that caused it.
    process.nextTick(() => this.#listener?.onReceiveStatus(status));
  }

  #finish(status: Status): void {
    if (this.#ended) return;
    this.#settle();
    this.#listener?.onReceiveStatus(status);
  }

  #settle(): void {
    this.#ended = true;
    this.#stopWatching();
    this.#sent = [];
    this.#given = 0;
    this.#streamEnded?.();
    this.#leave();
  }
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : 'unknown error';
}
