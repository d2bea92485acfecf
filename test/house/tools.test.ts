import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'chai';
import { root } from './tree.js';

/** Runs one tool of the checkout and expects it to have nothing to say. */
function clean(args: readonly string[]): void {
  const { status, stdout, stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' });
  expect(status, `${args.join(' ')}\n${stdout}${stderr}`).to.equal(0);
}

/** Whether the program of this platform is installed; `ALL_CHECKS=1` makes its absence a failure. */
function available(script: string): boolean {
  const runs = spawnSync(process.execPath, [join(root, script), '--version'], { cwd: root }).status === 0;
  return runs || process.env['ALL_CHECKS'] === '1';
}

const BIOME = 'node_modules/@biomejs/biome/bin/biome';
const BUF = 'node_modules/@bufbuild/buf/bin/buf';

describe('house: tools', function () {
  this.timeout(60_000);

  it('biome finds nothing to format and nothing to lint', function () {
    if (!available(BIOME)) {
      console.log('    biome has no program for this platform: format and lint are not checked');
      return this.skip();
    }
    clean([BIOME, 'check', '--error-on-warnings', '--max-diagnostics=50']);
  });

  it('buf lint and buf format find nothing', function () {
    if (!available(BUF)) {
      console.log('    buf has no program for this platform: proto files are not checked');
      return this.skip();
    }
    clean([BUF, 'lint']);
    clean([BUF, 'format', '--diff', '--exit-code']);
  });

  it('the generated documents are up to date (npm run docs)', () => {
    clean(['scripts/docs.mjs', '--check']);
  });

  it('the scripts that others rely on exist', () => {
    for (const script of ['scripts/setup.mjs', 'scripts/interop.mjs', 'scripts/reporter.cjs', '.ci/run']) {
      expect(existsSync(join(root, script)), script).to.equal(true);
    }
  });
});
