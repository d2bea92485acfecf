import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { expect } from 'chai';
import { exists } from './paths.js';
import { isDocument } from './snippets.js';
import { hasFrontDoor, root, type TextFile, textFiles } from './tree.js';

/** Relative links of a document that lead nowhere. */
function brokenLinks({ path, text }: TextFile): string[] {
  const targets = [...text.matchAll(/\]\(([^)#\s]+)(?:#[^)]*)?\)/g)].map((match) => match[1] ?? '');
  const local = targets.filter((target) => !/^[a-z]+:/.test(target));
  return local
    .filter((target) => !existsSync(join(root, normalize(join(dirname(path), target)))))
    .map((target) => `${path}: ${target}`);
}

/** Files of the checkout that a document names in backticks and that do not exist; `*` stands for any name. */
function missingFiles({ path, text }: TextFile): string[] {
  const named = [...text.matchAll(/`((?:src|test|docs|scripts|examples|bench|proto)\/[\w./*-]*)`/g)];
  return named
    .map((match) => match[1] ?? '')
    .filter((file) => !exists(file))
    .map((file) => `${path}: ${file}`);
}

describe('house: documents', () => {
  const documents = textFiles().filter(isDocument);

  it('a broken link and a file that does not exist are noticed', () => {
    const text =
      'See [a](docs/nowhere.md), [b](#here), [c](https://acme.example/) and `src/nowhere.ts`, `src/errors.ts`.';
    expect(brokenLinks({ path: 'README.md', text })).to.deep.equal(['README.md: docs/nowhere.md']);
    expect(missingFiles({ path: 'README.md', text })).to.deep.equal(['README.md: src/nowhere.ts']);
  });

  it('links lead somewhere', () => {
    expect(documents.map(({ path }) => path)).to.include.members(['README.md', 'docs/guide.md']);
    expect(documents.flatMap(brokenLinks)).to.deep.equal([]);
  });

  it('the files they name exist', function () {
    if (!hasFrontDoor) return this.skip();
    expect(documents.flatMap(missingFiles)).to.deep.equal([]);
  });
});
