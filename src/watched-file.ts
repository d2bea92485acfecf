/**
 * Files that others replace under our feet.
 *
 * @module
 */

import { constants, type FSWatcher, readlinkSync, statSync, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { join, parse, resolve, sep } from 'node:path';

/** A watch on paths. */
export interface Watch {
  /** Watches again where a watch was lost, a directory was replaced, or a symbolic link leads elsewhere now. */
  rearm(): void;
  close(): void;
}

/** What was read from a file. */
export interface FileContent {
  readonly bytes: Uint8Array;
  /** The permission bits; meaningless on Windows. */
  readonly mode: number;
}

/** Why a file could not be read. The message never holds any of its content. */
export class FileReadError extends Error {
  override readonly name = 'FileReadError';
}

interface Armed {
  readonly watcher: FSWatcher;
  /** A directory that is removed and made again has the same path and another inode. */
  readonly inode: bigint;
}

/** As many as Linux follows. */
const MOST_LINKS = 40;

/**
 * Calls `changed` when something happened in a directory that decides what is read under one of `paths`: the one the
 * file lies in, and each in which a symbolic link on the way stands. Writes, renames and swapped links all show there. It
 * may call too often, and on some file systems not at all: read again now and then. Does not keep the process alive.
 */
export function watchPaths(paths: readonly string[], changed: () => void): Watch {
  const watchers = new Map<string, Armed>();
  let closed = false;

  const disarm = (directory: string): void => {
    watchers.get(directory)?.watcher.close();
    watchers.delete(directory);
  };
  const arm = (): void => {
    if (closed) return;
    const wanted = new Map<string, bigint>();
    for (const path of paths) addDirectories(path, wanted);
    for (const [directory, { inode }] of [...watchers]) {
      if (wanted.get(directory) !== inode) disarm(directory);
    }
    for (const [directory, inode] of wanted) {
      if (watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, { persistent: false }, () => {
          arm();
          changed();
        });
        watcher.on('error', () => {
          if (watchers.get(directory)?.watcher === watcher) disarm(directory);
        });
        watchers.set(directory, { watcher, inode });
      } catch {
        // Gone again, or no watches left: reading again now and then has to do.
      }
    }
  };

  arm();
  return {
    rearm: arm,
    close() {
      closed = true;
      for (const directory of [...watchers.keys()]) disarm(directory);
    },
  };
}

/** Follows `path` component by component, as opening it would, and adds the directories in which it can be changed. */
function addDirectories(path: string, directories: Map<string, bigint>): void {
  const absolute = resolve(path);
  let at = parse(absolute).root;
  let left = componentsOf(absolute);
  for (let links = 0; links <= MOST_LINKS; ) {
    const [next, ...further] = left;
    if (next === undefined) return;
    const found = join(at, next);
    const target = linkTarget(found);
    if (target !== null || further.length === 0) addDirectory(at, directories);
    if (target === MISSING) return;
    if (target === null) {
      at = found;
      left = further;
    } else {
      const led = resolve(at, target);
      at = parse(led).root;
      left = [...componentsOf(led), ...further];
      links += 1;
    }
  }
}

const MISSING = Symbol('missing');

/** Where a symbolic link leads; `null` for what is no link. */
function linkTarget(path: string): string | typeof MISSING | null {
  try {
    return readlinkSync(path);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? MISSING : null;
  }
}

function componentsOf(absolute: string): string[] {
  return absolute.slice(parse(absolute).root.length).split(sep).filter(Boolean);
}

function addDirectory(directory: string, directories: Map<string, bigint>): void {
  try {
    directories.set(directory, statSync(directory, { bigint: true }).ino);
  } catch {
    // Gone at this moment.
  }
}

/**
 * Reads a regular file of at most `maxBytes`.
 *
 * @throws FileReadError when it is missing, unreadable, not a regular file, or longer
 */
export async function readBounded(path: string, maxBytes: number): Promise<Uint8Array> {
  return (await readContent(path, maxBytes)).bytes;
}

/**
 * As {@link readBounded}, with the permissions of the very file that was read.
 *
 * @throws FileReadError when it is missing, unreadable, not a regular file, or longer
 */
export async function readContent(path: string, maxBytes: number): Promise<FileContent> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      const stat = await handle.stat();
      if (!stat.isFile()) throw new FileReadError('it is not a regular file');
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      while (length <= maxBytes) {
        const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      if (length > maxBytes) throw new FileReadError(`it is longer than ${maxBytes} bytes`);
      return { bytes: Buffer.from(buffer.subarray(0, length)), mode: stat.mode & 0o777 };
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof FileReadError) throw error;
    throw new FileReadError(`it cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
  }
}
