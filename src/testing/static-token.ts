/**
 * A token source with one token.
 *
 * @module
 */

import type { TokenSource } from '../token/types.js';

/**
 * A {@link TokenSource} that always answers with `jwt`, whatever is asked for: it neither refreshes nor looks at audience
 * or binding. For tests only.
 */
export function staticToken(jwt: string): TokenSource {
  return { getToken: () => Promise.resolve(jwt) };
}
