/**
 * Where something stands in its .proto file, as far as the descriptors tell.
 *
 * @module
 */

import type { DescFile } from '@bufbuild/protobuf';

/** Looks lines up by the path of `google.protobuf.SourceCodeInfo`, indexed once per file. */
export class SourceLines {
  readonly #files = new Map<DescFile, ReadonlyMap<string, number>>();

  /** `file.proto:12` where the descriptor carries source positions, else `file.proto`. */
  place(file: DescFile, path: readonly number[]): string {
    let lines = this.#files.get(file);
    if (lines === undefined) {
      lines = indexLines(file);
      this.#files.set(file, lines);
    }
    const line = lines.get(path.join('.'));
    return line === undefined ? file.proto.name : `${file.proto.name}:${line}`;
  }
}

/** Only services and their methods (paths `6.i` and `6.i.2.j`) are asked for. */
function indexLines(file: DescFile): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  for (const { path, span } of file.proto.sourceCodeInfo?.location ?? []) {
    const [line] = span;
    if (path[0] !== 6 || path.length > 4 || line === undefined) continue;
    const key = path.join('.');
    if (!lines.has(key)) lines.set(key, line + 1);
  }
  return lines;
}
