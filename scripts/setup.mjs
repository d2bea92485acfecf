// Makes a bare clone ready: installs what package-lock.json names and compiles what changed. Needs Node and npm only.
//
//   node scripts/setup.mjs            install when needed, compile src, then tests, examples and benchmarks
//   node scripts/setup.mjs --src      the same without tests, examples and benchmarks

import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const at = (...parts) => join(root, ...parts);

const [major, minor] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 19)) {
  fail(`Node 20.19 or newer is needed; this is ${process.versions.node}.`);
}
install();
compile('tsconfig.json', 'dist', [['src', '']]);
if (!process.argv.includes('--src')) {
  const trees = ['test', 'examples', 'bench'].filter((tree) => sources(at(tree)).length > 0);
  if (trees.length > 0) {
    compile(
      'test/tsconfig.json',
      'build',
      trees.map((tree) => [tree, tree]),
    );
  }
}

function fail(sentence) {
  console.error(`set-up: ${sentence}`);
  process.exit(1);
}

function run(command, args, options = {}) {
  const result = spawnSync(command, args, { cwd: root, stdio: 'inherit', ...options });
  if (result.error) fail(`${command} could not be started: ${result.error.message}`);
  return result.status ?? 1;
}

/** Installs unless the stamp, or npm's own record of the last install, says that the lock file is what is installed. */
function install() {
  const lockText = readFileSync(at('package-lock.json'));
  const digest = createHash('sha256').update(lockText).digest('hex');
  const stamp = at('node_modules', '.set-up');
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === digest) return;
  if (!isInstalled(JSON.parse(lockText))) {
    console.error('set-up: installing what package-lock.json names');
    const args = ['ci', '--include=dev', '--ignore-scripts'];
    const npm = process.env.npm_execpath;
    const byNode = npm?.endsWith('.js') === true;
    const status = byNode
      ? run(process.execPath, [npm, ...args])
      : run('npm', args, { shell: process.platform === 'win32' });
    if (status !== 0) fail('npm ci failed.');
  }
  writeFileSync(stamp, digest);
}

function isInstalled(lock) {
  const record = at('node_modules', '.package-lock.json');
  if (!existsSync(record)) return false;
  const { packages } = JSON.parse(readFileSync(record, 'utf8'));
  return Object.entries(lock.packages).every(
    ([place, entry]) =>
      place === '' || entry.optional || (packages[place]?.version === entry.version && existsSync(at(place))),
  );
}

function sources(folder) {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile() && /\.[cm]?ts$/.test(entry.name) && !entry.name.endsWith('.d.ts'))
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));
}

/** Compiles incrementally, and leaves in `out` exactly what the sources account for. */
function compile(project, out, trees) {
  const state = at('build', '.state', `${out}.tsbuildinfo`);
  mkdirSync(at('build', '.state'), { recursive: true });
  let expected = new Set();
  for (const [tree, place] of trees) {
    for (const source of sources(at(tree))) {
      if (/^types[\\/]cases[\\/]/.test(source)) continue;
      expected.add(join(out, place, source.replace(/ts$/, 'js')));
    }
  }
  // The compiler trusts its state: where an output was deleted behind its back, the state has to go too.
  if ([...expected].some((file) => !existsSync(at(file)))) rmSync(state, { force: true });
  const tsc = at('node_modules', 'typescript', 'bin', 'tsc');
  const status = run(process.execPath, [tsc, '-p', project, '--incremental', '--tsBuildInfoFile', state]);
  if (status !== 0) fail(`${project} does not compile.`);
  expected = new Set([...expected].map((file) => file.replace(/\.([cm]?)js$/, '')));
  for (const [, place] of trees) {
    const folder = at(out, place);
    for (const entry of readdirSync(folder, { withFileTypes: true, recursive: true })) {
      const file = relative(root, join(entry.parentPath, entry.name));
      const stem = file.replace(/(\.d)?\.[cm]?(js|ts)(\.map)?$/, '');
      if (entry.isFile() && stem !== file && !expected.has(stem)) rmSync(at(file));
    }
  }
}
