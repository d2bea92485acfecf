/** The package as a user gets it: packed, and installed into an empty folder. */

import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { read, root } from '../house/tree.js';

/** An installed package and the folder it is installed in. */
export interface Packed {
  readonly folder: string;
  readonly tarball: string;
  /** Paths in the tarball. */
  readonly files: readonly string[];
  /** Writes a file into the folder and returns its path. */
  write(name: string, text: string): string;
  /** Runs Node in the folder. */
  node(...args: string[]): { readonly status: number | null; readonly stdout: string; readonly stderr: string };
  remove(): void;
}

interface LockEntry {
  readonly version?: string;
  readonly dev?: boolean;
}

const PEERS = ['@grpc/grpc-js', '@grpc/proto-loader'];

/** The versions of our own lock file, so that the install needs nothing that the set-up did not already fetch. */
function lockedVersions(): Record<string, string> {
  const { packages } = JSON.parse(read('package-lock.json')) as { packages: Record<string, LockEntry> };
  const versions: Record<string, string> = {};
  for (const [place, { version }] of Object.entries(packages)) {
    const name = place.replace(/^node_modules\//, '');
    if (place !== '' && !name.includes('node_modules/') && version !== undefined) versions[name] = version;
  }
  return versions;
}

/** Runs npm, by its script where we were started by npm. */
function npm(cwd: string, ...args: string[]): string {
  const script = process.env['npm_execpath'];
  const run = script?.endsWith('.js')
    ? spawnSync(process.execPath, [script, ...args], { cwd, encoding: 'utf8' })
    : spawnSync('npm', args, { cwd, encoding: 'utf8', shell: process.platform === 'win32' });
  if (run.status !== 0) throw new Error(`npm ${args.join(' ')} failed\n${run.stdout}${run.stderr}`);
  return run.stdout;
}

/** Packs the checkout and installs the result. */
export function packAndInstall(): Packed {
  const folder = mkdtempSync(join(tmpdir(), 'packed-'));
  const [packed] = JSON.parse(npm(root, 'pack', '--ignore-scripts', '--json', '--pack-destination', folder)) as [
    { filename: string; files: { path: string }[] },
  ];
  const tarball = join(folder, packed.filename.replace(/^@/, '').replaceAll('/', '-'));
  const locked = lockedVersions();
  const dependencies = Object.fromEntries(PEERS.map((name) => [name, locked[name] ?? '*']));
  const overrides = Object.fromEntries(Object.entries(locked).filter(([name]) => !PEERS.includes(name)));
  const manifest = { name: 'user', private: true, type: 'module', dependencies, overrides };
  writeFileSync(join(folder, 'package.json'), JSON.stringify(manifest));
  npm(folder, 'install', '--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund', `file:${tarball}`);
  return {
    folder,
    tarball,
    files: packed.files.map((file) => file.path),
    write(name, text) {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    },
    node(...args) {
      const { status, stdout, stderr } = spawnSync(process.execPath, args, {
        cwd: folder,
        encoding: 'utf8',
        timeout: 60_000,
      });
      return { status, stdout, stderr };
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

/** The manifest of the checkout. */
export function manifest(): { readonly exports: Record<string, unknown>; readonly version: string } {
  return JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
}
