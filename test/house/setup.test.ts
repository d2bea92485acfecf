import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { read, root } from './tree.js';

describe('house: set-up', function () {
  this.timeout(60_000);
  let copy = '';

  before(() => {
    copy = mkdtempSync(join(tmpdir(), 'set-up-'));
    for (const name of ['package.json', 'package-lock.json', 'tsconfig.json', 'scripts', 'test/tsconfig.json']) {
      cpSync(join(root, name), join(copy, name), { recursive: true });
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
    mkdirSync(join(copy, 'src/room'), { recursive: true });
    writeFileSync(join(copy, 'src/room/a.ts'), 'export const a = 1;\n');
    writeFileSync(join(copy, 'src/b.ts'), 'export const b = 2;\n');
    writeFileSync(join(copy, 'test/a.test.ts'), `import '#dist/b.js';\n`);
  });
  after(() => rmSync(copy, { recursive: true, force: true }));

  const setUp = (): { status: number | null; output: string } => {
    const run = spawnSync(process.execPath, ['scripts/setup.mjs'], { cwd: copy, encoding: 'utf8' });
    return { status: run.status, output: run.stdout + run.stderr };
  };
  const built = (path: string): boolean => existsSync(join(copy, path));

  it('has no dependency of its own', () => {
    const imported = [...read('scripts/setup.mjs').matchAll(/from '([^']+)'|import\('([^']+)'\)/g)].map(
      ([, a, b]) => a ?? b,
    );
    expect(imported).to.have.length.greaterThan(0);
    expect(imported.filter((name) => !name?.startsWith('node:'))).to.deep.equal([]);
  });

  it('compiles sources and tests, and does not install what is installed', () => {
    expect(setUp()).to.deep.equal({ status: 0, output: '' });
    expect(['dist/room/a.js', 'dist/b.d.ts', 'build/test/a.test.js'].map(built)).to.deep.equal([true, true, true]);
  });

  it('writes again what was deleted, and deletes what no source accounts for', () => {
    rmSync(join(copy, 'dist/b.js'));
    rmSync(join(copy, 'src/room/a.ts'));
    expect(setUp()).to.deep.equal({ status: 0, output: '' });
    expect(['dist/b.js', 'dist/room/a.js', 'dist/room/a.d.ts', 'dist/room/a.js.map'].map(built)).to.deep.equal([
      true,
      false,
      false,
      false,
    ]);
  });

  it('fails where the sources do not compile, each time', () => {
    writeFileSync(join(copy, 'src/wrong.ts'), 'export const n: number = "one";\n');
    for (let i = 0; i < 2; i++) {
      const { status, output } = setUp();
      expect(status).to.equal(1);
      expect(output).to.contain('TS2322').and.to.contain('does not compile');
    }
  });
});
