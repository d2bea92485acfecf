/**
 * Finds, reads and parses .proto files and everything they import.
 *
 * @module
 */

import { readFile, realpath, stat } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import protobuf from 'protobufjs';
import type { Problem } from '../errors.js';
import { bundledCopy, bundledDeclarations } from './load-protos-bundled.js';
import { type ProtoSource, readSource } from './load-protos-source.js';
import { type Declarations, parsedSymbols } from './load-protos-symbols.js';

/** One file that was read from disk. */
export interface ParsedFile extends Declarations {
  readonly root: protobuf.Root;
  readonly source: ProtoSource;
  readonly imports: { readonly file: Declarations; readonly isPublic: boolean }[];
}

const DESCRIPTOR_SET = 'Use a descriptor set from `buf build`';

/** Our published protos: two levels above the compiled `dist/policy`. */
function ownProtoDir(): string {
  return fileURLToPath(new URL('../../proto/', import.meta.url));
}

/**
 * Reads one API. Files are looked for in the include directories, then beside the importing file and the entries, then
 * among our own; copies of our options and of google/protobuf are never believed. Each file is parsed into a root of its own,
 * so nothing in the process is changed and no file can alter the meaning of another.
 */
export class ProtoFiles {
  readonly problems: Problem[] = [];
  /** In the order of reading. */
  readonly parsed: ParsedFile[] = [];
  readonly #byPath = new Map<string, Declarations | null>();
  readonly #entryDirs: readonly string[];
  readonly #includeDirs: readonly string[];

  constructor(entries: readonly string[], includeDirs: readonly string[]) {
    this.#includeDirs = includeDirs;
    this.#entryDirs = entries.map((entry) => dirname(entry));
  }

  async readEntry(entry: string): Promise<void> {
    const places = isAbsolute(entry) ? [entry] : [...this.#includeDirs.map((dir) => join(dir, entry)), entry];
    const path = await firstOf(places);
    if (path !== null) await this.#read(path, entry);
    else
      this.problems.push({ place: entry, problem: 'there is no such file', remedy: 'Correct protos or includeDirs' });
  }

  async #import(target: string, importer: string): Promise<Declarations | null> {
    const bundled = bundledDeclarations(target);
    if (bundled !== undefined) return bundled;
    const dirs = [...this.#includeDirs, dirname(importer), ...this.#entryDirs, ownProtoDir()];
    const path = isAbsolute(target) ? null : await firstOf(dirs.map((dir) => join(dir, target)));
    if (path !== null) return this.#read(path, path);
    this.problems.push({
      place: importer,
      problem: `the import "${target}" is not found`,
      remedy: 'Name the directory it is relative to in includeDirs',
    });
    return null;
  }

  async #read(path: string, name: string): Promise<Declarations | null> {
    let key: string;
    let text: string;
    try {
      key = await realpath(path);
      const known = this.#byPath.get(key);
      if (known !== undefined) return known;
      this.#byPath.set(key, null);
      text = new TextDecoder('utf-8', { fatal: true }).decode(await readFile(key));
    } catch {
      this.problems.push({ place: name, problem: 'the file cannot be read as UTF-8 text', remedy: 'Correct the file' });
      return null;
    }
    const file = this.#parse(text, name);
    if (file === null) return null;
    const copied = bundledCopy(key, file.parsed.packageName);
    this.#byPath.set(key, copied ?? file.parsed);
    if (copied !== undefined) return copied;
    this.parsed.push(file.parsed);
    for (const target of file.imports) {
      const imported = await this.#import(target, path);
      const isPublic = file.parsed.source.publicImports.has(target);
      if (imported !== null) file.parsed.imports.push({ file: imported, isPublic });
    }
    return file.parsed;
  }

  #parse(text: string, name: string): { readonly parsed: ParsedFile; readonly imports: readonly string[] } | null {
    const source = readSource(text);
    if (source.skipped !== null) {
      const { line, what } = source.skipped;
      this.problems.push({ place: `${name}:${line}`, problem: `there is ${what}`, remedy: DESCRIPTOR_SET });
      return null;
    }
    const root = new protobuf.Root();
    try {
      const result = protobuf.parse(source.text, root, { keepCase: true });
      const packageName = result.package ?? '';
      const symbols = parsedSymbols(root);
      const parsed: ParsedFile = { name, packageName, symbols, imports: [], root, source };
      return { parsed, imports: [...(result.imports ?? []), ...(result.weakImports ?? [])] };
    } catch (error) {
      const message = error instanceof Error ? error.message : 'unknown';
      const line = /\bline (\d+)\b/.exec(message)?.[1];
      const place = line === undefined ? name : `${name}:${line}`;
      const problem = `this cannot be parsed (${message.replace(/ \(line \d+\)$/, '')})`;
      this.problems.push({ place, problem, remedy: DESCRIPTOR_SET });
      return null;
    }
  }
}

async function firstOf(paths: readonly string[]): Promise<string | null> {
  for (const path of paths) {
    try {
      if ((await stat(path)).isFile()) return path;
    } catch {
      // The next place may have it.
    }
  }
  return null;
}
