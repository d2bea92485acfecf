/** Paths as documents write them. */

import { existsSync, readdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { root } from './tree.js';

/** Whether `path` exists in the checkout; in the last segment `*` stands for any characters. */
export function exists(path: string): boolean {
  const full = join(root, path);
  if (!path.includes('*')) return existsSync(full);
  const parts = basename(path)
    .split('*')
    .map((part) => part.replaceAll('.', '\\.'));
  const pattern = new RegExp(`^${parts.join('.*')}$`);
  return existsSync(dirname(full)) && readdirSync(dirname(full)).some((name) => pattern.test(name));
}
