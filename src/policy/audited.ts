/**
 * The resources of a message as the audit record shows them.
 *
 * @module
 */

import { createHmac } from 'node:crypto';
import type { CompiledCheck } from './authorizer.js';
import { eachResource, type Template } from './template.js';
import type { AuditedResource, CheckRule, MethodRule, ResourceLog } from './types.js';

const MOST = 16;
const HASH_LENGTH = 22;

/**
 * The resource names a message is about. Values of sensitive fields are replaced by a keyed hash, so that records about
 * the same value can be found without it. At most 16; a last entry says how many more there were. Never throws.
 */
export function auditedResources(rule: MethodRule, message: unknown, hashKey: Uint8Array): readonly AuditedResource[] {
  try {
    return collect(rule, message, hashKey);
  } catch {
    // A message whose properties throw names nothing that could be recorded; the decision is made elsewhere.
    return rule.checks.map(({ permission }) => ({ permission, resource: null }));
  }
}

function collect(rule: MethodRule, message: unknown, hashKey: Uint8Array): readonly AuditedResource[] {
  const log = new AuditedResources(hashKey);
  for (const check of rule.checks as readonly CompiledCheck[]) {
    if (check.template === null) {
      log.add(check, null);
      continue;
    }
    const denial = eachResource(check.template, message, (segments) => {
      log.add(check, segments);
      return null;
    });
    if (denial !== null) log.add(check, null);
  }
  return log.list();
}

/** The resources of one message in the making. */
export class AuditedResources implements ResourceLog {
  readonly #hashKey: Uint8Array;
  #found: AuditedResource[] | null = null;
  #more = 0;

  constructor(hashKey: Uint8Array) {
    this.#hashKey = hashKey;
  }

  add(check: CheckRule, segments: readonly string[] | null): void {
    const { template } = check as CompiledCheck;
    if (this.#found !== null && this.#found.length >= MOST && segments !== null) {
      this.#more += 1;
      return;
    }
    const resource = segments === null || template === null ? null : nameOf(template, segments, this.#hashKey);
    const entry = { permission: check.permission, resource };
    // Most often it stays with one: a list that is made of it has no room to spare.
    if (this.#found === null) this.#found = [entry];
    else this.#found.push(entry);
  }

  /** What was added, and last how many more there were. */
  list(): readonly AuditedResource[] {
    const found = this.#found ?? [];
    if (this.#more > 0) found.push({ permission: '', resource: `and ${this.#more} more` });
    this.#more = 0;
    return found;
  }
}

function nameOf(template: Template, segments: readonly string[], hashKey: Uint8Array): string {
  if (!template.sensitive) return segments.join('/');
  const { segments: parts, placeholders } = template;
  const shown = parts.map((part, index) => {
    const segment = segments[index] ?? '';
    if (typeof part === 'string' || placeholders[part]?.sensitive !== true) return segment;
    return `hmac:${createHmac('sha256', hashKey).update(segment).digest('base64url').slice(0, HASH_LENGTH)}`;
  });
  return shown.join('/');
}
