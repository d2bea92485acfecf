import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from './tree.js';

describe('house: reporter', function () {
  this.timeout(20_000);
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'reporter-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const run = (text: string): { status: number | null; lines: string[] } => {
    const file = join(folder, 'planted.cjs');
    writeFileSync(file, text);
    const mocha = join(root, 'node_modules/mocha/bin/mocha.js');
    const { status, stdout } = spawnSync(process.execPath, [mocha, '--no-color', file], {
      cwd: root,
      encoding: 'utf8',
    });
    return { status, lines: stdout.trimEnd().split('\n') };
  };

  it('counts last, and fails where a test fails', () => {
    const { status, lines } = run(`
      describe('planted', () => {
        it('good', () => {});
        it('bad', () => { throw new Error('on purpose'); });
        it('later');
      });`);
    expect(status).to.equal(1);
    expect(lines.slice(-2)).to.deep.equal(['1 skipped', '1 passed, 1 failed']);
    expect(lines.join('\n')).to.contain('on purpose');
  });

  it('is content where all pass', () => {
    const { status, lines } = run(`describe('planted', () => it('good', () => {}));`);
    expect(status).to.equal(0);
    expect(lines.at(-1)).to.equal('1 passed, 0 failed');
  });

  it('counts a failing hook', () => {
    const { status, lines } = run(
      `describe('planted', () => { before(() => { throw new Error('no'); }); it('good', () => {}); });`,
    );
    expect(status).to.equal(1);
    expect(lines.at(-1)).to.equal('0 passed, 1 failed');
  });
});
