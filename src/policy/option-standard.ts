/**
 * The options that protobuf itself defines: everything else is written in parentheses.
 *
 * @module
 */

import {
  EnumOptionsSchema,
  EnumValueOptionsSchema,
  FieldOptionsSchema,
  FileOptionsSchema,
  MessageOptionsSchema,
  MethodOptionsSchema,
  OneofOptionsSchema,
  ServiceOptionsSchema,
} from '@bufbuild/protobuf/wkt';

/** By name, whether the value is a message. Two are options in the grammar only. */
const STANDARD: ReadonlyMap<string, boolean> = new Map([
  ['default', false],
  ['json_name', false],
  ...[
    EnumOptionsSchema,
    EnumValueOptionsSchema,
    FieldOptionsSchema,
    FileOptionsSchema,
    MessageOptionsSchema,
    MethodOptionsSchema,
    OneofOptionsSchema,
    ServiceOptionsSchema,
  ].flatMap((schema) => schema.fields.map((field) => [field.name, field.message !== undefined] as const)),
]);

/**
 * Whether an option written without parentheses is one that protobuf defines, with a value of the right sort. The parser
 * takes `zerotrust.v1.method).token_use` and `deprecated (zerotrust.v1.method)` for names too, and what they set is lost.
 */
export function isStandardOption(name: string, value: unknown): boolean {
  const message = STANDARD.get(name);
  return message !== undefined && (message || typeof value !== 'object' || Array.isArray(value));
}
