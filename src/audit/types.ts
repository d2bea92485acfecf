/**
 * What is written down: one event per decision, redacted by construction. An event has no member that could hold a
 * token, a key or a message.
 *
 * @module
 */

import type { Reason } from '../errors.js';
import type { AuditedResource } from '../policy/types.js';

/**
 * Who called. Settled once per connection and token. What a token says stands here once its signature is verified, also
 * where the call was refused: of a stolen token, `peer` is who sent it and `subject` whose it is.
 */
export interface AuditCaller {
  /** The workload at the other end of the connection: what TLS proved. */
  readonly peer: string | null;
  /** `x5t#S256` of its certificate. */
  readonly fingerprint: string | null;
  readonly serialNumber: string | null;
  readonly issuer: string | null;
  /** On whose behalf. */
  readonly subject: string | null;
  /** Through whom, outermost first. */
  readonly actors: readonly string[];
  /** `jti`. */
  readonly tokenId: string | null;
}

/** A decision about a call. */
export interface DecisionEvent extends AuditCaller {
  readonly type: 'decision';
  /**
   * `call`: the whole record of a unary call or a refused call, written when it ends. A stream has two records under
   * one decision id: `opened`, when it is admitted, and `closed`, when it ends. `admitted` is written before the
   * handler runs where a method requires its record.
   */
  readonly phase: 'call' | 'opened' | 'closed' | 'admitted';
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
  /** Unique; the caller of a refused call was told the same. */
  readonly decisionId: string;
  /** Full method, `/pkg.Service/Method`. */
  readonly method: string;
  /** `shadow`: it would have been refused, and was let through because the method is in shadow. */
  readonly outcome: 'allowed' | 'refused' | 'shadow';
  /** Why it was (or would have been) refused. */
  readonly reason: Reason | null;
  /** What exactly was wrong. For the operator; never sent to the caller. */
  readonly detail: string | null;
  readonly resources: readonly AuditedResource[];
  /** Messages received from the caller and handed to the handler. */
  readonly messages: number;
  /**
   * The final gRPC status code. `null` while a stream is open, and where the call ended below the guard: the client
   * cancelled, the connection was lost, or a message could not be read.
   */
  readonly status: number | null;
  /** From the arrival of the call to this record; milliseconds, measured, fractional. */
  readonly latencyMs: number;
}

/** Something the guard itself has to say. */
export interface GuardEvent {
  readonly type: 'guard';
  /** Milliseconds since the Unix epoch. */
  readonly time: number;
  readonly event:
    | 'started'
    | 'closed'
    | 'unsafe-test-authority'
    | 'shadow'
    | 'shadow-ended'
    | 'identity-changed'
    | 'identity-refused'
    | 'revocations-changed'
    | 'connection-refused'
    | 'connection-closed'
    | 'stream-renewed'
    | 'internal-error';
  readonly detail: Readonly<Record<string, string | number | boolean | null>>;
}

/** One line of the audit trail. */
export type AuditEvent = DecisionEvent | GuardEvent;

/** Where audit events go. */
export interface AuditSink {
  /**
   * Takes one event. Called synchronously on the path of calls; it must not block. A sink that returns a promise is
   * awaited only where a method requires its record; anywhere else a rejection is counted and the call goes on.
   */
  write(event: AuditEvent): void | Promise<void>;
  /** Writes out what is held and releases what the sink owns. */
  close(): Promise<void>;
  /** `true` promises that `write` resolves only when the event can no longer be lost. Needed by `audit.required`. */
  readonly durable?: boolean;
}
