/**
 * Resource templates: `projects/{project_id}/tasks/{task.id}` over the fields of a request.
 *
 * @module
 */

import { type Denial, deny } from '../errors.js';
import { isSegment } from '../pattern.js';
import type { FieldModel, MessageModel } from './schema.js';
import { spelledLike } from './spelling.js';
import { memberOf, type Step, stepTo, textOf, Unreadable } from './value.js';

/** One `{path}` of a template: the fields that lead to its value. */
export interface Placeholder {
  readonly path: string;
  readonly leaf: FieldModel;
  /** From the request, or from the element of the repeated field where there is one on the way. */
  readonly steps: readonly Step[];
  readonly inElement: boolean;
  readonly sensitive: boolean;
}

/** A template checked against a request type. */
export interface Template {
  readonly text: string;
  /** Literal segments as text, the others by their index in `placeholders`. */
  readonly segments: readonly (string | number)[];
  readonly placeholders: readonly Placeholder[];
  /** Whether one of the fields is marked sensitive. */
  readonly sensitive: boolean;
  /** The way to the one repeated field every element of which is a resource; `null` when there is none. */
  readonly each: { readonly path: string; readonly steps: readonly Step[] } | null;
}

/** What is wrong with a template. */
export interface TemplateProblem {
  readonly problem: string;
  readonly remedy: string;
}

