/**
 * The resources of a message as the audit record shows them.
 *
 * @module
 */

import { createHmac } from 'node:crypto';
import type { CompiledCheck } from './authorizer.js';
import { eachResource, type Template } from './template.js';
import type { AuditedResource, MethodRule } from './types.js';

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
  const found: AuditedResource[] = [];
  let more = 0;
  for (const { permission, template } of rule.checks as readonly CompiledCheck[]) {
    if (template === null) {
      found.push({ permission, resource: null });
      continue;
    }
    const denial = eachResource(template, message, (segments) => {
      if (found.length < MOST) found.push({ permission, resource: nameOf(template, segments, hashKey) });
      else more += 1;
      return null;
    });
    if (denial !== null) found.push({ permission, resource: null });
  }
  if (more > 0) found.push({ permission: '', resource: `and ${more} more` });
  return found;
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
