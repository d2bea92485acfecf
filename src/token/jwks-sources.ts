/**
 * Where the public keys of an issuer come from.
 *
 * @module
 */

import { createHash } from 'node:crypto';
import type { JSONWebKeySet } from 'jose';
import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError, type Problem } from '../errors.js';
import { Listeners } from '../lifecycle.js';
import { FileReadError, readBounded, type Watch, watchPaths } from '../watched-file.js';
import { MAX_JWKS_BYTES, parseJwks } from './keys.js';
import type { JwksSource } from './types.js';

/**
 * A key set that never changes.
 *
 * @param jwks public keys only; `null` stands for a source without keys, under which every token is refused
 * @throws ConfigurationError when the set is wrong, see `parseJwks`
 */
export function staticJwks(jwks: JSONWebKeySet | null): JwksSource {
  let copy: JSONWebKeySet | null = null;
  if (jwks !== null) {
    parseJwks(jwks, 'jwks');
    copy = deepFreeze(structuredClone(jwks));
  }
  return {
    ready: async () => {},
    current: () => copy,
    onChange: () => () => {},
    refresh: async () => {},
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

/** Options of {@link fileJwks}. */
export interface FileJwksOptions {
  readonly clock?: Clock;
  /** The file is read again at least this often, whether or not a change was announced. Default 30. */
  readonly rereadSeconds?: number;
  /** Past this age of the last good reading there are no keys: every token is refused. Default: no bound. */
  readonly maxStaleSeconds?: number;
}

/** A key set kept in a file. */
export interface FileJwks extends JwksSource {
  /** Why the last reading was refused; `null` when the file as it stands is in use. */
  readonly lastError: Problem | null;
}

const REFRESH_COOL_DOWN_MS = 1000;

/**
 * A key set in a file, watched: it follows writes, renames and swapped symbolic links. The first reading is strict; later
 * a torn, empty, malformed or vanished file changes nothing, the last good set stays until `maxStaleSeconds`.
 *
 * Does not check who wrote the file.
 *
 * `ready()` throws a `ConfigurationError` naming the file when it holds no good key set.
 */
export function fileJwks(path: string, options: FileJwksOptions = {}): FileJwks {
  return new FileJwksSource(path, options);
}

class FileJwksSource implements FileJwks {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #rereadMs: number;
  readonly #maxStaleMs: number;
  readonly #listeners = new Listeners<void>();
  readonly #closing = new AbortController();
  #watch: Watch | null = null;
  #ready: Promise<void> | null = null;
  #reading: Promise<void> | null = null;
  #again = false;
  #jwks: JSONWebKeySet | null = null;
  #digest = '';
  #goodAt = Number.NEGATIVE_INFINITY;
  #refreshedAt = Number.NEGATIVE_INFINITY;
  #problems: readonly Problem[] = [];

  constructor(path: string, { clock = systemClock, rereadSeconds = 30, maxStaleSeconds }: FileJwksOptions) {
    const problems: Problem[] = [];
    const remedy = 'Give a positive number of seconds';
    if (!(rereadSeconds > 0)) problems.push({ place: 'rereadSeconds', problem: 'it is not positive', remedy });
    if (maxStaleSeconds !== undefined && !(maxStaleSeconds > 0)) {
      problems.push({ place: 'maxStaleSeconds', problem: 'it is not positive', remedy });
    }
    if (problems.length > 0) throw new ConfigurationError(`fileJwks(${path})`, problems);
    this.#path = path;
    this.#clock = clock;
    this.#rereadMs = rereadSeconds * 1000;
    this.#maxStaleMs = maxStaleSeconds === undefined ? Number.POSITIVE_INFINITY : maxStaleSeconds * 1000;
  }

  get lastError(): Problem | null {
    return this.#problems[0] ?? null;
  }

  ready(): Promise<void> {
    this.#ready ??= this.#start();
    return this.#ready;
  }

  current(): JSONWebKeySet | null {
    return this.#clock.now() - this.#goodAt > this.#maxStaleMs ? null : this.#jwks;
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  async refresh(): Promise<void> {
    const now = this.#clock.now();
    // A clock that went back must not hold refreshing up.
    const since = now - this.#refreshedAt;
    if (since >= 0 && since < REFRESH_COOL_DOWN_MS && this.#reading === null) return;
    this.#refreshedAt = now;
    await this.#read();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#watch?.close();
    this.#listeners.clear();
    await this.#reading;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #start(): Promise<void> {
    if (this.#closing.signal.aborted) throw new Error('fileJwks: used after close()');
    // Watching before reading: a change in between is seen twice rather than not at all.
    this.#watch = watchPaths([this.#path], () => void this.#read());
    await this.#read();
    if (this.#jwks === null) {
      this.#watch.close();
      throw new ConfigurationError(`Key set ${this.#path}`, this.#problems);
    }
    void this.#rereadForever();
  }

  async #rereadForever(): Promise<void> {
    const { signal } = this.#closing;
    while (!signal.aborted) {
      await this.#clock.delay(this.#rereadMs, signal);
      if (signal.aborted) return;
      this.#watch?.rearm();
      await this.#read();
    }
  }

  /** One reading at a time; a change announced during one causes one more. */
  #read(): Promise<void> {
    if (this.#reading !== null) {
      this.#again = true;
      return this.#reading;
    }
    const reading = (async () => {
      do {
        this.#again = false;
        await this.#readOnce();
      } while (this.#again && !this.#closing.signal.aborted);
    })().finally(() => {
      this.#reading = null;
    });
    this.#reading = reading;
    return reading;
  }

  async #readOnce(): Promise<void> {
    try {
      const bytes = await readBounded(this.#path, MAX_JWKS_BYTES);
      const digest = createHash('sha256').update(bytes).digest('base64url');
      const changed = digest !== this.#digest;
      if (changed) {
        parseJwks(bytes, this.#path);
        this.#jwks = deepFreeze(JSON.parse(Buffer.from(bytes).toString('utf8')) as JSONWebKeySet);
        this.#digest = digest;
      }
      this.#goodAt = this.#clock.now();
      this.#problems = [];
      if (changed && !this.#closing.signal.aborted) this.#listeners.emit();
    } catch (error) {
      this.#problems =
        error instanceof ConfigurationError
          ? error.problems
          : [unreadable(this.#path, error instanceof FileReadError ? error.message : 'it cannot be read')];
    }
  }
}

function unreadable(place: string, problem: string): Problem {
  return { place, problem, remedy: 'Write a JWK set there, by writing beside it and renaming' };
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner);
    Object.freeze(value);
  }
  return value;
}
