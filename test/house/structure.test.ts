import { spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { root } from './tree.js';

function structure(cwd: string): { status: number | null; output: string } {
  const run = spawnSync(process.execPath, [join(root, 'scripts/structure.mjs')], { cwd, encoding: 'utf8' });
  return { status: run.status, output: run.stdout + run.stderr };
}

/** The rule that must name it, the file that is planted, its text. */
const VIOLATIONS: readonly [rule: string, path: string, text: string][] = [
  ['no-cycle', 'src/audit/a.ts', `import './b.js';`],
  ['rank-0-imports-rank-0', 'src/clock.ts', `import './token/types.js';`],
  ['room-imports-types-of-rooms', 'src/policy/a.ts', `import '../token/types.js';`],
  ['room-imports-down', 'src/policy/b.ts', `import type { G } from '../client-guard.js'; export type P = G;`],
  ['guard-imports-down', 'src/server-guard.ts', `import './testing/a.js';`],
  ['jose-belongs', 'src/policy/c.ts', `import type { JWK } from 'jose'; export type P = JWK;`],
  ['jose-belongs', 'src/policy/d.ts', `export const later = () => import('jose');`],
  ['pino-belongs', 'src/token/a.ts', `import 'pino';`],
  ['protobuf-belongs', 'src/audit/c.ts', `import '@bufbuild/protobuf';`],
  ['peculiar-belongs', 'src/token/b.ts', `import '@peculiar/asn1-x509';`],
  ['grpc-js-belongs', 'src/policy/e.ts', `import type { Server } from '@grpc/grpc-js'; export type P = Server;`],
  ['grpc-js-at-run-time', 'src/client-guard.ts', `import '@grpc/grpc-js'; export type G = 1;`],
  ['known-libraries', 'src/audit/d.ts', `import 'chai';`],
  ['no-development-library', 'src/testing/a.ts', `import 'chai';`],
  ['inside-src', 'src/audit/e.ts', `import '../../test/a.js';`],
  ['resolvable', 'src/audit/f.ts', `import './nowhere.js';`],
  ['file-has-a-rank', 'src/misc.ts', 'export const misc = 1;'],
];

const HONEST: Record<string, string> = {
  'src/token/a.ts': `import 'jose'; import type { Policy } from '../policy/types.js'; export type P = Policy;`,
  'src/audit/a.ts': `import 'pino'; import { deny } from '../errors.js'; export const d = deny;`,
  'src/wire/a.ts': `import '@bufbuild/protobuf';`,
  'src/transport/a.ts': `import '@grpc/grpc-js';`,
  'src/server-guard.ts': `import './transport/a.js'; import type { Server } from '@grpc/grpc-js'; export type G = Server;`,
  'src/testing/a.ts': `import '@grpc/grpc-js'; import 'jose'; import '../server-guard.js';`,
};

describe('house: structure', function () {
  this.timeout(60_000);
  let copy = '';

  beforeEach(() => {
    copy = mkdtempSync(join(tmpdir(), 'structure-'));
    for (const name of ['.dependency-cruiser.cjs', 'tsconfig.json', 'package.json']) {
      cpSync(join(root, name), join(copy, name));
    }
    for (const name of [
      'call',
      'clock',
      'errors',
      'lifecycle',
      'pattern',
      'identity/types',
      'token/types',
      'policy/types',
    ]) {
      cpSync(join(root, `src/${name}.ts`), join(copy, `src/${name}.ts`));
    }
    symlinkSync(join(root, 'node_modules'), join(copy, 'node_modules'), 'junction');
  });
  afterEach(() => rmSync(copy, { recursive: true, force: true }));

  const plant = (files: Record<string, string>): void => {
    for (const [path, text] of Object.entries(files)) {
      mkdirSync(dirname(join(copy, path)), { recursive: true });
      writeFileSync(join(copy, path), `${text}\n`);
    }
  };

  it('the sources keep the ranks', () => {
    expect(structure(root)).to.deep.include({ status: 0 });
  });

  it('honest imports pass', () => {
    plant(HONEST);
    const { status, output } = structure(copy);
    expect(status, output).to.equal(0);
  });

  it('finding no module is a failure', () => {
    rmSync(join(copy, 'src'), { recursive: true });
    plant({ 'src/notes.txt': '', 'other/a.ts': 'export {};' });
    writeFileSync(join(copy, 'tsconfig.json'), '{ "include": ["other"] }');
    const { status, output } = structure(copy);
    expect(status).to.equal(2);
    expect(output).to.contain('no module');
  });

  it('every planted violation is named', () => {
    plant({ 'test/a.ts': 'export {};', 'src/audit/b.ts': `import './a.js';` });
    plant(Object.fromEntries(VIOLATIONS.map(([, path, text]) => [path, text])));
    const { status, output } = structure(copy);
    expect(status, output).to.equal(1);
    for (const [rule, path] of VIOLATIONS) expect(output).to.contain(`${rule}: ${path}`);
  });
});
