/**
 * Values read from the very object the handler gets, whichever loader made it: own properties only, by descriptor.
 *
 * @module
 */

import type { Reason } from '../errors.js';
import { isSegment } from '../pattern.js';
import type { FieldModel, MessageModel } from './schema.js';

/** Why a value could not be read. A class of its own: no message of a caller can look like one. */
export class Unreadable {
  readonly reason: Reason;
  readonly detail: string;
  constructor(reason: 'RESOURCE_EMPTY' | 'RESOURCE_INVALID', detail: string) {
    this.reason = reason;
    this.detail = detail;
  }
}

/** One field on the way to a value. */
export interface Step {
  readonly field: FieldModel;
  readonly within: MessageModel;
  /** The oneof of the field as protobuf-es names it; `null` when it is in none. */
  readonly oneof: string | null;
  /** The other members of that oneof. */
  readonly siblings: readonly FieldModel[];
}

/** Prepares the step to a field. */
export function stepTo(field: FieldModel, within: MessageModel): Step {
  const { oneof } = field;
  return {
    field,
    within,
    oneof: oneof === null ? null : camelCase(oneof),
    siblings: oneof === null ? [] : [...within.fields.values()].filter((f) => f.oneof === oneof && f !== field),
  };
}

/** The value of a field, `undefined` where it is unset, or why it cannot be read. */
export function memberOf(object: unknown, step: Step): unknown {
  const { field } = step;
  if (object === undefined || object === null) return undefined;
  if (typeof object !== 'object' || Array.isArray(object))
    return invalid(field, 'lies in something that is not a message');
  if (step.oneof !== null) return oneofMember(object, step, step.oneof);
  const value = ownValue(object, field);
  return value === undefined ? absent(object, step) : value;
}

/** One segment of a resource name: the exact text of a scalar, or why it is none. */
export function textOf(value: unknown, field: FieldModel): string | Unreadable {
  if (value === undefined || value === null) return empty(field);
  switch (field.kind) {
    case 'string':
      if (typeof value !== 'string') return invalid(field, 'is not a string');
      if (value === '') return empty(field);
      return isSegment(value) ? value : invalid(field, 'holds what no segment of a resource name may hold');
    case 'integer':
      return integerText(value, field);
    case 'enum':
      return enumText(value, field);
    default:
      return invalid(field, 'is not a scalar');
  }
}

function ownValue(object: object, field: FieldModel): unknown {
  let found: unknown;
  for (const name of spellingsOf(field)) {
    if (!Object.hasOwn(object, name)) continue;
    const value = (object as Record<string, unknown>)[name] ?? undefined;
    if (value === undefined || value === found) continue;
    if (found !== undefined) return invalid(field, 'is given in two spellings that differ');
    found = value;
  }
  return found;
}

const spellings = new WeakMap<FieldModel, readonly string[]>();

/** Under which names loaders put a field: as written, and camel-cased as protobuf-es and as protobufjs do it. */
function spellingsOf(field: FieldModel): readonly string[] {
  let known = spellings.get(field);
  if (known === undefined) {
    const protobufjs = field.name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
    known = [...new Set([field.name, field.localName, protobufjs])];
    spellings.set(field, known);
  }
  return known;
}

function oneofMember(object: object, step: Step, oneof: string): unknown {
  const { field, siblings } = step;
  const group = Object.hasOwn(object, oneof) ? (object as Record<string, unknown>)[oneof] : undefined;
  // protobuf-es: { case: 'byNumber', value }.
  if (typeof group === 'object' && group !== null && Object.hasOwn(group, 'case')) {
    const { case: which, value } = group as { case?: unknown; value?: unknown };
    return which === field.localName ? (value ?? undefined) : undefined;
  }
  const value = ownValue(object, field);
  if (value instanceof Unreadable) return value;
  for (const sibling of siblings) {
    if (value !== undefined && ownValue(object, sibling) !== undefined) {
      return invalid(field, `and ${sibling.name} are both set, of which one may be`);
    }
  }
  return value === undefined ? absent(object, step) : value;
}

/** Unset, unless the object is of a shape we cannot read: then nothing may be concluded from what is missing. */
function absent(object: object, { field, within }: Step): undefined | Unreadable {
  for (const key of Object.keys(object)) {
    if (key.startsWith('$')) continue;
    if (!namesOf(within).has(key)) return invalid(field, 'is missing from a message of an unknown shape');
  }
  return undefined;
}

const knownNames = new WeakMap<MessageModel, ReadonlySet<string>>();

function namesOf(model: MessageModel): ReadonlySet<string> {
  let names = knownNames.get(model);
  if (names === undefined) {
    const all = new Set<string>();
    for (const field of model.fields.values()) {
      const { name, localName, oneof } = field;
      for (const one of spellingsOf(field)) all.add(one);
      if (oneof !== null) all.add(oneof).add(camelCase(oneof));
      // proto-loader shows the synthetic oneof of a proto3 optional field.
      all
        .add(`_${name}`)
        .add(`_${localName}`)
        .add(camelCase(`_${name}`));
    }
    names = all;
    knownNames.set(model, names);
  }
  return names;
}

const INTEGER = /^-?[1-9][0-9]{0,19}$/;

function integerText(value: unknown, field: FieldModel): string | Unreadable {
  if (typeof value === 'number') {
    if (!Number.isSafeInteger(value)) return invalid(field, 'is not an exact integer');
    return value === 0 ? empty(field) : String(value);
  }
  if (typeof value === 'bigint') return value === 0n ? empty(field) : value.toString();
  if (typeof value === 'string') {
    if (value === '0' || value === '') return empty(field);
    return INTEGER.test(value) ? value : invalid(field, 'is not an integer in decimal');
  }
  if (typeof value === 'object' && value !== null && Object.hasOwn(value, 'low') && Object.hasOwn(value, 'high')) {
    const { low, high, unsigned } = value as { low: unknown; high: unknown; unsigned?: unknown };
    if (!Number.isInteger(low) || !Number.isInteger(high)) return invalid(field, 'is not an exact integer');
    const bits = (BigInt(high as number) << 32n) | BigInt.asUintN(32, BigInt(low as number));
    const exact = unsigned === true ? BigInt.asUintN(64, bits) : BigInt.asIntN(64, bits);
    return exact === 0n ? empty(field) : exact.toString();
  }
  return invalid(field, 'is not an integer');
}

function enumText(value: unknown, field: FieldModel): string | Unreadable {
  const names = field.enumNames;
  if (names === null) return invalid(field, 'is of an unknown enum');
  if (typeof value === 'number') {
    if (value === 0) return empty(field);
    return names.get(value) ?? invalid(field, 'is an unknown enum value');
  }
  if (typeof value !== 'string') return invalid(field, 'is not an enum value');
  if (value === names.get(0)) return empty(field);
  for (const name of names.values()) if (name === value) return name;
  return invalid(field, 'is an unknown enum value');
}

function empty(field: FieldModel): Unreadable {
  return new Unreadable('RESOURCE_EMPTY', `${field.name} is empty`);
}

function invalid(field: FieldModel, why: string): Unreadable {
  return new Unreadable('RESOURCE_INVALID', `${field.name} ${why}`);
}

/** As proto-loader and protobuf-es do it. */
export function camelCase(name: string): string {
  return name.replace(/_+([a-zA-Z0-9])/g, (_, letter: string) => letter.toUpperCase());
}