/** Checks a template against a request type and prepares it. */
export function compileTemplate(text: string, input: MessageModel): Template | TemplateProblem {
  const segments: (string | number)[] = [];
  const placeholders: Placeholder[] = [];
  let each: Template['each'] = null;
  for (const part of text.split('/')) {
    if (isSegment(part) && !/[{}=]/.test(part)) {
      segments.push(part);
      continue;
    }
    const inner = /^\{([^{}]*)\}$/.exec(part)?.[1];
    if (inner === undefined) {
      if (/\{[^{}/]*=/.test(text)) {
        return {
          problem: `the shape of a resource name in '${text}' is not supported yet`,
          remedy: 'Name the fields one by one: projects/{project_id}',
        };
      }
      return {
        problem: `'${part}' in '${text}' is neither a segment nor one {field}`,
        remedy: 'Write projects/{project_id}/tasks/{task.id}',
      };
    }
    if (inner.includes('=')) {
      return {
        problem: `the shape '{${inner}}' is not supported yet`,
        remedy: 'Name the fields one by one: projects/{project_id}',
      };
    }
    const found = resolve(inner, input);
    if ('problem' in found) return found;
    if (found.each !== null) {
      if (each !== null && each.path !== found.each.path) {
        return {
          problem: `'${text}' goes through two repeated fields, ${each.path} and ${found.each.path}`,
          remedy: 'Go through one; write a second `require` for the other',
        };
      }
      each = found.each;
    }
    segments.push(placeholders.length);
    placeholders.push(found.placeholder);
  }
  return { text, segments, placeholders, sensitive: placeholders.some((one) => one.sensitive), each };
}

type Resolved = { readonly placeholder: Placeholder; readonly each: Template['each'] };

function resolve(path: string, input: MessageModel): Resolved | TemplateProblem {
  const names = path.split('.');
  let at: MessageModel | null = input;
  let steps: Step[] = [];
  let each: Template['each'] = null;
  let sensitive = false;
  let leaf: FieldModel | null = null;
  for (const [index, name] of names.entries()) {
    const last = index === names.length - 1;
    const field: FieldModel | undefined = at?.fields.get(name);
    if (field === undefined || at === null) {
      const known = at === null ? [] : [...at.fields.keys()];
      return {
        problem: `${at?.typeName ?? input.typeName} has no field '${name}' ('{${path}}')`,
        remedy: known.length === 0 ? 'It has no fields' : `Use one of ${known.join(', ')}`,
      };
    }
    const alike = spelledLike(field, at);
    if (alike !== null) {
      return {
        problem: `'${name}' and '${alike}' of ${at.typeName} become one property in some loaders ('{${path}}')`,
        remedy: 'Rename one of them, so that the value of one cannot be taken for the other',
      };
    }
    leaf = field;
    sensitive ||= field.sensitive;
    steps.push(stepTo(field, at));
    if (field.repeated) {
      if (field.kind === 'other') return notAName(path, field);
      if (each !== null)
        return {
          problem: `'{${path}}' goes through a repeated field inside another`,
          remedy: 'Go through one repeated field at most',
        };
      each = { path: names.slice(0, index + 1).join('.'), steps };
      steps = [];
    }
    if (last) {
      if (field.kind === 'other' || field.kind === 'message') return notAName(path, field);
    } else if (field.kind !== 'message' || field.message === null) {
      return {
        problem: `'${name}' in '{${path}}' is not a message`,
        remedy: 'A path goes through messages to a string, an integer or an enum',
      };
    }
    at = field.message === null ? null : field.message();
  }
  if (leaf === null) return { problem: 'an empty {}', remedy: 'Name a field' };
  return { placeholder: { path, leaf, steps, inElement: each !== null, sensitive }, each };
}

function notAName(path: string, field: FieldModel): TemplateProblem {
  const what = field.kind === 'message' ? 'a message' : 'a map, bytes, bool or floating-point field';
  return { problem: `'{${path}}' is ${what}`, remedy: 'A resource is named by strings, integers and enums' };
}

/** The segments of the one resource a message names. The template goes through no repeated field. */
export function soleResource(template: Template, message: unknown): readonly string[] | Denial {
  if (typeof message !== 'object' || message === null) return deny('RESOURCE_INVALID', 'the request is not a message');
  const segments = fill(template, message, undefined);
  return segments instanceof Unreadable ? denialOf(segments) : segments;
}

/** What is done with each resource a message names. */
export type ResourceVisitor = (segments: readonly string[]) => Denial | null;

/**
 * Reads the resources a message names and gives each, as segments, to `visit`; stops at the first denial. Nothing is
 * normalised; empty and malformed values deny.
 */
export function eachResource(template: Template, message: unknown, visit: ResourceVisitor): Denial | null {
  const { each } = template;
  if (each === null) {
    const segments = soleResource(template, message);
    return 'reason' in segments ? segments : visit(segments);
  }
  if (typeof message !== 'object' || message === null) return deny('RESOURCE_INVALID', 'the request is not a message');
  let elements: unknown = message;
  for (const step of each.steps) {
    elements = memberOf(elements, step);
    if (elements instanceof Unreadable) return denialOf(elements);
  }
  if (elements === undefined) return deny('RESOURCE_EMPTY', `${each.path} is empty`);
  if (!Array.isArray(elements)) return deny('RESOURCE_INVALID', `${each.path} is not a list`);
  if (elements.length === 0) return deny('RESOURCE_EMPTY', `${each.path} is empty`);
  for (const element of elements) {
    const segments = fill(template, message, element);
    const denial = segments instanceof Unreadable ? denialOf(segments) : visit(segments);
    if (denial !== null) return denial;
  }
  return null;
}

function fill({ segments, placeholders }: Template, message: object, element: unknown): string[] | Unreadable {
  const filled = new Array<string>(segments.length);
  for (let i = 0; i < segments.length; i++) {
    const part = segments[i] as string | number;
    if (typeof part === 'string') {
      filled[i] = part;
      continue;
    }
    const { inElement, steps, leaf } = placeholders[part] as Placeholder;
    let value: unknown = inElement ? element : message;
    for (const step of steps) {
      value = memberOf(value, step);
      if (value instanceof Unreadable) return value;
    }
    const text = textOf(value, leaf);
    if (typeof text !== 'string') return text;
    filled[i] = text;
  }
  return filled;
}

function denialOf({ reason, detail }: Unreadable): Denial {
  return deny(reason, detail);
}
