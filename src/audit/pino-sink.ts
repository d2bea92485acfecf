/**
 * The default audit sink: one JSON line per event through pino.
 *
 * @module
 */

import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Logger, pino } from 'pino';
import { ConfigurationError } from '../errors.js';
import type { AuditEvent, AuditSink } from './types.js';

/** Options of {@link pinoAudit}. */
export interface PinoAuditOptions {
  /** A file (appended to, created with its folder), or a file descriptor. Default 1, standard output. */
  readonly destination?: string | number;
  /** A logger of your own, which you flush and close yourself; `destination` is then not used. */
  readonly logger?: Logger;
}

/** Lines are handed to the file this many characters at a time: each write costs as much as a dozen lines. */
const BATCH_LENGTH = 65_536;
const FLUSH_MS = 100;
/** What may wait for a file that does not take it; beyond that, records are lost rather than the process. */
const MOST_WAITING_BYTES = 64 * 1024 * 1024;

/**
 * An audit sink that writes one JSON line per event: refusals at level `warn`, all else at `info`. Lines are held for at
 * most 100 ms. It does not promise durability: what the process held when it was killed is lost, and a full disk loses
 * lines. Close it (the guard closes the one it made) to write out the rest.
 *
 * @throws ConfigurationError when the file cannot be opened: better no start than one without a trail.
 */
export function pinoAudit(options: PinoAuditOptions = {}): AuditSink {
  const { logger, destination = 1 } = options;
  if (logger !== undefined) return { write: (event) => emit(logger, event), close: async () => {} };
  const descriptor = openDestination(destination);
  const file = pino.destination({
    dest: descriptor,
    sync: false,
    maxLength: MOST_WAITING_BYTES,
    contentMode: 'buffer',
  });
  file.on('error', () => {
    // A file that is gone must not take the process with it; what it did not take is lost, as documented.
  });
  let held: string[] = [];
  let heldLength = 0;
  let timer: NodeJS.Timeout | null = null;
  const take = (): Buffer => {
    if (timer !== null) clearTimeout(timer);
    const lines = Buffer.from(held.join(''), 'utf8');
    timer = null;
    held = [];
    heldLength = 0;
    return lines;
  };
  const flush = (): void => {
    const lines = take();
    // In this mode the destination takes bytes, which its type does not say.
    if (lines.length > 0) (file as unknown as { write(bytes: Uint8Array): boolean }).write(lines);
  };
  // A process that ends by itself without closing its sink still writes what is held.
  const atExit = (): void => {
    try {
      file.flushSync();
      writeSync(descriptor, take());
    } catch {
      // The file is gone.
    }
  };
  process.once('exit', atExit);
  let closed: Promise<void> | null = null;
  return {
    write(event) {
      if (closed !== null) return;
      const line = lineOf(event);
      held.push(line);
      heldLength += line.length;
      if (heldLength >= BATCH_LENGTH) flush();
      else if (timer === null) {
        timer = setTimeout(flush, FLUSH_MS);
        timer.unref();
      }
    },
    close() {
      closed ??= new Promise((resolve) => {
        process.removeListener('exit', atExit);
        file.once('close', resolve);
        file.once('error', () => resolve());
        flush();
        file.end();
      });
      return closed;
    },
  };
}

function openDestination(destination: string | number): number {
  if (typeof destination === 'number') return destination;
  try {
    mkdirSync(dirname(destination), { recursive: true });
    return openSync(destination, 'a');
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    throw new ConfigurationError('pinoAudit', [
      {
        place: 'destination',
        problem: `${JSON.stringify(destination)} cannot be opened for appending (${code})`,
        remedy: 'Name a file this process may write to, or leave it out for standard output',
      },
    ]);
  }
}

/** A line as a pino logger writes it. Made in one piece: pino's own is put together from some sixty. */
function lineOf(event: AuditEvent): string {
  return `${JSON.stringify({ level: pino.levels.values[levelOf(event)], ...event })}\n`;
}

function emit(logger: Logger, event: AuditEvent): void {
  logger[levelOf(event)](event);
}

function levelOf(event: AuditEvent): 'info' | 'warn' {
  return event.type === 'decision' && event.outcome !== 'allowed' ? 'warn' : 'info';
}
