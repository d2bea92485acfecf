/**
 * Tokens that an agent beside us writes to a file.
 *
 * @module
 */

import type { Closeable } from '../lifecycle.js';
import { FileReadError, readBounded } from '../watched-file.js';
import { MAX_TOKEN_BYTES } from './jws.js';
import type { TokenRequest, TokenSource } from './types.js';

/** Why a client has no token. The message never holds a token. */
export class TokenSourceError extends Error {
  override readonly name = 'TokenSourceError';
}

/** Whether a value can be sent as a bearer token (RFC 6750, section 2.1): nothing else may stand in the metadata. */
export function isBearerToken(value: unknown): value is string {
  return typeof value === 'string' && TOKEN.test(value);
}

// Room for the white space that editors and shells leave behind.
const MAX_FILE_BYTES = MAX_TOKEN_BYTES + 64;
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/**
 * A token source that reads the token in a file, whatever the audience: the file belongs to one. It is read again each time
 * a token is wanted, so that a file that was replaced is followed; white space around the token is dropped.
 *
 * Does not check the token: signature, audience and binding are the server's to check (the token cache of the client guard
 * compares the binding).
 *
 * `getToken` throws a {@link TokenSourceError} when the file cannot be read, holds no token, or, asked for another token
 * than the one refused, still holds the same.
 */
export function fileTokens(path: string): TokenSource & Closeable {
  return new FileTokens(path);
}

class FileTokens implements TokenSource, Closeable {
  readonly #path: string;
  #last: string | null = null;
  #closed = false;

  constructor(path: string) {
    this.#path = path;
  }

  async getToken({ refresh }: TokenRequest): Promise<string> {
    if (this.#closed) throw new TokenSourceError(`fileTokens(${this.#path}): used after close()`);
    const token = await this.#read();
    if (refresh && token === this.#last) {
      throw new TokenSourceError(`fileTokens(${this.#path}): the file still holds the token that was refused`);
    }
    this.#last = token;
    return token;
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#last = null;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  async #read(): Promise<string> {
    let bytes: Uint8Array;
    try {
      bytes = await readBounded(this.#path, MAX_FILE_BYTES);
    } catch (error) {
      const why = error instanceof FileReadError ? error.message : 'it cannot be read';
      throw new TokenSourceError(`fileTokens(${this.#path}): ${why}`);
    }
    const token = Buffer.from(bytes).toString('latin1').trim();
    if (token.length > MAX_TOKEN_BYTES || !isBearerToken(token)) {
      throw new TokenSourceError(`fileTokens(${this.#path}): the file does not hold one token of at most 8 KiB`);
    }
    return token;
  }
}
