/**
 * From parsed .proto files to the neutral model of an API.
 *
 * @module
 */

import type { DescMessage } from '@bufbuild/protobuf';
import protobuf from 'protobufjs';
import type { Problem } from '../errors.js';
import {
  FieldPolicySchema,
  field as fieldOption,
  MethodPolicySchema,
  method as methodOption,
  ServicePolicySchema,
  service as serviceOption,
} from './gen/zerotrust/v1/options_pb.js';
import { DescriptorModels } from './load-descriptor-model.js';
import { protoLoaderName } from './load-names.js';
import type { ParsedFile } from './load-protos-files.js';
import { type Declared, Scope } from './load-protos-symbols.js';
import { type ElementPlace, ownOption } from './option-protos.js';
import type { FieldModel, MessageModel, MethodModel, ServiceModel } from './schema.js';

const METHOD = { typeName: methodOption.typeName, schema: MethodPolicySchema };
const SERVICE = { typeName: serviceOption.typeName, schema: ServicePolicySchema };
const FIELD = { typeName: fieldOption.typeName, schema: FieldPolicySchema };

const INTEGERS: ReadonlySet<string> = new Set(
  'int32 int64 uint32 uint64 sint32 sint64 fixed32 fixed64 sfixed32 sfixed64'.split(' '),
);
const OTHER_SCALARS: ReadonlySet<string> = new Set('bytes bool float double'.split(' '));

/** Converts files, remembering the message types it has seen and the mistakes it has found. */
export class ParsedModels {
  readonly #described = new DescriptorModels();
  readonly #problems: Problem[] = [];
  readonly #messages = new Map<protobuf.Type, MessageModel>();
  /** The scope of each parsed type, by its root. */
  readonly #scopes = new Map<protobuf.ReflectionObject, { readonly file: ParsedFile; readonly scope: Scope }>();

  constructor(files: readonly ParsedFile[]) {
    for (const file of files) this.#scopes.set(file.root, { file, scope: new Scope(file) });
  }

  get problems(): readonly Problem[] {
    return [...this.#problems, ...this.#described.problems];
  }

  /** Every service of every file; walks everything else for the annotations in it. */
  services(): readonly ServiceModel[] {
    const services: ServiceModel[] = [];
    for (const { file } of this.#scopes.values()) this.#visit(file.root, file, services);
    return services;
  }

  #visit(namespace: protobuf.NamespaceBase, file: ParsedFile, services: ServiceModel[]): void {
    if (namespace instanceof protobuf.Service) services.push(this.#service(namespace, file));
    else if (namespace instanceof protobuf.Type) this.#message(namespace);
    else this.#ownOption(namespace, null, fullName(namespace), file.name);
    for (const object of namespace.nestedArray) {
      if (object instanceof protobuf.Namespace || object instanceof protobuf.Type) this.#visit(object, file, services);
      else
        this.#ownOption(
          object,
          object instanceof protobuf.Field ? FIELD : null,
          fullName(namespace),
          `${fullName(object)} (${file.name})`,
        );
    }
  }

  #service(service: protobuf.Service, file: ParsedFile): ServiceModel {
    const typeName = fullName(service);
    const place = placeIn(file, file.source.lineOf(service.name, null));
    const methods = service.methodsArray.flatMap((method) => this.#method(method, typeName, file) ?? []);
    const policy = this.#ownOption(service, SERVICE, parentName(service), `${typeName} (${place})`);
    return { typeName, methods, policy, place };
  }

  #method(method: protobuf.Method, service: string, file: ParsedFile): MethodModel | null {
    const place = placeIn(file, file.source.lineOf(service.slice(service.lastIndexOf('.') + 1), method.name));
    const shown = `/${service}/${method.name} (${place})`;
    const policy = this.#ownOption(method, METHOD, service, shown);
    const input = this.#typeOf(method, method.requestType, service, shown);
    const output = this.#typeOf(method, method.responseType, service, shown);
    if (input?.kind !== 'message' || output?.kind !== 'message') return null;
    return {
      name: method.name,
      requestStream: method.requestStream === true,
      responseStream: method.responseStream === true,
      input: this.#messageOf(input.type),
      policy,
      place,
    };
  }

