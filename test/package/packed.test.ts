import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { expect } from 'chai';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import ts from 'typescript';
import { compilerOptions } from '../house/compile.js';
import { extractSnippets } from '../house/snippets.js';
import { hasFrontDoor, read, root } from '../house/tree.js';
import { manifest, type Packed, packAndInstall } from './packed.js';

/** Every subpath that is a module. */
const SUBPATHS = Object.keys(manifest().exports).filter((path) => !path.includes('*') && !path.endsWith('.json'));
const specifier = (subpath: string): string => `grpc-zero-trust${subpath.slice(1)}`;

describe('package: packed and installed', function () {
  this.timeout(180_000);
  let packed: Packed;

  before(function () {
    if (!hasFrontDoor) return this.skip();
    packed = packAndInstall();
  });
  after(() => packed?.remove());

  it('holds what a user needs and nothing else', () => {
    const needed = ['package.json', 'README.md', 'LICENSE', 'CHANGELOG.md', 'SECURITY.md', 'dist/index.js'];
    expect(packed.files).to.include.members([...needed, 'dist/index.d.ts', 'proto/zerotrust/v1/options.proto']);
    const allowed = /^(dist\/.*\.(js|d\.ts|js\.map)|proto\/.*\.proto|package\.json|[A-Z]+(\.md)?)$/;
    expect(packed.files.filter((path) => !allowed.test(path))).to.deep.equal([]);
  });

  it('is imported as an ES module, and nothing private is reachable', () => {
    const program = [
      ...SUBPATHS.map((path, i) => `import * as m${i} from '${specifier(path)}';`),
      `console.log(JSON.stringify([${SUBPATHS.map((_, i) => `Object.keys(m${i}).length > 0`).join()}]));`,
      `await import('grpc-zero-trust/dist/errors.js').catch((error) => console.log(error.code));`,
    ];
    const { status, stdout, stderr } = packed.node(packed.write('esm.mjs', program.join('\n')));
    expect(status, stderr).to.equal(0);
    expect(stdout.split('\n')[0]).to.equal(JSON.stringify(SUBPATHS.map(() => true)));
    expect(stdout).to.contain('ERR_PACKAGE_PATH_NOT_EXPORTED');
  });

  it('is required from CommonJS, and is the same module there', () => {
    const program = [
      ...SUBPATHS.map((path) => `require('${specifier(path)}');`),
      `import('grpc-zero-trust').then((m) => console.log(m.createServerGuard === require('grpc-zero-trust').createServerGuard));`,
    ];
    const { status, stdout, stderr } = packed.node(packed.write('common.cjs', program.join('\n')));
    expect(status, stderr).to.equal(0);
    expect(stdout).to.equal('true\n');
  });

  it('type-checks from ES modules and from CommonJS', () => {
    const lines = SUBPATHS.map(
      (path, i) => `import * as m${i} from '${specifier(path)}';\nexport const n${i}: object = m${i};`,
    );
    const files = ['esm.mts', 'common.cts'].map((name) => packed.write(name, `${lines.join('\n')}\n`));
    const options = { ...compilerOptions(), skipLibCheck: false, typeRoots: [join(root, 'node_modules/@types')] };
    const diagnostics = ts.getPreEmitDiagnostics(ts.createProgram(files, options));
    const host = {
      getCanonicalFileName: (n: string) => n,
      getCurrentDirectory: () => packed.folder,
      getNewLine: () => '\n',
    };
    const ours = diagnostics.filter(
      ({ file }) => file === undefined || !/node_modules\/(?!grpc-zero-trust)/.test(file.fileName),
    );
    expect(ts.formatDiagnostics(ours, host)).to.equal('');
  });

  it('publint finds nothing', async () => {
    const pkgDir = join(packed.folder, 'node_modules/grpc-zero-trust');
    const { messages, pkg } = await publint({ pkgDir, pack: false, strict: true });
    expect(messages.map((message) => formatMessage(message, pkg))).to.deep.equal([]);
  });

  it('attw finds nothing', () => {
    const attw = join(root, 'node_modules/@arethetypeswrong/cli/dist/index.js');
    const args = [attw, packed.tarball, '--profile', 'esm-only', '--no-definitely-typed', '--no-color', '--no-emoji'];
    const { status, stdout, stderr } = spawnSync(process.execPath, args, { encoding: 'utf8' });
    expect(status, stdout + stderr).to.equal(0);
  });

  it('the program of the README runs as it is printed there', () => {
    const { programs, files } = extractSnippets([{ path: 'README.md', text: read('README.md') }]);
    const service = programs.get('guarded-service');
    const whole = programs.get('guarded-client') ?? service;
    expect(service?.code.trimEnd().split('\n').length).to.be.lessThan(30);
    for (const [name, text] of files) packed.write(name, text);
    const options = { ...compilerOptions(), module: ts.ModuleKind.ESNext, isolatedModules: true };
    const { outputText } = ts.transpileModule(whole?.code ?? '', { compilerOptions: options });
    const { status, stdout, stderr } = packed.node(packed.write('readme.mjs', outputText));
    expect(status, stdout + stderr).to.equal(0);
    const expected = (files.get('output.txt') ?? '').split('\n').filter((line) => line !== '');
    expect(expected).to.have.length.greaterThan(0);
    for (const line of expected) expect(stdout).to.contain(line);
  });
});
