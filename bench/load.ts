/**
 * Starts the servers and calls them in turn: many short rounds, so that what the machine does meanwhile hits all alike.
 *
 * @module
 */

import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { createTestAuthority } from 'grpc-zero-trust/testing';
import type { ServerKind, ServerSetup } from './servers.js';
import { GET_TASK, SERVER_ID, TaskService } from './service.js';

/** One line of the comparison. */
export interface Variant {
  readonly name: string;
  readonly kind: ServerKind;
  /** Whether the client sends the token. */
  readonly token: boolean;
}

/** How much is measured. */
export interface Effort {
  readonly rounds: number;
  readonly callsPerRound: number;
  readonly warmUpCalls: number;
}

const IN_FLIGHT = 64;
const REQUEST = { project_id: '7', task_id: '1', title: 'x'.repeat(80) };

type GetTask = (request: object, metadata: grpc.Metadata, callback: (error: grpc.ServiceError | null) => void) => void;

interface Running {
  readonly variant: Variant;
  readonly child: ChildProcess;
  readonly client: grpc.Client;
  readonly metadata: () => grpc.Metadata;
  readonly cpuPerCall: number[];
}

/** Server CPU per call in microseconds, over all threads, of each variant and round. */
export async function measure(variants: readonly Variant[], effort: Effort): Promise<Map<string, readonly number[]>> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-'));
  const authority = await createTestAuthority({ trustDomain: 'acme.example' });
  const server = await authority.identity('services/tasks');
  const planner = await authority.identity('agents/planner');
  const grants = [{ type: 'zerotrust', actions: ['tasks.task.read'], resources: ['projects/7/tasks/**'] }];
  const token = await authority.token({
    audience: SERVER_ID,
    boundTo: planner,
    subject: planner.spiffeId,
    grants,
    lifetimeSeconds: 300,
  });
  const setup = {
    identity: server.export(),
    issuer: authority.issuer,
    jwks: authority.jwks(),
    auditFile: join(folder, 'audit.jsonl'),
  };
  const credentials = grpc.credentials.createSsl(
    Buffer.from(planner.bundlePem),
    Buffer.from(planner.privateKeyPem),
    Buffer.from(planner.certificatePem),
    { checkServerIdentity: () => undefined },
  );
  const running: Running[] = [];
  try {
    for (const variant of variants) {
      const child = fork(fileURLToPath(new URL('servers.js', import.meta.url)), {
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      child.send({ ...setup, kind: variant.kind } as unknown as ServerSetup);
      const [answer] = (await once(child, 'message')) as [{ port?: number; error?: string }];
      if (answer.port === undefined) throw new Error(`${variant.name}: ${answer.error}`);
      const client = new TaskService(`localhost:${answer.port}`, credentials, { 'grpc.use_local_subchannel_pool': 1 });
      const metadata = (): grpc.Metadata => {
        const own = new grpc.Metadata();
        if (variant.token) own.set('authorization', `Bearer ${token}`);
        return own;
      };
      running.push({ variant, child, client, metadata, cpuPerCall: [] });
    }
    for (const one of running) await round(one, effort.warmUpCalls);
    for (let i = 0; i < effort.rounds; i++) {
      for (const one of running) one.cpuPerCall.push(await round(one, effort.callsPerRound));
    }
    return new Map(running.map(({ variant, cpuPerCall }) => [variant.name, cpuPerCall]));
  } finally {
    for (const { client, child } of running) {
      client.close();
      child.disconnect();
    }
    await Promise.all(running.map(({ child }) => (child.exitCode === null ? once(child, 'exit') : null)));
    rmSync(folder, { recursive: true, force: true });
  }
}

async function round({ child, client, metadata }: Running, calls: number): Promise<number> {
  const method = (client as unknown as Record<string, GetTask>)[GET_TASK] as GetTask;
  const before = await cpuOf(child);
  let left = calls;
  let inFlight = 0;
  await new Promise<void>((resolve, reject) => {
    const more = (): void => {
      while (inFlight < IN_FLIGHT && left > 0) {
        left -= 1;
        inFlight += 1;
        method.call(client, REQUEST, metadata(), (error) => {
          inFlight -= 1;
          if (error !== null) reject(error);
          else if (left === 0 && inFlight === 0) resolve();
          else more();
        });
      }
    };
    more();
  });
  return ((await cpuOf(child)) - before) / calls;
}

async function cpuOf(child: ChildProcess): Promise<number> {
  child.send('cpu');
  const [{ cpu }] = (await once(child, 'message')) as [{ cpu: number }];
  return cpu;
}
