/**
 * From an option as the protobufjs parser left it to our message, strictly: whatever is not exactly what the field
 * takes is a mistake, never a guess.
 *
 * @module
 */

import { create, type DescField, type DescMessage, type MessageShape, ScalarType } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';
import { MISREAD, QUOTED } from './load-protos-source.js';

/** Told of each mistake, with its path within the option. */
export type ReportValue = (path: string, problem: string, remedy: string) => void;

const DESCRIPTOR_SET = 'use a descriptor set from `buf build`';

/**
 * Converts `value`, reporting every mistake on the way; a field with a mistake stays unset. Accepts a repeated field
 * written once, as a list, or several times; a number in place of an enum name only if the enum has it.
 */
export function optionMessage<T extends DescMessage>(
  schema: T,
  value: unknown,
  path: string,
  report: ReportValue,
): MessageShape<T> {
  const message = create(schema);
  fill(reflect(schema, message), value, path, report);
  return message;
}

function fill(message: ReflectMessage, value: unknown, path: string, report: ReportValue): void {
  if (!isRecord(value)) {
    report(path, `${shown(value)} is not a message`, 'Write { ... } with the fields of the option');
    return;
  }
  for (const [name, given] of Object.entries(value)) {
    const at = `${path}.${name}`;
    const field = message.fields.find((candidate) => candidate.name === name);
    if (field === undefined) report(at, 'there is no such field', `Use one of ${names(message.desc)}`);
    else if (field.fieldKind === 'list') fillList(message, field, given, at, report);
    else if (Array.isArray(given)) report(at, 'the field is set more than once', 'Set it once');
    else {
      const converted = convert(field, given, at, report);
      if (converted !== undefined) message.set(field, converted);
    }
  }
}

function fillList(
  message: ReflectMessage,
  field: DescField & { fieldKind: 'list' },
  given: unknown,
  path: string,
  report: ReportValue,
): void {
  const items: readonly unknown[] = Array.isArray(given) ? given : [given];
  // A dotted name into a list leaves a property beside its items, which no compiler would accept.
  if (Object.keys(items).length !== items.length) report(path, 'part of a list is set by name', 'Write whole items');
  const list = message.get(field);
  for (const item of items) {
    const converted = convert(field, item, path, report);
    if (converted !== undefined) list.add(converted);
  }
}

function convert(field: DescField, value: unknown, path: string, report: ReportValue): unknown {
  if (field.message !== undefined && field.fieldKind !== 'map') {
    const inner = reflect(field.message);
    fill(inner, value, path, report);
    return inner;
  }
  const problem = (wanted: string): undefined => {
    report(path, `${shown(value)} is not ${wanted}`, `Write ${wanted}, or ${DESCRIPTOR_SET}`);
  };
  if (field.enum !== undefined) {
    const known = field.enum.values.find((candidate) =>
      typeof value === 'number' ? candidate.number === value : candidate.name === value,
    );
    return known?.number ?? problem(`one of ${field.enum.values.map((candidate) => candidate.name).join(', ')}`);
  }
  switch (field.scalar) {
    case ScalarType.STRING:
      if (typeof value !== 'string' || !value.startsWith(QUOTED)) return problem('a string');
      if (!value.includes(MISREAD)) return value.replaceAll(QUOTED, '');
      report(path, 'the string has an escape that is misread', `Write the character itself, or ${DESCRIPTOR_SET}`);
      return undefined;
    case ScalarType.BOOL:
      if (value === 'True' || value === 't') return true;
      if (value === 'False' || value === 'f') return false;
      return typeof value === 'boolean' ? value : problem('true or false');
    case ScalarType.INT64:
      return Number.isSafeInteger(value) ? BigInt(value as number) : problem('an exact integer');
    case ScalarType.INT32:
      return isIntegerBetween(value, -(2 ** 31), 2 ** 31 - 1) ? value : problem('a 32-bit integer');
    case ScalarType.UINT32:
      return isIntegerBetween(value, 0, 2 ** 32 - 1) ? value : problem('an unsigned 32-bit integer');
    default:
      return problem('a value this version can read');
  }
}

function isIntegerBetween(value: unknown, low: number, high: number): boolean {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function names(desc: DescMessage): string {
  return desc.fields.map((field) => field.name).join(', ');
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return JSON.stringify(value.replaceAll(QUOTED, ''));
  return isRecord(value) ? 'a message' : (JSON.stringify(value) ?? String(value));
}
