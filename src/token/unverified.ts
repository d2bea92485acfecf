/**
 * What a client reads in its own tokens, without verifying them.
 *
 * @module
 */

import { decodeBase64url } from './base64url.js';
import { isJsonObject, parseStrictJson } from './strict-json.js';

const MAX_PAYLOAD_BYTES = 64 * 1024;

/** What a token says about itself; all `null` for a token that is no JWT. Good for planning, never for trusting. */
export interface UnverifiedToken {
  /** Milliseconds since the Unix epoch. */
  readonly expiresAt: number | null;
  /** `cnf.x5t#S256`. */
  readonly confirmation: string | null;
}

/** Reads `exp` and `cnf` of a token that was just obtained. Verifies nothing. */
export function readUnverified(token: string): UnverifiedToken {
  const parts = token.split('.');
  const bytes = parts.length === 3 ? decodeBase64url(parts[1] ?? '') : null;
  const parsed = bytes === null ? null : parseStrictJson(bytes, { maxBytes: MAX_PAYLOAD_BYTES });
  const payload = parsed !== null && 'value' in parsed && isJsonObject(parsed.value) ? parsed.value : {};
  const { exp, cnf } = payload;
  const thumbprint = isJsonObject(cnf) ? cnf['x5t#S256'] : undefined;
  return {
    expiresAt: typeof exp === 'number' ? exp * 1000 : null,
    confirmation: typeof thumbprint === 'string' ? thumbprint : null,
  };
}
