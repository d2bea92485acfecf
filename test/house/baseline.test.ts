import { expect } from 'chai';
import { exists } from './paths.js';
import { hasFrontDoor, read } from './tree.js';

interface Row {
  readonly clause: string;
  readonly control: string;
  readonly proof: string;
  readonly command: string;
}

/** The rows of every table of the document that has the four columns. */
function rowsOf(text: string): Row[] {
  const rows: Row[] = [];
  for (const line of text.split('\n')) {
    const cells = line
      .split('|')
      .slice(1, -1)
      .map((cell) => cell.trim());
    const [clause = '', control = '', proof = '', command = ''] = cells;
    if (cells.length !== 4 || clause === 'Clause' || /^-+$/.test(clause)) continue;
    rows.push({ clause, control, proof, command });
  }
  return rows;
}

/** The test files a cell names: paths in backticks, `*` for any name. */
const testsIn = (cell: string): string[] => [...cell.matchAll(/`(test\/[^`]+)`/g)].map((match) => match[1] ?? '');

describe('house: baseline', () => {
  const rows = rowsOf(read('docs/baseline.md'));
  const scripts = JSON.parse(read('package.json')).scripts as Record<string, string>;

  it('every row names a control, and a test or what it comes with', () => {
    expect(rows).to.have.length.greaterThan(15);
    for (const { clause, control, proof } of rows) {
      expect(control, clause).to.not.equal('');
      const told = testsIn(proof).length > 0 || /^comes with [a-z]/.test(proof) || /^not testable: /.test(proof);
      expect(told, `${clause}: ${proof}`).to.equal(true);
    }
  });

  it('every command is one that this checkout has', () => {
    for (const { clause, command } of rows) {
      for (const [, name = ''] of command.matchAll(/`npm (?:run )?([\w:]+)/g)) {
        expect(scripts, `${clause}: ${command}`).to.have.property(name);
      }
    }
  });

  it('a test file that does not exist is noticed', () => {
    expect(exists('test/house/nowhere.test.ts')).to.equal(false);
    expect(exists('test/nowhere/*.test.ts')).to.equal(false);
    expect(exists('test/house/*.test.ts')).to.equal(true);
  });

  it('every named test file exists', function () {
    if (!hasFrontDoor) return this.skip();
    const missing = rows.flatMap(({ proof }) => testsIn(proof)).filter((path) => !exists(path));
    expect(missing).to.deep.equal([]);
  });
});
