/**
 * What an encoded annotation holds that this version does not know: a field or an enum value from a later one, or from
 * another option under our number.
 *
 * @module
 */

import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import { type ReflectMessage, reflect } from '@bufbuild/protobuf/reflect';

/**
 * Lists unknown fields and unknown enum values of `message` and the messages in it, as paths such as
 * `require.field 9` or `token_use = 7`. Empty when everything is known.
 */
export function unknownParts<T extends DescMessage>(schema: T, message: MessageShape<T>): readonly string[] {
  const found: string[] = [];
  collect(reflect(schema, message), '', found);
  return found;
}

function collect(message: ReflectMessage, prefix: string, found: string[]): void {
  for (const unknown of message.getUnknown() ?? []) found.push(`${prefix}field ${unknown.no}`);
  for (const field of message.fields) {
    if (!message.isSet(field)) continue;
    const path = `${prefix}${field.name}`;
    if (field.fieldKind === 'message') collect(message.get(field), `${path}.`, found);
    else if (field.fieldKind === 'list' && field.listKind === 'message') {
      for (const item of message.get(field)) collect(item as ReflectMessage, `${path}.`, found);
    } else if (field.fieldKind === 'enum') {
      const value = message.get(field) as number;
      if (field.enum.value[value] === undefined) found.push(`${path} = ${value}`);
    }
  }
}
