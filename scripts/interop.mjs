// Runs the tests against peers in other languages, and says plainly what is left out because a language is missing.

import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = fileURLToPath(new URL('../build/test/interop', import.meta.url));
const tests = existsSync(folder)
  ? readdirSync(folder, { recursive: true }).filter((name) => `${name}`.endsWith('.test.js'))
  : [];
if (tests.length === 0) {
  console.log('no interop tests yet');
  process.exit(0);
}

const runs = (command, ...args) => spawnSync(command, args, { stdio: 'ignore', timeout: 60_000 }).status === 0;
const peers = {
  go: { present: runs('go', 'version'), needs: 'the go command' },
  python: { present: runs('python3', '-c', 'import grpc'), needs: 'python3 with the grpcio package' },
};
for (const [peer, { present, needs }] of Object.entries(peers)) {
  console.log(present ? `${peer} peer: found` : `${peer} peer: SKIPPED, ${needs} is not on this machine`);
}
const names = Object.keys(peers).filter((peer) => peers[peer].present);
const mocha = fileURLToPath(new URL('../node_modules/mocha/bin/mocha.js', import.meta.url));
const result = spawnSync(process.execPath, [mocha, 'build/test/interop/**/*.test.js', ...process.argv.slice(2)], {
  cwd: root,
  stdio: 'inherit',
  env: { ...process.env, INTEROP_PEERS: names.join(',') },
});
process.exit(result.status ?? 1);
