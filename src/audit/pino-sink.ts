/**
 * The default audit sink: one JSON line per event through pino.
 *
 * @module
 */

import { mkdirSync, openSync } from 'node:fs';
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

const BUFFER_BYTES = 8_192;
const FLUSH_MS = 100;

/**
 * An audit sink that writes one JSON line per event: refusals at level `warn`, all else at `info`. Lines are buffered
 * for at most 100 ms. It does not promise durability: what the process held when it was killed is lost, and a full
 * disk loses lines. Close it (the guard closes the one it made) to write out the rest.
 *
 * @throws ConfigurationError when the file cannot be opened: better no start than one without a trail.
 */
export function pinoAudit(options: PinoAuditOptions = {}): AuditSink {
  const { logger, destination = 1 } = options;
  if (logger !== undefined) return { write: (event) => emit(logger, event), close: async () => {} };
  const stream = pino.destination({
    dest: openDestination(destination),
    sync: false,
    minLength: BUFFER_BYTES,
  });
  stream.on('error', () => {
    // Reported by the write that failed next; an audit stream that is gone must not take the process with it.
  });
  const own = pino({ base: null, timestamp: false, messageKey: 'message' }, stream);
  let timer: NodeJS.Timeout | null = null;
  let closed = false;
  const flush = (): void => {
    timer = null;
    try {
      stream.flush();
    } catch {
      // Not open yet or destroyed: what is buffered goes with the next flush or with close.
    }
  };
  return {
    write(event) {
      if (closed) return;
      emit(own, event);
      if (timer === null) {
        timer = setTimeout(flush, FLUSH_MS);
        timer.unref();
      }
    },
    close() {
      if (closed) return Promise.resolve();
      closed = true;
      if (timer !== null) clearTimeout(timer);
      return new Promise((resolve) => {
        stream.once('close', resolve);
        stream.once('error', () => resolve());
        stream.end();
      });
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
