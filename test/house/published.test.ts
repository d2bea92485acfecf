import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { expect } from 'chai';
import { topLevelAwaits, undocumentedExports } from './compile.js';
import { hasFrontDoor, root } from './tree.js';

const ENTRIES = ['index', 'testing/index'] as const;

/** What a process shows from outside; compared before and after an import. */
const PROBE = `
// Looking at them opens them, which is nothing a module is to blame for.
void process.stdout;
void process.stderr;
const look = () => JSON.stringify({
  globals: Reflect.ownKeys(globalThis).map(String).sort(),
  builtins: [Object, Array, Function, Promise, String, Map, Error, Buffer].map((type) =>
    [type, type.prototype].map((object) => Reflect.ownKeys(object).map(String))),
  listeners: Object.fromEntries(process.eventNames().map((name) => [String(name), process.listenerCount(name)])),
  handles: process.getActiveResourcesInfo(),
  environment: process.env,
  directory: process.cwd(),
  title: process.title,
});
const before = look();
await import(process.argv[1]);
await new Promise((resolve) => setImmediate(resolve));
const after = look();
if (before !== after) {
  console.log(before + '\\n' + after);
  process.exitCode = 1;
}
`;

function sideEffects(file: string): { status: number | null; output: string } {
  const args = ['--input-type=module', '-e', PROBE, pathToFileURL(file).href];
  const run = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
  return { status: run.status, output: run.stdout + run.stderr };
}

describe('house: what is published', function () {
  this.timeout(60_000);
  let folder = '';
  before(() => {
    folder = mkdtempSync(join(tmpdir(), 'published-'));
  });
  after(() => rmSync(folder, { recursive: true, force: true }));

  const plant = (name: string, text: string): string => {
    writeFileSync(join(folder, name), text);
    return join(folder, name);
  };

  it('an export without documentation is found', () => {
    const file = plant('a.d.ts', '/** Documented. */\nexport interface A {}\nexport declare function bare(): void;\n');
    expect(undocumentedExports(file)).to.deep.equal(['bare']);
  });

  it('a top-level await is found, one inside a function is not', () => {
    const text = 'const f = async () => { await 1; };\nif (f) {\n  await f();\n}\nclass A { async m() { await 1; } }\n';
    expect(topLevelAwaits('a.js', text)).to.deep.equal(['a.js:3']);
  });

  it('a side effect of an import is found, and a harmless module has none', () => {
    const effects = ['globalThis.leak = 1', `process.on('exit', () => {})`, 'setInterval(() => {}, 1e6).ref()'];
    for (const [i, effect] of [...effects, `process.env.LEAK = '1'`, 'Array.prototype.leak = 1'].entries()) {
      const file = plant(`effect-${i}.mjs`, `${effect};\nsetTimeout(() => process.exit(), 500).unref();\n`);
      expect(sideEffects(file).status, effect).to.not.equal(0);
    }
    expect(sideEffects(plant('harmless.mjs', 'export const a = 1;\n'))).to.deep.equal({ status: 0, output: '' });
  });

  it('no module awaits at the top level', () => {
    const modules = readdirSync(join(root, 'dist'), { recursive: true, encoding: 'utf8' }).filter((n) =>
      n.endsWith('.js'),
    );
    expect(modules).to.have.length.greaterThan(0);
    expect(modules.flatMap((m) => topLevelAwaits(m, readFileSync(join(root, 'dist', m), 'utf8')))).to.deep.equal([]);
  });

  for (const entry of ENTRIES) {
    it(`every export of ${entry} is documented`, function () {
      if (!hasFrontDoor) return this.skip();
      expect(undocumentedExports(join(root, `dist/${entry}.d.ts`))).to.deep.equal([]);
    });

    it(`importing ${entry} changes nothing in the process`, function () {
      if (!hasFrontDoor) return this.skip();
      expect(existsSync(join(root, `dist/${entry}.js`))).to.equal(true);
      expect(sideEffects(join(root, `dist/${entry}.js`))).to.deep.equal({ status: 0, output: '' });
    });
  }
});