  #messageOf(type: protobuf.Type | DescMessage): MessageModel {
    return type instanceof protobuf.Type ? this.#message(type) : this.#described.message(type);
  }

  #message(type: protobuf.Type): MessageModel {
    const known = this.#messages.get(type);
    if (known !== undefined) return known;
    const fields = new Map<string, FieldModel>();
    const model: MessageModel = { typeName: fullName(type), fields };
    this.#messages.set(type, model);
    const file = this.#scopeOf(type).file.name;
    this.#ownOption(type, null, parentName(type), `${model.typeName} (${file})`);
    for (const oneof of type.oneofsArray) this.#ownOption(oneof, null, model.typeName, `${fullName(oneof)} (${file})`);
    // A name with a dot is an extension of this message that the parser filed among its fields.
    const own = type.fieldsArray.filter((field) => !field.name.includes('.')).sort((a, b) => a.id - b.id);
    for (const field of own) fields.set(field.name, this.#field(field, model.typeName, file));
    return model;
  }

  #field(field: protobuf.Field, parent: string, file: string): FieldModel {
    const place = `${parent}.${field.name} (${file})`;
    const declared = this.#typeOf(field, field.type, parent, place);
    const type = declared?.kind === 'message' ? declared.type : null;
    const excluded = field instanceof protobuf.MapField || isGroup(type);
    const message = type === null ? null : this.#messageOf(type);
    const partOf = field.partOf ?? null;
    const shape = excluded || declared === null ? null : declared;
    return {
      name: field.name,
      localName: protoLoaderName(field.name),
      number: field.id,
      kind: shape === null ? scalarKind(field, excluded) : shape.kind === 'enum' ? 'enum' : 'message',
      repeated: field.repeated,
      oneof: partOf === null || partOf.isProto3Optional ? null : partOf.name,
      message: shape?.kind === 'message' && message !== null ? () => message : null,
      enumNames: shape?.kind === 'enum' ? shape.names : null,
      sensitive: this.#ownOption(field, FIELD, parent, place)?.sensitive ?? false,
    };
  }

  /** The message or enum a type name stands for; `null` for scalars, and (reported) where it stands for nothing. */
  #typeOf(
    user: protobuf.ReflectionObject,
    name: string,
    within: string,
    place: string,
  ): (Declared & { kind: 'message' | 'enum' }) | null {
    if (user instanceof protobuf.Field && (name === 'string' || INTEGERS.has(name) || OTHER_SCALARS.has(name)))
      return null;
    const declared = this.#scopeOf(user).scope.resolve(name, within, true)?.declared;
    if (declared?.kind === 'message') return declared;
    if (declared?.kind === 'enum' && user instanceof protobuf.Field) return declared;
    this.#problems.push({
      place,
      problem: `the type ${name} is not defined`,
      remedy: 'Correct its name, or import the file that defines it',
    });
    return null;
  }

  #ownOption<T extends DescMessage>(
    element: protobuf.ReflectionObject,
    wanted: Parameters<typeof ownOption<T>>[1],
    within: string,
    place: string,
  ): ReturnType<typeof ownOption<T>> {
    const at: ElementPlace = { scope: this.#scopeOf(element).scope, within, place };
    return ownOption(element, wanted, at, this.#problems);
  }

  #scopeOf(object: protobuf.ReflectionObject): { readonly file: ParsedFile; readonly scope: Scope } {
    const found = this.#scopes.get(object.root);
    if (found === undefined) throw new Error('an element of a file that was not read');
    return found;
  }
}

/** The parser marks the message of a proto2 group; its typings do not say so. */
function isGroup(type: object | null): boolean {
  return type instanceof protobuf.Type && 'group' in type && type.group === true;
}

function scalarKind(field: protobuf.Field, excluded: boolean): FieldModel['kind'] {
  if (excluded) return 'other';
  if (field.type === 'string') return 'string';
  return INTEGERS.has(field.type) ? 'integer' : 'other';
}

function fullName(object: protobuf.ReflectionObject): string {
  return object.fullName.slice(1);
}

function parentName(object: protobuf.ReflectionObject): string {
  return object.parent === null ? '' : fullName(object.parent);
}

function placeIn(file: ParsedFile, line: number | null): string {
  return line === null ? file.name : `${file.name}:${line}`;
}
