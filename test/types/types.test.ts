import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { compile } from '../house/compile.js';
import { root } from '../house/tree.js';

/**
 * Each file of `cases` is compiled with the options of a strict user project. What must not compile stands under
 * `@ts-expect-error`, each with a reason; the compiler reports a directive under which all is well.
 */
const CASES = join(root, 'test/types/cases');

describe('types: what must not compile', function () {
  this.timeout(60_000);
  const names = readdirSync(CASES).filter((name) => name.endsWith('.ts'));

  it('every case expects an error, says why, and shows the honest use beside it', () => {
    expect(names).to.have.length.greaterThan(0);
    for (const name of names) {
      const lines = readFileSync(join(CASES, name), 'utf8').split('\n');
      const expected = lines.filter((line) => line.includes('@ts-expect-error'));
      expect(expected, name).to.have.length.greaterThan(0);
      for (const line of expected) expect(line, name).to.match(/@ts-expect-error: \w/);
    }
  });

  it('the cases hold', () => {
    expect(compile(names.map((name) => join(CASES, name)))).to.deep.equal([]);
  });

  it('a directive that nothing needs is reported', () => {
    const folder = mkdtempSync(join(root, 'build/types-'));
    try {
      const file = join(folder, 'useless.ts');
      writeFileSync(file, '// @ts-expect-error: this is fine\nexport const fine: number = 1;\n');
      expect(compile([file])).to.have.length(1);
      writeFileSync(file, 'export const wrong: number = "one";\n');
      expect(compile([file])).to.have.length(1);
    } finally {
      rmSync(folder, { recursive: true, force: true });
    }
  });
});
