/**
 * Which name means what in which .proto file, as protoc resolves it: by scope, innermost first, and only among what
 * the file imports. (The parser's own look-up searches every file and every nested scope.)
 *
 * @module
 */

import type { DescEnum, DescFile, DescMessage } from '@bufbuild/protobuf';
import protobuf from 'protobufjs';
import type { Problem } from '../errors.js';

/** What a full name stands for. A message comes from the parser, or from a file that comes with this package. */
export type Declared =
  | { readonly kind: 'package' | 'service' | 'extension' }
  | { readonly kind: 'enum'; readonly names: ReadonlyMap<number, string> }
  | { readonly kind: 'message'; readonly type: protobuf.Type | DescMessage };

/** One file: what it declares and what it imports. */
export interface Declarations {
  /** The path it was read from, or the import path of a file that comes with this package. */
  readonly name: string;
  readonly packageName: string;
  /** By full name, without a leading dot. */
  readonly symbols: ReadonlyMap<string, Declared>;
  readonly imports: readonly { readonly file: Declarations; readonly isPublic: boolean }[];
}

/** A name that was found. */
export interface Resolved {
  readonly fullName: string;
  readonly declared: Declared;
}

/** What a parsed file declares. */
export function parsedSymbols(root: protobuf.NamespaceBase): ReadonlyMap<string, Declared> {
  const symbols = new Map<string, Declared>();
  const visit = (namespace: protobuf.NamespaceBase): void => {
    for (const object of namespace.nestedArray) {
      const name = object.fullName.slice(1);
      if (object instanceof protobuf.Enum) symbols.set(name, { kind: 'enum', names: parsedEnumNames(object) });
      else if (object instanceof protobuf.Field) symbols.set(name, { kind: 'extension' });
      else if (object instanceof protobuf.Type) symbols.set(name, { kind: 'message', type: object });
      else symbols.set(name, { kind: object instanceof protobuf.Service ? 'service' : 'package' });
      if (object instanceof protobuf.Namespace || object instanceof protobuf.Type) visit(object);
    }
  };
  visit(root);
  return symbols;
}

/** What a file that comes with this package declares: our options, or one of google/protobuf. */
export function describedSymbols(file: DescFile): ReadonlyMap<string, Declared> {
  const symbols = new Map<string, Declared>(packagesOf(file.proto.package));
  const addEnum = (desc: DescEnum): void => {
    symbols.set(desc.typeName, { kind: 'enum', names: new Map(desc.values.map((v) => [v.number, v.name] as const)) });
  };
  const addMessage = (desc: DescMessage): void => {
    symbols.set(desc.typeName, { kind: 'message', type: desc });
    for (const extension of desc.nestedExtensions) symbols.set(extension.typeName, { kind: 'extension' });
    desc.nestedEnums.forEach(addEnum);
    desc.nestedMessages.forEach(addMessage);
  };
  for (const extension of file.extensions) symbols.set(extension.typeName, { kind: 'extension' });
  file.enums.forEach(addEnum);
  file.messages.forEach(addMessage);
  return symbols;
}

function packagesOf(name: string): readonly [string, Declared][] {
  const parts = name.split('.');
  return parts.map((_, index) => [parts.slice(0, index + 1).join('.'), { kind: 'package' }]);
}

/** With `allow_alias` the first name of a number counts. */
function parsedEnumNames(object: protobuf.Enum): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [name, number] of Object.entries(object.values)) if (!names.has(number)) names.set(number, name);
  return names;
}

/** The names one file can see: its own, those of its imports, and what these import publicly. */
export class Scope {
  readonly #files = new Set<Declarations>();

  constructor(file: Declarations) {
    this.#files.add(file);
    for (const imported of file.imports) this.#addPublic(imported.file);
  }

  #addPublic(file: Declarations): void {
    if (this.#files.has(file)) return;
    this.#files.add(file);
    for (const imported of file.imports) if (imported.isPublic) this.#addPublic(imported.file);
  }

  /**
   * Resolves `name` as it is written inside `within` (the full name of a message or service, or of a package). A leading
   * dot makes it absolute. Once the first part of a dotted name is found, the rest must stand there.
   */
  resolve(name: string, within: string, typesOnly: boolean): Resolved | null {
    if (name.startsWith('.')) return this.#find(name.slice(1));
    const [first = ''] = name.split('.', 1);
    const compound = first !== name;
    for (let scope = within; ; scope = scope.slice(0, Math.max(0, scope.lastIndexOf('.')))) {
      const prefix = scope === '' ? '' : `${scope}.`;
      const found = this.#find(prefix + first);
      if (found !== null && compound && found.declared.kind !== 'extension') return this.#find(prefix + name);
      if (found !== null && !compound && (!typesOnly || isType(found.declared))) return found;
      if (scope === '') return null;
    }
  }

  #find(fullName: string): Resolved | null {
    for (const file of this.#files) {
      const declared = file.symbols.get(fullName);
      if (declared !== undefined) return { fullName, declared };
    }
    return null;
  }
}

function isType(declared: Declared): boolean {
  return declared.kind === 'message' || declared.kind === 'enum';
}

/** Names that two files declare; protoc refuses them too. */
export function definedTwice(files: readonly Declarations[]): readonly Problem[] {
  const problems: Problem[] = [];
  const owners = new Map<string, string>();
  for (const file of files) {
    for (const [name, { kind }] of file.symbols) {
      if (kind === 'package') continue;
      const owner = owners.get(name);
      if (owner === undefined) owners.set(name, file.name);
      else {
        const problem = `${name} is also defined in ${owner}`;
        problems.push({ place: file.name, problem, remedy: 'Load each definition from one file only' });
      }
    }
  }
  return problems;
}
