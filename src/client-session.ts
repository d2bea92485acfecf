/**
 * Keeps the streams of a client running past the expiry of the token they were opened with, by
 * `zerotrust.v1.SessionService`.
 *
 * @module
 */

import type * as grpc from '@grpc/grpc-js';
import type { Clock } from './clock.js';
import { unaryOver } from './transport/channel.js';
import { STREAM_ID_KEY, sessionServiceDefinition } from './wire/session.js';

/** What renewing needs. */
export interface RenewalParts {
  /** The channel the streams run over: a stream can be renewed only on its own connection. */
  readonly channel: grpc.ChannelInterface;
  readonly clock: Clock;
  /** A token other than `used`, of the same kind. */
  readonly freshToken: (used: string) => Promise<string>;
  /** When a token expires, milliseconds since the Unix epoch; `null` when it does not say. */
  readonly expiryOf: (token: string) => number | null;
}

/** How much of the time that is left passes before a stream is renewed. */
const RENEW_AT = 0.75;
const RETRY_MS = 1_000;
const DEADLINE_MS = 10_000;

/**
 * Called with the initial metadata of each call: where the server said that the stream can be renewed, renews it until
 * the returned function is called. What cannot be renewed ends on the server when its token does.
 */
export function renewals(parts: RenewalParts): (metadata: grpc.Metadata, token: string) => (() => void) | null {
  return (metadata, token) => {
    const [streamId] = metadata.get(STREAM_ID_KEY);
    if (typeof streamId !== 'string') return null;
    const ended = new AbortController();
    void keep(parts, streamId, token, ended.signal);
    return () => ended.abort();
  };
}

async function keep(
  { channel, clock, expiryOf, freshToken }: RenewalParts,
  streamId: string,
  first: string,
  ended: AbortSignal,
): Promise<void> {
  let token = first;
  let expiresAt = expiryOf(first);
  let wait = expiresAt === null ? 0 : (expiresAt - clock.now()) * RENEW_AT;
  while (expiresAt !== null) {
    await clock.delay(wait, ended);
    if (ended.aborted || clock.now() >= expiresAt) return;
    try {
      const next = await freshToken(token);
      if (ended.aborted) return;
      await unaryOver(channel, sessionServiceDefinition.renew, { streamId }, next, DEADLINE_MS);
      token = next;
      expiresAt = expiryOf(next);
      wait = expiresAt === null ? 0 : (expiresAt - clock.now()) * RENEW_AT;
    } catch {
      // Tried again until the stream has ended by itself.
      wait = expiresAt === null ? 0 : Math.min(RETRY_MS, (expiresAt - clock.now()) / 2);
    }
  }
}
