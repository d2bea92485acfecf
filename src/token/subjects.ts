/**
 * Whom an issuer may speak for.
 *
 * @module
 */

import type { SubjectPattern } from '../pattern.js';
import { isName } from './claims.js';

const MAX_SPIFFE_ID = 2048;
const LOOKS_LIKE_SPIFFE = /^\s*spiffe:/i;
// SPIFFE-ID specification, section 2: lower-case trust domain, path of one or more segments, none of them `.` or `..`.
const SPIFFE_ID = /^spiffe:\/\/[a-z0-9._-]{1,255}(?:\/(?!\.\.?(?:\/|$))[A-Za-z0-9._-]+)+$/;

/** Whether text is a SPIFFE ID of a workload: with a path, in its one spelling. */
export function isWorkloadId(text: string): boolean {
  return text.length <= MAX_SPIFFE_ID && SPIFFE_ID.test(text);
}

/**
 * Whether a subject may stand in a token: a name, and, where it looks like a SPIFFE ID, exactly one. A subject that is not
 * a workload never starts `spiffe:`, in no spelling.
 */
export function isSubject(value: unknown): value is string {
  return isName(value) && (!LOOKS_LIKE_SPIFFE.test(value) || isWorkloadId(value));
}

/** Whether one of the patterns matches. */
export function matchesAny(patterns: readonly SubjectPattern[], subject: string): boolean {
  for (const pattern of patterns) {
    if (pattern.matches(subject)) return true;
  }
  return false;
}
