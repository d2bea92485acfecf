/** Launches the fleet: one authority in this process, and a process for each workload. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AuditEvent, RevocationEntry } from 'grpc-zero-trust';
import {
  createTestAuthority,
  type TestAuthority,
  type TestIdentity,
  type TestTokenOptions,
} from 'grpc-zero-trust/testing';
import { agentId, TASKS_ID, TRUST_DOMAIN } from './api.js';
import { type Line, openLine } from './ipc.js';
import { type Agent, ON_BEHALF_OF, RIGHTS } from './rights.js';
import type { Briefing } from './workload.js';

export type WorkloadName = 'tasks' | Agent;

interface Member {
  readonly process: ChildProcess;
  readonly line: Line;
  readonly identity: TestIdentity;
}

/** The processes, and what the launcher can do for and to them. */
export interface Fleet {
  /** Where the task service listens. */
  readonly address: string;
  readonly pids: Readonly<Record<WorkloadName, number>>;
  readonly identities: Readonly<Record<Agent, TestIdentity>>;
  /** The token that was issued last to an agent. */
  lastTokenOf(agent: Agent): string;
  /** Issues a token with the rights of an agent; `more` makes it an unusual one. */
  tokenFor(agent: Agent, more?: Partial<TestTokenOptions>): Promise<string>;
  ask<A>(who: WorkloadName, question: string, content?: unknown): Promise<A>;
  revoke(entry: RevocationEntry): Promise<void>;
  /** Called with each line of the audit trail of the task service. */
  onAudit(listener: (event: AuditEvent) => void): void;
  /** Rejects when a process ends that should not. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

export async function launchFleet(): Promise<Fleet> {
  const authority = await createTestAuthority({ trustDomain: TRUST_DOMAIN });
  const members = new Map<WorkloadName, Member>();
  const issued = new Map<Agent, string>();
  const listeners: ((event: AuditEvent) => void)[] = [];
  let closing = false;
  let breaks: (error: Error) => void = () => {};
  const broken = new Promise<never>((_, reject) => {
    breaks = reject;
  });
  broken.catch(() => {});

  const memberOf = (name: WorkloadName): Member => {
    const member = members.get(name);
    if (member === undefined) throw new Error(`${name} is not running`);
    return member;
  };
  const tokenFor = (agent: Agent, more: Partial<TestTokenOptions> = {}): Promise<string> =>
    authority.token({ boundTo: memberOf(agent).identity, audience: TASKS_ID, grants: RIGHTS[agent], ...more });

  const start = async (name: WorkloadName, path: string, tasks: string): Promise<string> => {
    const identity = await authority.identity(path);
    const process = fork(new URL(`./${name}.js`, import.meta.url));
    const line = openLine(process);
    members.set(name, { process, line, identity });
    process.once('exit', (code, signal) => {
      if (closing) return;
      const error = new Error(`${name} (process ${process.pid}) ended unexpectedly: ${signal ?? `exit code ${code}`}`);
      for (const member of members.values()) member.line.fail(error);
      breaks(error);
    });
    line.on('who am I', () => briefing(authority, identity, tasks));
    if (name === 'tasks') line.on('audit', (event: AuditEvent) => listeners.forEach((listener) => listener(event)));
    // Whoever asks on this line is `name`: no process can get a token of another.
    else line.on('token', (wanted: Wanted) => issue(tokenFor, issued, name, wanted));
    return new Promise((resolve, reject) => {
      line.on('ready', (address?: string) => resolve(address ?? ''));
      broken.catch(reject);
    });
  };
  const close = async (): Promise<void> => {
    closing = true;
    for (const { process } of members.values()) {
      if (process.exitCode !== null || process.signalCode !== null) continue;
      const gone = once(process, 'exit');
      process.disconnect(); // its cue to leave
      const impatient = setTimeout(() => process.kill('SIGKILL'), 2_000);
      await gone;
      clearTimeout(impatient);
    }
  };

  try {
    const address = await start('tasks', 'services/tasks', '');
    await Promise.all((Object.keys(RIGHTS) as Agent[]).map((agent) => start(agent, `agents/${agent}`, address)));
    return {
      address,
      pids: byName(members, ({ process }) => process.pid ?? 0),
      identities: byName(members, ({ identity }) => identity),
      lastTokenOf: (agent) => issued.get(agent) ?? '',
      tokenFor,
      ask: (who, question, content) => memberOf(who).line.ask(question, content),
      revoke: (entry) => memberOf('tasks').line.ask('revoke', entry),
      onAudit: (listener) => void listeners.push(listener),
      broken,
      close,
    };
  } catch (error) {
    await close();
    throw error;
  }
}

interface Wanted {
  readonly audience: string;
  readonly subject?: Agent;
}

/** What the authority decides when an agent wants a token: its rights and no more, and on behalf of whom it may act. */
async function issue(
  tokenFor: Fleet['tokenFor'],
  issued: Map<Agent, string>,
  actor: Agent,
  { audience, subject }: Wanted,
): Promise<string> {
  if (subject === undefined) {
    const token = await tokenFor(actor, { audience });
    issued.set(actor, token);
    return token;
  }
  const delegation = ON_BEHALF_OF.find((entry) => entry.actor === actor && entry.subject === subject);
  if (delegation === undefined) throw new Error(`${actor} may not act on behalf of ${subject}`);
  const { grants } = delegation;
  return tokenFor(actor, { audience, grants, subject: agentId(subject), actors: [agentId(actor)] });
}

function briefing(authority: TestAuthority, identity: TestIdentity, tasks: string): Briefing {
  return { identity: identity.export(), tasks, issuer: authority.issuer, jwks: authority.jwks() };
}

function byName<T>(members: ReadonlyMap<WorkloadName, Member>, of: (member: Member) => T): Record<WorkloadName, T> {
  return Object.fromEntries([...members].map(([name, member]) => [name, of(member)])) as Record<WorkloadName, T>;
}
