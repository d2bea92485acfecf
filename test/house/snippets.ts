/**
 * Code in the documents. A TypeScript block is preceded by one of
 *
 *     <!-- snippet: name -->                     a whole program
 *     <!-- snippet: name, continues other -->    goes on where `other` ends
 *     <!-- file: tasks.proto -->                 (any language) a file the programs read
 */

import type { TextFile } from './tree.js';

/** One marked block. */
export interface Snippet {
  readonly name: string;
  /** Where it stands: `path:line`. */
  readonly place: string;
  /** With what it continues in front. */
  readonly code: string;
}

/** What the documents hold. */
export interface Snippets {
  readonly programs: ReadonlyMap<string, Snippet>;
  readonly files: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
}

const FENCE = /^(`{3,})(\w*)\s*$/;
const MARKER = /^<!-- (snippet|file): ([\w./-]+?)(?:, continues ([\w-]+))? -->$/;
const TYPESCRIPT = new Set(['ts', 'typescript', 'js', 'javascript', 'mts', 'cts', 'tsx']);

/** Finds every block of every document; a TypeScript block without a marker is a problem. */
export function extractSnippets(documents: readonly TextFile[]): Snippets {
  const programs = new Map<string, Snippet>();
  const files = new Map<string, string>();
  const problems: string[] = [];

  const keep = (place: string, marker: RegExpExecArray | null, language: string, code: string): void => {
    const [, kind, name = '', base] = marker ?? [];
    if (kind === 'file') {
      if ((files.get(name) ?? code) !== code) problems.push(`${place}: a second file ${name}`);
      files.set(name, code);
    } else if (kind === 'snippet') {
      const front = base === undefined ? '' : programs.get(base)?.code;
      if (front === undefined) problems.push(`${place}: continues ${base}, which does not stand before it`);
      if (programs.has(name)) problems.push(`${place}: a second snippet ${name}`);
      programs.set(name, { name, place, code: `${front ?? ''}${code}` });
    } else if (TYPESCRIPT.has(language)) {
      problems.push(`${place}: a ${language} block without a marker`);
    }
  };

  for (const { path, text } of documents) {
    const lines = text.split('\n');
    for (let i = 0; i < lines.length; i++) {
      const [, fence, language = ''] = FENCE.exec(lines[i] ?? '') ?? [];
      if (fence === undefined) continue;
      const end = lines.indexOf(fence, i + 1);
      if (end < 0) {
        problems.push(`${path}:${i + 1}: the block does not end`);
        break;
      }
      const before = lines.slice(0, i).findLast((line) => line.trim() !== '') ?? '';
      keep(`${path}:${i + 1}`, MARKER.exec(before.trim()), language, `${lines.slice(i + 1, end).join('\n')}\n`);
      i = end;
    }
  }
  return { programs, files, problems };
}

/** The documents whose code is checked. */
export function isDocument(file: TextFile): boolean {
  return /^(README|SECURITY|ARCHITECTURE|CHANGELOG)\.md$|^docs\/.*\.md$|^examples\/.*\.md$/.test(file.path);
}
