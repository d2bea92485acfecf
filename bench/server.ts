/** A server in a process of its own. It says what its calls cost when asked. */

import { monitorEventLoopDelay } from 'node:perf_hooks';
import * as grpc from '@grpc/grpc-js';
import { EchoService, handlers, type Material } from './material.js';
import { open, type Variant } from './variants.js';

export type ServerOrder =
  | { readonly order: 'start'; readonly variant: Variant; readonly material: Material; readonly auditFile: string }
  | { readonly order: 'sample' };

/** What a server says of itself since it was last asked. */
export interface ServerSample {
  /** Of all threads, user and system. */
  readonly cpuMicros: number;
  readonly loopDelayMs: { readonly p50: number; readonly p99: number };
}

const delay = monitorEventLoopDelay({ resolution: 1 });
let before = process.cpuUsage();

process.on('message', (order: ServerOrder) => {
  if (order.order === 'start') void start(order);
  else process.send?.(sample());
});
process.on('disconnect', () => process.exit());

async function start({ variant, material, auditFile }: Extract<ServerOrder, { order: 'start' }>): Promise<void> {
  const { credentials, interceptors } = await open(variant, material, auditFile);
  const server = new grpc.Server({ interceptors });
  server.addService(EchoService, handlers);
  server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
    if (error !== null) throw error;
    delay.enable();
    process.send?.({ port });
  });
}

function sample(): ServerSample {
  const now = process.cpuUsage();
  const cpuMicros = now.user + now.system - before.user - before.system;
  before = now;
  const loopDelayMs = { p50: delay.percentile(50) / 1e6, p99: delay.percentile(99) / 1e6 };
  delay.reset();
  return { cpuMicros, loopDelayMs };
}
