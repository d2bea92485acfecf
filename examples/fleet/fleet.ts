/** Launches the fleet, a process for each workload, and ends it. */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import type { AuditEvent, RevocationEntry } from 'grpc-zero-trust';
import { FleetAuthority, type Wanted } from './authority.js';
import { type Line, openLine } from './ipc.js';
import type { Agent } from './rights.js';

export type WorkloadName = 'tasks' | Agent;

const WORKLOADS: readonly WorkloadName[] = ['tasks', 'planner', 'worker', 'intruder'];

/** The processes, and what the launcher can do for and to them. */
export interface Fleet {
  readonly authority: FleetAuthority;
  /** Where the task service listens. */
  readonly address: string;
  readonly pids: Readonly<Record<WorkloadName, number>>;
  ask<A>(who: WorkloadName, question: string, content?: unknown): Promise<A>;
  /** Tells the task service that something is revoked from now on. */
  revoke(entry: RevocationEntry): Promise<void>;
  /** Called with each line of the audit trail of the task service. */
  onAudit(listener: (event: AuditEvent) => void): void;
  /** Rejects when a process ends that should not. */
  readonly broken: Promise<never>;
  close(): Promise<void>;
}

export async function launchFleet(): Promise<Fleet> {
  const authority = await FleetAuthority.create();
  const processes: ChildProcess[] = [];
  const lines = {} as Record<WorkloadName, Line>;
  const pids = {} as Record<WorkloadName, number>;
  const listeners: ((event: AuditEvent) => void)[] = [];
  let closing = false;
  let fail: (error: Error) => void = () => {};
  const broken = new Promise<never>((_, reject) => {
    fail = reject;
  });
  broken.catch(() => {});

  const close = async (): Promise<void> => {
    closing = true;
    for (const line of Object.values(lines)) line.fail(new Error('the fleet was closed'));
    await Promise.all(processes.map(end));
  };
  for (const name of WORKLOADS) {
    const process = fork(new URL(`./${name}.js`, import.meta.url), { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] });
    processes.push(process);
    lines[name] = openLine(process);
    pids[name] = process.pid ?? 0;
    process.once('exit', (code, signal) => {
      if (closing) return;
      const error = new Error(`${name} (process ${pids[name]}) ended unexpectedly, ${signal ?? `exit code ${code}`}`);
      for (const line of Object.values(lines)) line.fail(error);
      fail(error);
    });
  }
  const ready = (name: WorkloadName): Promise<string> =>
    new Promise((resolve) => {
      lines[name].on('ready', (address?: string) => resolve(address ?? ''));
    });

  const listening = ready('tasks');
  for (const name of WORKLOADS) {
    // Who asks is known by the line: no process can get the certificate or the tokens of another.
    lines[name].on('who am I', async () => authority.brief(name, name === 'tasks' ? '' : await listening));
    if (name !== 'tasks') lines[name].on('token', (wanted: Wanted) => authority.issue(name, wanted));
  }
  lines.tasks.on('audit', (event: AuditEvent) => {
    for (const listener of listeners) listener(event);
  });
  try {
    await Promise.race([Promise.all([listening, ...WORKLOADS.slice(1).map(ready)]), broken, tooLong()]);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    authority,
    address: await listening,
    pids,
    ask: (who, question, content) => lines[who].ask(question, content),
    revoke: (entry) => lines.tasks.ask('revoke', entry),
    onAudit: (listener) => void listeners.push(listener),
    broken,
    close,
  };
}

const START_MS = 30_000;

function tooLong(): Promise<never> {
  return new Promise((_, reject) => {
    setTimeout(() => reject(new Error(`the fleet did not start within ${START_MS / 1000} s`)), START_MS).unref();
  });
}

/** A process leaves when its line is cut; one that does not is ended. */
async function end(process: ChildProcess): Promise<void> {
  if (process.exitCode !== null || process.signalCode !== null || process.pid === undefined) return;
  const gone = once(process, 'exit');
  if (process.connected) process.disconnect();
  const impatient = setTimeout(() => process.kill('SIGKILL'), 2_000);
  await gone;
  clearTimeout(impatient);
}
