/**
 * The tokens of one want: one audience, one certificate, one source.
 *
 * @module
 */

import type { Clock } from '../clock.js';
import { isBearerToken, TokenSourceError } from './file-tokens.js';
import type { TokenSource } from './types.js';
import { readUnverified } from './unverified.js';

/** What lanes share. */
export interface LaneSettings {
  readonly clock: Clock;
  readonly timeoutMs: number;
  readonly random: () => number;
}

const OPAQUE_LIFE_MS = 30_000;
// A token this close to its end may expire on the way.
const MARGIN_MS = 5_000;
const MARGIN_SHARE = 0.1;
const RENEW_FROM = 0.75;
const RENEW_SPREAD = 0.1;
const FIRST_BACKOFF_MS = 250;
const LONGEST_BACKOFF_MS = 30_000;

interface Held {
  readonly token: string;
  /** Not used from here on. */
  readonly usableUntil: number;
  readonly renewAt: number;
}

interface Flight {
  readonly promise: Promise<string>;
  /** The token it must not answer with. */
  readonly refused: string | null;
}

/**
 * Keeps the token of one want. Errors never hold a token.
 *
 * Every method may reject with a `TokenSourceError`: the source failed or took too long, answered with an expired token,
 * with one bound to another certificate, or, asked for another, with the same one.
 */
export class TokenLane {
  readonly #source: TokenSource;
  readonly #audience: string;
  readonly #svid: { readonly spiffeId: string; readonly fingerprint: string };
  readonly #settings: LaneSettings;
  #held: Held | null = null;
  #flight: Flight | null = null;
  #lastFresh: string | null = null;
  // Two, so that a source without single-use tokens does not hold up the reusable ones.
  readonly #shared: Backoff;
  readonly #single: Backoff;
  #dropped = false;

  constructor(
    source: TokenSource,
    audience: string,
    svid: { readonly spiffeId: string; readonly fingerprint: string },
    settings: LaneSettings,
  ) {
    this.#source = source;
    this.#audience = audience;
    this.#svid = svid;
    this.#settings = settings;
    this.#shared = new Backoff(settings);
    this.#single = new Backoff(settings);
  }

  /** The fingerprint of the certificate its tokens are bound to. */
  get fingerprint(): string {
    return this.#svid.fingerprint;
  }

  /**
   * The token known, when it is fresh; else `null`. Synchronous. From about 80 % of its life on it is renewed in the
   * background while it goes on being used.
   * @param method named to the source when it is renewed
   */
  peek(method = ''): string | null {
    const held = this.#held;
    if (held === null) return null;
    const now = this.#settings.clock.now();
    if (now >= held.usableUntil) {
      this.#held = null;
      return null;
    }
    if (now >= held.renewAt && this.#flight === null && this.#shared.current() === null) {
      // Nobody waits for it: a failure shows when the token is needed.
      this.#fly(method, false, null).catch(() => {});
    }
    return held.token;
  }

