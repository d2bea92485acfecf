/** Certificate, key and bundle in files, written in the ways that the tools of this world write them. */

import { mkdir, mkdtemp, realpath, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as turn } from 'node:timers/promises';
import type { FileIdentity } from 'grpc-zero-trust';
import type { FakeClock } from 'grpc-zero-trust/testing';

/** What stands in the three files. */
export interface IdentityTexts {
  readonly certificate: string;
  readonly privateKey: string;
  readonly bundle: string;
}

type Part = keyof IdentityTexts;

/** File names as cert-manager and Kubernetes have them. */
const NAMES: Record<Part, string> = { certificate: 'tls.crt', privateKey: 'tls.key', bundle: 'ca.crt' };
const PARTS = Object.keys(NAMES) as Part[];

/** A way of writing a set of files. */
export interface Layout {
  /** Where the application finds the files, below the folder. */
  readonly seen: string;
  write(folder: string, texts: IdentityTexts, version: number): Promise<void>;
}

/** Writes each file in place, one after the other. */
export async function writeInPlace(folder: string, texts: Partial<IdentityTexts>): Promise<void> {
  for (const part of PARTS) {
    const text = texts[part];
    if (text !== undefined) await writeFile(join(folder, NAMES[part]), text, { mode: 0o600 });
  }
}

/** Replaces what is at `path`, whatever it is, by a link. */
async function relink(target: string, path: string): Promise<void> {
  await symlink(target, `${path}.new`);
  await rename(`${path}.new`, path);
}

async function writeVersion(folder: string, name: string, texts: IdentityTexts): Promise<void> {
  await mkdir(join(folder, name), { recursive: true });
  await Promise.all(PARTS.map((part) => writeInPlace(join(folder, name), { [part]: texts[part] })));
}

export const LAYOUTS: Record<string, Layout> = {
  'written in place': { seen: '.', write: writeInPlace },
  'written beside and renamed, as step and Vault agent do': {
    seen: '.',
    async write(folder, texts) {
      for (const part of PARTS) {
        const path = join(folder, NAMES[part]);
        await writeFile(`${path}.tmp`, texts[part], { mode: 0o600 });
        await rename(`${path}.tmp`, path);
      }
    },
  },
  'removed and written anew': {
    seen: '.',
    async write(folder, texts) {
      for (const part of PARTS) await rm(join(folder, NAMES[part]), { force: true });
      await writeInPlace(folder, texts);
    },
  },
  'behind ..data, swapped as Kubernetes does': {
    seen: '.',
    async write(folder, texts, version) {
      await writeVersion(folder, `..v${version}`, texts);
      await relink(`..v${version}`, join(folder, '..data'));
      if (version === 1) for (const part of PARTS) await symlink(`..data/${NAMES[part]}`, join(folder, NAMES[part]));
      else await rm(join(folder, `..v${version - 1}`), { recursive: true });
    },
  },
  'in a directory whose link is swapped': {
    seen: 'current',
    async write(folder, texts, version) {
      await writeVersion(folder, `v${version}`, texts);
      await relink(`v${version}`, join(folder, 'current'));
    },
  },
  'links to files of each version, as certbot does': {
    seen: 'live',
    async write(folder, texts, version) {
      await mkdir(join(folder, 'live'), { recursive: true });
      await writeVersion(folder, `archive/${version}`, texts);
      for (const part of PARTS) {
        await relink(`../archive/${version}/${NAMES[part]}`, join(folder, 'live', NAMES[part]));
      }
    },
  },
  'in a directory that is removed and made again': {
    seen: 'made',
    async write(folder, texts) {
      await rm(join(folder, 'made'), { recursive: true, force: true });
      await writeVersion(folder, 'made', texts);
    },
  },
};

/** A folder of its own with an identity in it. */
export class IdentityFolder {
  readonly path: string;
  readonly #layout: Layout;
  #version = 0;

  private constructor(path: string, layout: Layout) {
    this.path = path;
    this.#layout = layout;
  }

  static async create(texts: IdentityTexts, layout = LAYOUTS['written in place'] as Layout): Promise<IdentityFolder> {
    const folder = new IdentityFolder(await realpath(await mkdtemp(join(tmpdir(), 'identity-'))), layout);
    await folder.write(texts);
    return folder;
  }

  /** Where the application finds a part. */
  file(part: Part): string {
    return join(this.path, this.#layout.seen, NAMES[part]);
  }

  /** The options of `fileIdentity` for it. */
  get options() {
    return {
      certificate: this.file('certificate'),
      privateKey: this.file('privateKey'),
      bundles: { 'acme.example': this.file('bundle') },
    };
  }

  /** Writes a new version of the whole set. */
  async write(texts: IdentityTexts): Promise<void> {
    this.#version += 1;
    await this.#layout.write(this.path, texts, this.#version);
  }

  /** Writes single parts, in place. */
  async writeParts(texts: Partial<IdentityTexts>): Promise<void> {
    await writeInPlace(join(this.path, this.#layout.seen), texts);
  }

  remove(): Promise<void> {
    return rm(this.path, { recursive: true });
  }
}

/** Waits for a source on a clock of its own, moving that clock on only where the source waits to read again. */
export function untilSource(source: FileIdentity, clock: FakeClock, holds: () => boolean): Promise<void> {
  return untilClock(clock, holds, () => JSON.stringify(source.status));
}

/** Waits until something holds, moving `clock` on whenever more than `idle` delays (the periodic reading) are pending. */
export async function untilClock(clock: FakeClock, holds: () => boolean, what: () => string, idle = 1): Promise<void> {
  const end = Date.now() + 8_000;
  while (!holds()) {
    if (Date.now() > end) throw new Error(`waited in vain: ${what()}`);
    await nudge(clock, idle);
  }
}

/** One turn, and 50 ms where more than `idle` delays are pending. */
export async function nudge(clock: FakeClock, idle = 1): Promise<void> {
  if (clock.pending > idle) await clock.advance(50);
  await turn();
}
