/** How a process joins the fleet: it asks its launcher who it is, and gets its tokens from there. */

import { type StaticIdentityOptions, staticIdentity, type TokenSource, type X509Source } from 'grpc-zero-trust';
import { type Line, openLine } from './ipc.js';
import type { Agent } from './rights.js';

/** What the launcher hands to a process, and to no other. */
export interface Briefing {
  readonly identity: StaticIdentityOptions;
  /** Where the task service listens; empty for the service itself. */
  readonly tasks: string;
  /** The issuer of tokens and its public keys: what a server must know. */
  readonly issuer: string;
  readonly jwks: { keys: object[] };
}

/** A process that has joined. */
export interface Workload extends Omit<Briefing, 'identity'> {
  readonly line: Line;
  readonly identity: X509Source;
  /** The identity as texts, for one who does without a guard. */
  readonly texts: StaticIdentityOptions;
  /** Tokens of its own, bound to its own certificate. */
  readonly tokens: TokenSource;
  /** Tokens by which it acts on behalf of another. */
  tokensOnBehalfOf(subject: Agent): TokenSource;
}

export async function joinFleet(): Promise<Workload> {
  const line = openLine(process);
  // Ctrl-C reaches every process of a terminal; the launcher closes its children in order.
  process.on('SIGINT', () => {});
  process.once('disconnect', () => process.exit());
  const briefing = await line.ask<Briefing>('who am I');
  const tokens = (subject?: Agent): TokenSource => ({
    getToken: ({ audience }) => line.ask('token', { audience, subject }),
  });
  return {
    ...briefing,
    line,
    identity: await staticIdentity(briefing.identity),
    texts: briefing.identity,
    tokens: tokens(),
    tokensOnBehalfOf: tokens,
  };
}
