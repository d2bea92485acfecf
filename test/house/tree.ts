/** The checkout as the house checks see it. */

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The root of the checkout; this file runs from `build/test/house`. */
export const root = fileURLToPath(new URL('../../../', import.meta.url));

/** Whether the public entry point exists yet; checks of what is published wait for it. */
export const hasFrontDoor = existsSync(join(root, 'src/index.ts'));

const NOT_OURS = new Set(['node_modules', 'dist', 'build', 'coverage', '.git', '.cache']);

/** One text file of the checkout; `path` is relative to the root, with `/`. */
export interface TextFile {
  readonly path: string;
  readonly text: string;
}

/** Every text file of the checkout that is ours, by path: what git ignores and what is binary is left out. */
export function textFiles(): TextFile[] {
  const found: TextFile[] = [];
  const walk = (folder: string): void => {
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (NOT_OURS.has(entry.name)) continue;
      const full = join(folder, entry.name);
      if (entry.isDirectory()) walk(full);
      else if (entry.isFile() && !/\.(tgz|tsbuildinfo)$/.test(entry.name)) {
        const bytes = readFileSync(full);
        if (!bytes.includes(0)) found.push({ path: relative(root, full).split(sep).join('/'), text: `${bytes}` });
      }
    }
  };
  walk(root);
  return found.sort((a, b) => (a.path < b.path ? -1 : 1));
}

/** The text of one file of the checkout. */
export function read(path: string): string {
  return readFileSync(join(root, path), 'utf8');
}