  /** The token known, or one obtained now; all who ask meanwhile share the flight. */
  get(method: string): Promise<string> {
    const known = this.peek(method);
    if (known !== null) return Promise.resolve(known);
    if (this.#flight !== null) return this.#flight.promise;
    const failure = this.#shared.current();
    return failure === null ? this.#fly(method, false, null) : Promise.reject(failure);
  }

  /**
   * Another token, after `refused` was refused. Who asks late gets the one that replaced it already.
   */
  async refresh(method: string, refused: string): Promise<string> {
    if (this.#held?.token === refused) this.#held = null;
    const known = this.peek(method);
    if (known !== null) return known;
    if (this.#flight !== null) {
      // A flight that set out before the refusal may come back with the very same token.
      const token = await this.#flight.promise.catch(() => refused);
      if (token !== refused) return token;
      if (this.#held?.token === refused) this.#held = null;
      if (this.#flight !== null && this.#flight.refused === refused) return this.#flight.promise;
    }
    const failure = this.#shared.current();
    if (failure !== null) throw failure;
    return this.#fly(method, true, refused);
  }

  /** A token nobody has used yet, for a single-use method: never from the cache, and never put there. */
  async getFresh(method: string): Promise<string> {
    const failure = this.#single.current();
    if (failure !== null) throw failure;
    try {
      const token = await this.#ask(method, true);
      this.#readBound(token);
      if (token === this.#lastFresh || token === this.#held?.token) {
        throw new TokenSourceError('the token source answered twice with one token where each is used once');
      }
      this.#lastFresh = token;
      this.#single.succeeded();
      return token;
    } catch (error) {
      throw this.#single.failed(error);
    }
  }

  /** Drops what is known, for good: a flight under way is not kept either. */
  forget(): void {
    this.#dropped = true;
    this.#held = null;
    this.#lastFresh = null;
  }

  #fly(method: string, refresh: boolean, refused: string | null): Promise<string> {
    const promise = this.#obtain(method, refresh, refused).finally(() => {
      if (this.#flight?.promise === promise) this.#flight = null;
    });
    this.#flight = { promise, refused };
    return promise;
  }

  async #obtain(method: string, refresh: boolean, refused: string | null): Promise<string> {
    try {
      const token = await this.#ask(method, refresh);
      const expiresAt = this.#readBound(token);
      if (token === refused) throw new TokenSourceError('the token source answered with the token that was refused');
      const now = this.#settings.clock.now();
      const life = expiresAt - now;
      const margin = Math.min(MARGIN_MS, life * MARGIN_SHARE);
      const share = RENEW_FROM + RENEW_SPREAD * this.#settings.random();
      if (!this.#dropped) this.#held = { token, usableUntil: expiresAt - margin, renewAt: now + life * share };
      this.#shared.succeeded();
      return token;
    } catch (error) {
      throw this.#shared.failed(error);
    }
  }

  async #ask(method: string, refresh: boolean): Promise<string> {
    const { clock, timeoutMs } = this.#settings;
    const timer = new AbortController();
    const late = clock.delay(timeoutMs, timer.signal).then(() => {
      throw new TokenSourceError(`the token source did not answer within ${timeoutMs} ms`);
    });
    // Once the race is over its loser rejects unheard.
    late.catch(() => {});
    try {
      const request = { audience: this.#audience, method, refresh, svid: this.#svid };
      const token: unknown = await Promise.race([this.#source.getToken(request), late]);
      if (typeof token !== 'string' || token === '')
        throw new TokenSourceError('the token source answered with no token');
      // grpc-js would put what it cannot send into its error, whole.
      if (!isBearerToken(token))
        throw new TokenSourceError('the token source answered with text that is no bearer token');
      return token;
    } finally {
      timer.abort();
    }
  }

  /** Expiry of a token that is good for this lane. */
  #readBound(token: string): number {
    const { expiresAt, confirmation } = readUnverified(token);
    const now = this.#settings.clock.now();
    if (confirmation !== null && confirmation !== this.#svid.fingerprint) {
      throw new TokenSourceError(
        `the token source answered with a token bound to certificate ${confirmation}, but ours is ${this.#svid.fingerprint}`,
      );
    }
    if (expiresAt !== null && expiresAt <= now) {
      throw new TokenSourceError(
        `the token source answered with a token that expired ${Math.round((now - expiresAt) / 1000)} s ago; check the clocks`,
      );
    }
    return expiresAt ?? now + OPAQUE_LIFE_MS;
  }
}

/** When to try again after failures: twice as long each time, within bounds, with jitter. */
class Backoff {
  readonly #settings: LaneSettings;
  #failures = 0;
  #failure: Error | null = null;
  #retryAt = 0;

  constructor(settings: LaneSettings) {
    this.#settings = settings;
  }

  /** The last failure, while it is too early to try again. */
  current(): Error | null {
    const left = this.#retryAt - this.#settings.clock.now();
    // More than the longest wait is left only where the clock was set back.
    return left > 0 && left <= LONGEST_BACKOFF_MS ? this.#failure : null;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#failure = null;
  }

  failed(cause: unknown): Error {
    const error = cause instanceof TokenSourceError ? cause : new TokenSourceError(failureOf(cause));
    const { clock, random } = this.#settings;
    const longest = Math.min(LONGEST_BACKOFF_MS, FIRST_BACKOFF_MS * 2 ** this.#failures);
    this.#failures = Math.min(this.#failures + 1, 16);
    this.#failure = error;
    this.#retryAt = clock.now() + longest * (0.5 + 0.5 * random());
    return error;
  }
}

// Three parts of base64url: a JWT, or what is left of one.
const TOKENS = /[\w-]{16,}\.[\w-]{16,}(?:\.[\w-]*)*/g;
const LONGEST_MESSAGE = 300;

/** What a source said when it failed. Its message ends up in the status of the call; tokens in it do not. */
function failureOf(cause: unknown): string {
  if (!(cause instanceof Error)) return 'the token source failed';
  return cause.message.replace(TOKENS, '[token]').slice(0, LONGEST_MESSAGE);
}
