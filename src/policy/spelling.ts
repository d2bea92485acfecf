/**
 * Under which names a field stands in the objects that loaders make. Computed from the name in the .proto file alone, so
 * that it does not matter how an API was loaded.
 *
 * @module
 */

import { protoCamelCase, safeObjectProperty } from '@bufbuild/protobuf/reflect';
import type { FieldModel, MessageModel } from './schema.js';

/** The property that protobuf-es makes of the name of a field or oneof: `my_part_1` gives `myPart1`. */
export function protobufEsName(name: string): string {
  return safeObjectProperty(protoCamelCase(name));
}

/** The property that protobufjs (so proto-loader) makes of it without `keepCase`: `my_part_1` gives `myPart_1`. */
export function protobufjsName(name: string): string {
  return name.slice(0, 1) + name.slice(1).replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

/** Every name under which a field or oneof may stand, without repetition; the one written in proto first. */
export function spellingsOf(name: string): readonly string[] {
  return [...new Set([name, protobufjsName(name), protobufEsName(name)])];
}

/** Every name that an object of this message may have: its fields, its oneofs, and those of proto3 `optional`. */
export function propertiesOf(model: MessageModel): ReadonlySet<string> {
  const names = new Set<string>();
  for (const { name, oneof } of model.fields.values()) {
    for (const text of [name, `_${name}`, oneof ?? name]) for (const one of spellingsOf(text)) names.add(one);
    // protobufjs camel-cases the field before it names the oneof after it.
    names.add(`_${protobufjsName(name)}`);
  }
  return names;
}

/**
 * The field or oneof of `model` that some loader spells like `field`, so that a value of one could be taken for the
 * other; `null` when there is none. protoc refuses most of these, but not those of proto2 and not oneofs.
 */
export function spelledLike(field: FieldModel, model: MessageModel): string | null {
  const own = new Set(spellingsOf(field.name));
  for (const { name, oneof } of model.fields.values()) {
    if (name !== field.name && spellingsOf(name).some((one) => own.has(one))) return name;
    if (oneof !== null && spellingsOf(oneof).some((one) => own.has(one))) return oneof;
  }
  return null;
}
