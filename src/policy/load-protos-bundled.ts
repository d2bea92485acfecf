/**
 * The files every .proto file may import without having them: our options and google/protobuf. They are taken from
 * the descriptors this package is built on, so that what they mean never depends on the copy that lies around.
 *
 * @module
 */

import type { DescFile } from '@bufbuild/protobuf';
import {
  file_google_protobuf_any,
  file_google_protobuf_api,
  file_google_protobuf_compiler_plugin,
  file_google_protobuf_cpp_features,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_empty,
  file_google_protobuf_field_mask,
  file_google_protobuf_go_features,
  file_google_protobuf_java_features,
  file_google_protobuf_source_context,
  file_google_protobuf_struct,
  file_google_protobuf_timestamp,
  file_google_protobuf_type,
  file_google_protobuf_wrappers,
} from '@bufbuild/protobuf/wkt';
import { file_zerotrust_v1_options } from './gen/zerotrust/v1/options_pb.js';
import { type Declarations, describedSymbols } from './load-protos-symbols.js';

const FILES: ReadonlyMap<string, DescFile> = new Map(
  [
    file_zerotrust_v1_options,
    file_google_protobuf_any,
    file_google_protobuf_api,
    file_google_protobuf_compiler_plugin,
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_empty,
    file_google_protobuf_field_mask,
    file_google_protobuf_cpp_features,
    file_google_protobuf_go_features,
    file_google_protobuf_java_features,
    file_google_protobuf_source_context,
    file_google_protobuf_struct,
    file_google_protobuf_timestamp,
    file_google_protobuf_type,
    file_google_protobuf_wrappers,
  ].map((file) => [file.proto.name, file]),
);

/** The bundled file that a file on disk is a copy of, by its path and package; `undefined` when it is none. */
export function bundledCopy(path: string, packageName: string): Declarations | undefined {
  const normal = path.replaceAll('\\', '/');
  for (const [name, file] of FILES) {
    if (normal.endsWith(`/${name}`) && file.proto.package === packageName) return bundledDeclarations(name);
  }
  return undefined;
}

/** What the file of this import path declares; `undefined` when it is not bundled. */
export function bundledDeclarations(name: string): Declarations | undefined {
  const file = FILES.get(name);
  if (file === undefined) return undefined;
  const imports = file.dependencies.flatMap((dependency) => {
    const imported = bundledDeclarations(dependency.proto.name);
    return imported === undefined ? [] : [{ file: imported, isPublic: false }];
  });
  return { name, packageName: file.proto.package, symbols: describedSymbols(file), imports };
}
