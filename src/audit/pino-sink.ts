/**
 * The default audit sink: one JSON line per event through pino.
 *
 * @module
 */

import { mkdirSync, openSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { type Logger, pino } from 'pino';
import { ConfigurationError } from '../errors.js';
import { LineWriter } from './line.js';
import type { AuditEvent, AuditSink } from './types.js';

/** Options of {@link pinoAudit}. */
export interface PinoAuditOptions {
  /** A file (appended to, created with its folder), or a file descriptor. Default 1, standard output. */
  readonly destination?: string | number;
  /** A logger of your own, which you flush and close yourself; `destination` is then not used. */
  readonly logger?: Logger;
}

/** Lines are handed to the file this many bytes at a time: the file is written by another thread, which is woken each time. */
const BATCH_BYTES = 65_536;
/** No character of a text takes more in UTF-8. */
const BYTES_PER_UNIT = 3;
const FLUSH_MS = 100;
/** Events that are turned into lines together. */
const BATCH_EVENTS = 128;
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
  // Bytes, not text: lines that were joined as text would be kept in a thousand pieces until they are written.
  let held = Buffer.allocUnsafeSlow(BATCH_BYTES);
  let from = 0;
  let to = 0;
  let timer: NodeJS.Timeout | null = null;
  // In this mode it takes bytes, which its types do not know.
  const write = (bytes: Buffer): unknown => file.write(bytes as unknown as string);
  const hand = (): void => {
    if (to > from) write(held.subarray(from, to));
    from = to;
  };
  const hold = (line: string): void => {
    const most = line.length * BYTES_PER_UNIT;
    if (to + most > BATCH_BYTES) {
      hand();
      if (most > BATCH_BYTES) {
        write(Buffer.from(line));
        return;
      }
      held = Buffer.allocUnsafeSlow(BATCH_BYTES);
      from = 0;
      to = 0;
    }
    to += held.write(line, to);
  };
  const lines = new LineWriter();
  let pending: AuditEvent[] = [];
  // Many lines in one go cost less than half of the same lines one by one between the work of calls.
  const drain = (): void => {
    const events = pending;
    pending = [];
    for (const event of events) hold(lines.lineOf(event));
  };
  const flush = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    drain();
    hand();
  };
  // A process that ends by itself without closing its sink still writes what is held.
  const atExit = (): void => {
    try {
      drain();
      file.flushSync();
      writeSync(descriptor, held, from, to - from);
    } catch {
      // The file is gone.
    }
  };
  process.once('exit', atExit);
  let closed: Promise<void> | null = null;
  return {
    write(event) {
      if (closed !== null) return;
      pending.push(event);
      if (pending.length >= BATCH_EVENTS) drain();
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

function emit(logger: Logger, event: AuditEvent): void {
  if (event.type === 'decision' && event.outcome !== 'allowed') logger.warn(event);
  else logger.info(event);
}
