/**
 * The default audit sink: one JSON line per event through pino.
 *
 * @module
 */

import { type Logger, pino } from 'pino';
import type { AuditEvent, AuditSink } from './types.js';

/** Options of {@link pinoAudit}. */
export interface PinoAuditOptions {
  /** A file (appended to, created with its folder), or a file descriptor. Default 1, standard output. */
  readonly destination?: string | number;
  /** A logger of your own, which you flush and close yourself; `destination` is then not used. */
  readonly logger?: Logger;
}

/** Lines are handed to the file this many characters at a time: joining them is cheaper than writing each. */
const BATCH_LENGTH = 12_000;
const FLUSH_MS = 100;
/** What may wait for a file that does not take it; beyond that, records are lost rather than the process. */
const MOST_WAITING_BYTES = 64 * 1024 * 1024;

/**
 * An audit sink that writes one JSON line per event: refusals at level `warn`, all else at `info`. Lines are held for at
 * most 100 ms. It does not promise durability: what the process held when it was killed is lost, and a full disk loses
 * lines. Close it (the guard closes the one it made) to write out the rest.
 */
export function pinoAudit(options: PinoAuditOptions = {}): AuditSink {
  const { logger, destination = 1 } = options;
  if (logger !== undefined) return { write: (event) => emit(logger, event), close: async () => {} };
  const file = pino.destination({ dest: destination, sync: false, mkdir: true, maxLength: MOST_WAITING_BYTES });
  file.on('error', () => {
    // A file that is gone must not take the process with it; what it did not take is lost, as documented.
  });
  let held = '';
  let timer: NodeJS.Timeout | null = null;
  const flush = (): void => {
    if (timer !== null) clearTimeout(timer);
    timer = null;
    const lines = held;
    held = '';
    if (lines !== '') file.write(lines);
  };
  const batch = {
    write(line: string): void {
      held += line;
      if (held.length >= BATCH_LENGTH) flush();
      else if (timer === null) {
        timer = setTimeout(flush, FLUSH_MS);
        timer.unref();
      }
    },
  };
  const own = pino({ base: null, timestamp: false, messageKey: 'message' }, batch);
  let closed: Promise<void> | null = null;
  return {
    write(event) {
      if (closed === null) emit(own, event);
    },
    close() {
      closed ??= new Promise((resolve) => {
        file.once('close', resolve);
        file.once('error', () => resolve());
        flush();
        file.end();
      });
      return closed;
    },
  };
}

function emit(logger: Logger, event: AuditEvent): void {
  if (event.type === 'decision' && event.outcome !== 'allowed') logger.warn(event);
  else logger.info(event);
}
