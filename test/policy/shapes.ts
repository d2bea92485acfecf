/** One request type, its model, and real objects of it as each loader makes them. */

import protobuf from 'protobufjs';
import type { FieldKind, FieldModel, MessageModel } from '#dist/policy/schema.js';
import { protobufEsName } from '#dist/policy/spelling.js';
import { compileTemplate, eachResource, type Template } from '#dist/policy/template.js';

export const PROTO = `
  syntax = "proto3"; package shapes;
  enum Tier { TIER_UNSPECIFIED = 0; TIER_GOLD = 1; }
  message Inner { string the_id = 1; repeated string labels = 2; }
  message Request {
    string project_id = 1;
    int64 big_number = 2;
    uint64 unsigned_number = 3;
    int32 number = 4;
    Tier tier = 5;
    Inner inner = 6;
    repeated Inner many_inner = 7;
    repeated string names = 8;
    oneof which { string by_name = 9; int64 by_number = 10; Inner by_inner = 11; }
    optional string maybe = 12;
    bytes raw = 13;
    bool flag = 14;
    double ratio = 15;
    map<string, string> tags = 16;
    string my_part_1 = 17;
    string a__b = 18;
  }`;

export const root = protobuf.parse(PROTO, { keepCase: true }).root.resolveAll();
export const Request = root.lookupType('shapes.Request');

export function modelOf(type: protobuf.Type): MessageModel {
  const kindOf = (field: protobuf.Field): FieldKind => {
    if (field instanceof protobuf.MapField) return 'other';
    if (field.resolvedType instanceof protobuf.Type) return 'message';
    if (field.resolvedType instanceof protobuf.Enum) return 'enum';
    if (field.type === 'string') return 'string';
    return /int|fixed/.test(field.type) ? 'integer' : 'other';
  };
  const fields = type.fieldsArray.map((field): [string, FieldModel] => {
    const { resolvedType, partOf } = field;
    const names = resolvedType instanceof protobuf.Enum ? Object.entries(resolvedType.values) : null;
    return [
      field.name,
      {
        name: field.name,
        localName: protobufEsName(field.name),
        number: field.id,
        kind: kindOf(field),
        repeated: field.repeated,
        oneof: partOf != null && !partOf.name.startsWith('_') ? partOf.name : null,
        message: resolvedType instanceof protobuf.Type ? () => modelOf(resolvedType) : null,
        enumNames: names === null ? null : new Map(names.map(([name, number]) => [number, name])),
        sensitive: field.name === 'by_name',
      },
    ];
  });
  return { typeName: type.fullName.slice(1), fields: new Map(fields) };
}

export const model = modelOf(Request);

export function template(text: string): Template {
  const compiled = compileTemplate(text, model);
  if ('problem' in compiled) throw new Error(compiled.problem);
  return compiled;
}

/** The resources a message names, or why it names none. */
export function resources(text: string, message: unknown): string[] | string {
  const found: string[] = [];
  const denial = eachResource(template(text), message, (segments) => {
    found.push(segments.join('/'));
    return null;
  });
  return denial === null ? found : denial.reason;
}
