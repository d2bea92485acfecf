/**
 * Loads an API from a descriptor set: `buf build --as-file-descriptor-set -o api.binpb`, or
 * `protoc --include_imports --descriptor_set_out=api.binpb`.
 *
 * @module
 */

import { readFile } from 'node:fs/promises';
import {
  createFileRegistry,
  type DescEnum,
  type DescMessage,
  type DescService,
  type FileRegistry,
  fromBinary,
} from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ConfigurationError } from '../errors.js';
import { type LoadedApi, loadServices } from './load-services.js';

const BUILD = 'Build it with `buf build --as-file-descriptor-set -o api.binpb`';

/**
 * Reads every service of a descriptor set, those of imported files included.
 *
 * @throws ConfigurationError when the file cannot be read, or the bytes are not a complete descriptor set.
 */
export async function loadDescriptorSet(source: string | Uint8Array): Promise<LoadedApi> {
  const place = typeof source === 'string' ? source : 'descriptorSet';
  const bytes = typeof source === 'string' ? await read(source) : source;
  const registry = parse(bytes, place);
  return loadServices([...registry.files].flatMap((file) => file.services));
}

async function read(path: string): Promise<Uint8Array> {
  try {
    return await readFile(path);
  } catch (error) {
    throw refusal(path, `the file cannot be read (${codeOf(error)})`, BUILD);
  }
}

function parse(bytes: Uint8Array, place: string): FileRegistry {
  let set: ReturnType<typeof fromBinary<typeof FileDescriptorSetSchema>>;
  try {
    set = fromBinary(FileDescriptorSetSchema, bytes);
  } catch {
    throw refusal(place, 'this is not a descriptor set', BUILD);
  }
  const names = new Set(set.file.map((file) => file.name));
  if (set.file.length === 0 || names.has('')) throw refusal(place, 'this is not a descriptor set', BUILD);
  if (names.size !== set.file.length) throw refusal(place, 'a file is in the set twice', BUILD);
  const missing = set.file.flatMap((file) => file.dependency).filter((name) => !names.has(name));
  if (missing.length > 0) {
    throw refusal(
      place,
      `imports are missing: ${[...new Set(missing)].join(', ')}`,
      `${BUILD}, or protoc with --include_imports`,
    );
  }
  try {
    const registry = createFileRegistry(set);
    const twice = definedTwice(registry);
    if (twice !== undefined) throw new Error(`${twice} is defined in two files`);
    return registry;
  } catch (error) {
    const detail = error instanceof Error ? error.message : 'unknown';
    throw refusal(place, `the descriptor set is not consistent (${detail})`, BUILD);
  }
}

/** A registry keeps the last of two types with one name, which would check templates against the wrong one. */
function definedTwice(registry: FileRegistry): string | undefined {
  const seen = new Set<string>();
  const visit = (types: readonly (DescMessage | DescEnum | DescService)[]): string | undefined => {
    for (const type of types) {
      if (seen.has(type.typeName)) return type.typeName;
      seen.add(type.typeName);
      const nested = type.kind === 'message' ? visit([...type.nestedMessages, ...type.nestedEnums]) : undefined;
      if (nested !== undefined) return nested;
    }
    return undefined;
  };
  for (const file of registry.files) {
    const twice = visit([...file.messages, ...file.enums, ...file.services]);
    if (twice !== undefined) return twice;
  }
  return undefined;
}

function refusal(place: string, problem: string, remedy: string): ConfigurationError {
  return new ConfigurationError('loadPolicy', [{ place, problem, remedy }]);
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'unknown';
}
