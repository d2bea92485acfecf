/**
 * From protobuf-es descriptors (generated code or a descriptor set) to the neutral model of an API.
 *
 * @module
 */

import {
  type DescEnum,
  type DescExtension,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  getOption,
  hasOption,
  type MessageShape,
  ScalarType,
} from '@bufbuild/protobuf';
import type { GenExtension } from '@bufbuild/protobuf/codegenv2';
import {
  FieldDescriptorProto_Type,
  type FieldOptions,
  type MethodOptions,
  type ServiceOptions,
} from '@bufbuild/protobuf/wkt';
import type { Problem } from '../errors.js';
import {
  FieldPolicySchema,
  field as fieldOption,
  MethodPolicySchema,
  method as methodOption,
  ServicePolicySchema,
  service as serviceOption,
} from './gen/zerotrust/v1/options_pb.js';
import { OptionDeclarations } from './load-descriptor-options.js';
import { SourceLines } from './load-descriptor-place.js';
import { protoLoaderName } from './load-names.js';
import { unknownParts } from './option-unknown.js';
import type { FieldKind, FieldModel, MessageModel, MethodModel, ServiceModel } from './schema.js';

const INTEGERS: ReadonlySet<ScalarType> = new Set([
  ScalarType.INT32,
  ScalarType.INT64,
  ScalarType.UINT32,
  ScalarType.UINT64,
  ScalarType.SINT32,
  ScalarType.SINT64,
  ScalarType.FIXED32,
  ScalarType.FIXED64,
  ScalarType.SFIXED32,
  ScalarType.SFIXED64,
]);

/** Converts descriptors, remembering the message types it has seen and the mistakes it has found. */
export class DescriptorModels {
  readonly problems: Problem[] = [];
  readonly #messages = new Map<DescMessage, MessageModel>();
  readonly #lines = new SourceLines();
  readonly #foreign = new OptionDeclarations(this.problems);

  /** One service, with everything its requests and responses are made of. */
  service(desc: DescService): ServiceModel {
    const path = [6, desc.file.services.indexOf(desc)];
    this.#foreign.check(desc.file);
    const place = this.#lines.place(desc.file, path);
    return {
      typeName: desc.typeName,
      methods: desc.methods.map((method, index) => this.#method(method, [...path, 2, index])),
      policy: this.#option(desc, serviceOption, ServicePolicySchema, `${desc.typeName} (${place})`),
      place,
    };
  }

  #method(desc: DescMethod, path: readonly number[]): MethodModel {
    const place = this.#lines.place(desc.parent.file, path);
    // Walked only for the mistakes in its field annotations.
    this.message(desc.output);
    return {
      name: desc.name,
      requestStream: desc.methodKind === 'client_streaming' || desc.methodKind === 'bidi_streaming',
      responseStream: desc.methodKind === 'server_streaming' || desc.methodKind === 'bidi_streaming',
      input: this.message(desc.input),
      policy: this.#option(desc, methodOption, MethodPolicySchema, `/${desc.parent.typeName}/${desc.name} (${place})`),
      place,
    };
  }

  /** One message type and, through its fields, every type below it. */
  message(desc: DescMessage): MessageModel {
    const known = this.#messages.get(desc);
    if (known !== undefined) return known;
    const fields = new Map<string, FieldModel>();
    const model: MessageModel = { typeName: desc.typeName, fields };
    this.#messages.set(desc, model);
    for (const field of [...desc.fields].sort((a, b) => a.number - b.number))
      fields.set(field.name, this.#field(field));
    return model;
  }

  #field(desc: DescField): FieldModel {
    const kind = kindOf(desc);
    const message = kind === 'message' && desc.message !== undefined ? this.message(desc.message) : null;
    // The values of a map and the members of a group are never part of a resource, but their annotations are checked.
    if (message === null && desc.message !== undefined) this.message(desc.message);
    const place = `${desc.parent.typeName}.${desc.name} (${desc.parent.file.proto.name})`;
    return {
      name: desc.name,
      localName: protoLoaderName(desc.name),
      number: desc.number,
      kind,
      repeated: desc.fieldKind === 'list',
      oneof: desc.oneof?.name ?? null,
      message: message === null ? null : () => message,
      enumNames: kind === 'enum' && desc.enum !== undefined ? enumNames(desc.enum) : null,
      sensitive: this.#option(desc, fieldOption, FieldPolicySchema, place)?.sensitive ?? false,
    };
  }

  #option<O extends MethodOptions | ServiceOptions | FieldOptions, S extends DescMessage>(
    desc: DescMethod | DescService | DescField,
    extension: GenExtension<O, MessageShape<S>>,
    schema: S,
    place: string,
  ): MessageShape<S> | null {
    const option = extension as DescExtension as Parameters<typeof getOption>[1];
    if (!hasOption(desc, option)) return null;
    try {
      const policy = getOption(desc, option) as MessageShape<S>;
      for (const part of unknownParts(schema, policy)) {
        this.problems.push({
          place,
          problem: `(${extension.typeName}) holds something this version does not know: ${part}`,
          remedy: 'Build it against the zerotrust/v1/options.proto of this version',
        });
      }
      return policy;
    } catch {
      this.problems.push({
        place,
        problem: `(${extension.typeName}) cannot be decoded`,
        remedy: 'Build it again with `buf build` or protoc against our zerotrust/v1/options.proto',
      });
      return null;
    }
  }
}

function kindOf(desc: DescField): FieldKind {
  if (desc.fieldKind === 'map' || desc.proto.type === FieldDescriptorProto_Type.GROUP) return 'other';
  if (desc.message !== undefined) return 'message';
  if (desc.enum !== undefined) return 'enum';
  if (desc.scalar === ScalarType.STRING) return 'string';
  return desc.scalar !== undefined && INTEGERS.has(desc.scalar) ? 'integer' : 'other';
}

/** With `allow_alias` the first name of a number counts. */
function enumNames(desc: DescEnum): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const value of desc.values) if (!names.has(value.number)) names.set(value.number, value.name);
  return names;
}
