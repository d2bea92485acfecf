/**
 * The `authorization` metadata (RFC 6750, section 2.1).
 *
 * @module
 */

import { type Denial, deny } from '../errors.js';
import { MAX_TOKEN_BYTES } from './jws.js';

const SCHEME_LENGTH = 'Bearer '.length;
const TOKEN = /^[A-Za-z0-9._-]+$/;
const SCHEME = /^bearer $/i;

/**
 * The token of `metadata.get('authorization')`: exactly one value, scheme `Bearer` in any case, one space, a token of at
 * most 8 KiB in the alphabet of a JWS. Two values that were joined with a comma on the way are refused with it.
 *
 * Does not check anything about the token itself.
 *
 * @returns the token, or `TOKEN_MISSING` or `TOKEN_MALFORMED`
 */
export function parseBearer(values: readonly unknown[]): string | Denial {
  if (values.length === 0) return deny('TOKEN_MISSING', 'no authorization metadata');
  const value = values[0];
  if (values.length > 1) return deny('TOKEN_MALFORMED', 'more than one authorization value');
  if (typeof value !== 'string') return deny('TOKEN_MALFORMED', 'the authorization value is not text');
  if (value.length > SCHEME_LENGTH + MAX_TOKEN_BYTES) return deny('TOKEN_MALFORMED', 'the token is longer than 8 KiB');
  if (!SCHEME.test(value.slice(0, SCHEME_LENGTH))) return deny('TOKEN_MALFORMED', 'the scheme is not Bearer');
  const token = value.slice(SCHEME_LENGTH);
  return TOKEN.test(token) ? token : deny('TOKEN_MALFORMED', 'the token holds characters that no JWS has');
}
