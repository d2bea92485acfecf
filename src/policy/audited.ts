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
  readonly #found: AuditedResource[] = [];
  #more = 0;

  constructor(hashKey: Uint8Array) {
    this.#hashKey = hashKey;
  }

  add(check: CheckRule, segments: readonly string[] | null): void {
    const { template } = check as CompiledCheck;
    if (segments === null || template === null) this.#found.push({ permission: check.permission, resource: null });
    else if (this.#found.length < MOST) {
      this.#found.push({ permission: check.permission, resource: nameOf(template, segments, this.#hashKey) });
    } else this.#more += 1;
  }

  /** What was added, and last how many more there were. */
  list(): readonly AuditedResource[] {
    if (this.#more > 0) this.#found.push({ permission: '', resource: `and ${this.#more} more` });
    this.#more = 0;
    return this.#found;
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
