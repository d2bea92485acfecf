/**
 * One name for what is enforced.
 *
 * @module
 */

import { createHash } from 'node:crypto';
import type { MethodRule } from './types.js';

/** SHA-256 over the rules in canonical form, base64url: equal for equal rules, whatever they were loaded from. */
export function digestOf(rules: ReadonlyMap<string, MethodRule>): string {
  const canonical = [...rules.values()]
    .sort((a, b) => (a.method < b.method ? -1 : 1))
    .map((rule) => [
      rule.method,
      rule.requestStream,
      rule.responseStream,
      rule.mode,
      rule.because,
      rule.checks.map((check) => [check.permission, check.resource]),
      rule.callers.map((list) => list.map((pattern) => pattern.text)),
      rule.delegation,
      rule.singleUse,
      rule.maxTokenAgeMs,
      rule.maxStreamAgeMs,
      rule.audit.level,
      rule.audit.required,
    ]);
  return createHash('sha256').update(JSON.stringify(canonical)).digest('base64url');
}
