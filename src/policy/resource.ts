/**
 * Resources named by handlers: segments, never concatenated text.
 *
 * @module
 */

import type { Resource, ResourceInput } from '../call.js';
import { isSegment } from '../pattern.js';

/**
 * Names a resource: `` resource`projects/${projectId}/tasks/${taskId}` ``. Each value is exactly one segment.
 *
 * It never throws: where a value is empty or holds a separator, wildcard, percent sign or control character, or where
 * text and value share a segment, the resource is one that no grant covers.
 */
export function resource(texts: TemplateStringsArray, ...values: readonly (string | number | bigint)[]): Resource {
  const segments: string[] = [];
  let sound = true;
  for (const [index, text] of texts.entries()) {
    const parts = text.split('/');
    const before = index === 0 ? null : parts.shift();
    const after = index === texts.length - 1 ? null : parts.pop();
    // Between two values, and beside each of them, stands nothing but a slash.
    if ((before ?? '') !== '' || (after ?? '') !== '') sound = false;
    if (before !== null && after === undefined) sound = false;
    segments.push(...parts);
    if (index < values.length) segments.push(String(values[index]));
  }
  return Object.freeze({ segments: Object.freeze(sound ? segments : []) }) as unknown as Resource;
}

/** The segments of a resource; `null` when it is none. */
export function segmentsOf(input: ResourceInput): readonly string[] | null {
  const segments = Array.isArray(input) ? (input as readonly unknown[]) : (input as Partial<Resource> | null)?.segments;
  if (!Array.isArray(segments) || segments.length === 0) return null;
  for (const segment of segments) if (typeof segment !== 'string' || !isSegment(segment)) return null;
  return segments as readonly string[];
}
