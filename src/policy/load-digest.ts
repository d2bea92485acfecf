/**
 * One short text that names a set of rules.
 *
 * @module
 */

import { createHash } from 'node:crypto';
import type { MethodRule } from './types.js';

/**
 * SHA-256 (base64url) over a canonical JSON text of the rules: sorted by method, members in fixed order, patterns by
 * their text. Equal for equal rules, whatever they were loaded from. It does *not* cover request types beyond what the
 * templates name, nor field annotations.
 */
export function policyDigest(rules: Iterable<MethodRule>): string {
  const sorted = [...rules].sort((a, b) => (a.method < b.method ? -1 : a.method > b.method ? 1 : 0));
  const canonical = sorted.map((rule) => ({
    method: rule.method,
    requestStream: rule.requestStream,
    responseStream: rule.responseStream,
    mode: rule.mode,
    because: rule.because,
    checks: rule.checks.map(({ permission, resource }) => ({ permission, resource })),
    callers: rule.callers.map((list) => list.map((pattern) => pattern.text)),
    delegation: rule.delegation,
    singleUse: rule.singleUse,
    maxTokenAgeMs: rule.maxTokenAgeMs,
    maxStreamAgeMs: rule.maxStreamAgeMs,
    audit: { level: rule.audit.level, required: rule.audit.required },
  }));
  return createHash('sha256').update(JSON.stringify(canonical)).digest('base64url');
}
