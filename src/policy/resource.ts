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
 * It never throws. The resource is one that no grant covers where a value is empty, holds a separator, wildcard, percent
 * sign or control character, is a number that is not an exact integer or anything but text and numbers (`undefined` is
 * not the text "undefined"), and where text and value share a segment.
 */
export function resource(texts: TemplateStringsArray, ...values: readonly (string | number | bigint)[]): Resource {
  const segments: string[] = [];
  let sound = true;
  for (const [index, text] of texts.entries()) {
    // An invalid escape leaves no text at all.
    const parts = ((text as string | undefined) ?? '').split('/');
    sound &&= text !== undefined;
    const before = index === 0 ? null : parts.shift();
    const after = index === texts.length - 1 ? null : parts.pop();
    // Between two values, and beside each of them, stands nothing but a slash.
    if ((before ?? '') !== '' || (after ?? '') !== '') sound = false;
    if (before !== null && after === undefined) sound = false;
    segments.push(...parts);
    if (index === values.length) continue;
    const segment = textOf(values[index]);
    if (segment === null) sound = false;
    else segments.push(segment);
  }
  return Object.freeze({ segments: Object.freeze(sound ? segments : []) }) as unknown as Resource;
}

function textOf(value: unknown): string | null {
  if (typeof value === 'string') return isSegment(value) ? value : null;
  return typeof value === 'bigint' || Number.isSafeInteger(value) ? String(value) : null;
}

/** The segments of a resource; `null` when it is none. */
export function segmentsOf(input: ResourceInput): readonly string[] | null {
  const segments = Array.isArray(input) ? (input as readonly unknown[]) : (input as Partial<Resource> | null)?.segments;
  if (!Array.isArray(segments) || segments.length === 0) return null;
  for (const segment of segments) if (typeof segment !== 'string' || !isSegment(segment)) return null;
  return segments as readonly string[];
}
