/**
 * Values read from the very object the handler gets, whichever loader made it: own properties only, by descriptor.
 *
 * @module
 */

import type { Reason } from '../errors.js';
import { isSegment } from '../pattern.js';
import type { FieldModel, MessageModel } from './schema.js';
import { propertiesOf, protobufEsName, spellingsOf } from './spelling.js';

/** Why a value could not be read. A class of its own: no message of a caller can look like one. */
export class Unreadable {
  readonly reason: Reason;
  readonly detail: string;
  constructor(reason: 'RESOURCE_EMPTY' | 'RESOURCE_INVALID', detail: string) {
    this.reason = reason;
    this.detail = detail;
  }
}

/** A field with every name under which it may stand. */
interface Member {
  readonly field: FieldModel;
  readonly names: readonly string[];
}

/** One field on the way to a value, prepared so that reading it allocates nothing. */
export interface Step extends Member {
  /** Every name that an object holding this field may have. */
  readonly known: ReadonlySet<string>;
  /** The oneof of the field; `null` when it is in none. */
  readonly oneof: {
    /** The properties in which protobuf-es keeps the oneof, and by which it names the field there. */
    readonly property: string;
    readonly caseName: string;
    readonly siblings: readonly Member[];
  } | null;
}

/** Prepares the step to a field. */
export function stepTo(field: FieldModel, within: MessageModel): Step {
  const { oneof } = field;
  const memberOf = (one: FieldModel): Member => ({ field: one, names: spellingsOf(one.name) });
  return {
    ...memberOf(field),
    known: propertiesOf(within),
    oneof:
      oneof === null
        ? null
        : {
            property: protobufEsName(oneof),
            caseName: protobufEsName(field.name),
            siblings: [...within.fields.values()].filter((f) => f.oneof === oneof && f !== field).map(memberOf),
          },
  };
}

/** The value of a field, `undefined` where it is unset, or why it cannot be read. */
export function memberOf(object: unknown, step: Step): unknown {
  if (object === undefined || object === null) return undefined;
  if (typeof object !== 'object' || Array.isArray(object))
    return invalid(step.field, 'lies in something that is not a message');
  if (step.oneof !== null) return oneofMember(object, step, step.oneof);
  const value = ownValue(object, step);
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

function ownValue(object: object, { field, names }: Member): unknown {
  let found: unknown;
  for (const name of names) {
    if (!Object.hasOwn(object, name)) continue;
    const value = (object as Record<string, unknown>)[name] ?? undefined;
    if (value === undefined || value === found) continue;
    if (found !== undefined) return invalid(field, 'is given in two spellings that differ');
    found = value;
  }
  return found;
}

function oneofMember(
  object: object,
  step: Step,
  { property, caseName, siblings }: NonNullable<Step['oneof']>,
): unknown {
  const group = Object.hasOwn(object, property) ? (object as Record<string, unknown>)[property] : undefined;
  // protobuf-es: { case: 'byNumber', value }.
  if (typeof group === 'object' && group !== null && Object.hasOwn(group, 'case')) {
    const { case: which, value } = group as { case?: unknown; value?: unknown };
    return which === caseName ? (value ?? undefined) : undefined;
  }
  const value = ownValue(object, step);
  if (value === undefined) return absent(object, step);
  if (value instanceof Unreadable) return value;
  for (const sibling of siblings) {
    if (ownValue(object, sibling) !== undefined) {
      return invalid(step.field, `and ${sibling.field.name} are both set, of which one may be`);
    }
  }
  return value;
}

/** Unset, unless the object is of a shape we cannot read: then nothing may be concluded from what is missing. */
function absent(object: object, { field, known }: Step): undefined | Unreadable {
  for (const key of Object.keys(object)) {
    // protobuf-es keeps `$typeName` and `$unknown` beside the fields.
    if (!key.startsWith('$') && !known.has(key)) return invalid(field, 'is missing from a message of an unknown shape');
  }
  return undefined;
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
