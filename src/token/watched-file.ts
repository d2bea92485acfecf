/**
 * Files that others replace under our feet.
 *
 * @module
 */

import { constants, type FSWatcher, realpathSync, watch } from 'node:fs';
import { open } from 'node:fs/promises';
import { dirname } from 'node:path';

/** A watch on a path. */
export interface Watch {
  /** Watches again where a watch was lost, or a symbolic link leads elsewhere now. */
  rearm(): void;
  close(): void;
}

/** Why a file could not be read. The message never holds any of its content. */
export class FileReadError extends Error {
  override readonly name = 'FileReadError';
}

/**
 * Calls `changed` when something happened in the directory of `path`, or in the one its symbolic links lead to: writes,
 * renames and swapped links all show there. It may call too often, and on some file systems not at all: read again now
 * and then. Does not keep the process alive.
 */
export function watchPath(path: string, changed: () => void): Watch {
  const watchers = new Map<string, FSWatcher>();
  let closed = false;

  const arm = (): void => {
    if (closed) return;
    const wanted = directoriesOf(path);
    for (const [directory, watcher] of watchers) {
      if (wanted.has(directory)) continue;
      watcher.close();
      watchers.delete(directory);
    }
    for (const directory of wanted) {
      if (watchers.has(directory)) continue;
      try {
        const watcher = watch(directory, { persistent: false }, () => {
          arm();
          changed();
        });
        watcher.on('error', () => {
          watcher.close();
          watchers.delete(directory);
        });
        watchers.set(directory, watcher);
      } catch {
        // Not there yet, or no watches left: reading again now and then has to do.
      }
    }
  };

  arm();
  return {
    rearm: arm,
    close() {
      closed = true;
      for (const watcher of watchers.values()) watcher.close();
      watchers.clear();
    },
  };
}

function directoriesOf(path: string): Set<string> {
  const directories = new Set([dirname(path)]);
  try {
    directories.add(dirname(realpathSync(path)));
  } catch {
    // The file is not there at this moment.
  }
  return directories;
}

/**
 * Reads a regular file of at most `maxBytes`.
 * @throws FileReadError when it is missing, unreadable, not a regular file, or longer
 */
export async function readBounded(path: string, maxBytes: number): Promise<Uint8Array> {
  try {
    // Without O_NONBLOCK, opening a named pipe would wait for a writer.
    const handle = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0));
    try {
      if (!(await handle.stat()).isFile()) throw new FileReadError('it is not a regular file');
      const buffer = Buffer.alloc(maxBytes + 1);
      let length = 0;
      while (length <= maxBytes) {
        const { bytesRead } = await handle.read(buffer, length, buffer.length - length, null);
        if (bytesRead === 0) break;
        length += bytesRead;
      }
      if (length > maxBytes) throw new FileReadError(`it is longer than ${maxBytes} bytes`);
      return Buffer.from(buffer.subarray(0, length));
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof FileReadError) throw error;
    throw new FileReadError(`it cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown error'})`);
  }
}
