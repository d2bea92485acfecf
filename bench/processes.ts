/** The other processes of a run, and what they are asked. */

import { type ChildProcess, fork, spawnSync } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { LoadOrder, LoadResult } from './load.js';
import type { Material } from './material.js';
import type { ServerOrder, ServerSample } from './server.js';
import type { Variant } from './variants.js';

/** Servers on one core, the load generator on another, where the machine has two and a way to say so. */
function pin(child: ChildProcess, core: number): boolean {
  if (process.platform !== 'linux' || availableParallelism() < 2) return false;
  return spawnSync('taskset', ['-a', '-cp', String(core), String(child.pid)], { stdio: 'ignore' }).status === 0;
}

class Worker<Order, Answer> {
  readonly #child: ChildProcess;
  readonly pinned: boolean;

  constructor(script: string, core: number) {
    this.#child = fork(fileURLToPath(new URL(script, import.meta.url)), {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
    this.pinned = pin(this.#child, core);
  }

  ask<A extends Answer>(order: Order): Promise<A> {
    return new Promise((resolve, reject) => {
      const lost = (code: number | null): void =>
        reject(new Error(`a process of the benchmark ended with code ${code}`));
      this.#child.once('exit', lost);
      this.#child.once('message', (answer) => {
        this.#child.off('exit', lost);
        resolve(answer as A);
      });
      this.#child.send(order as object);
    });
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }
}

/** What one slice of load cost one server. */
export interface Slice {
  readonly cpuMicrosPerCall: number;
  readonly callsPerSecond: number;
  readonly latenciesMs: readonly number[];
  readonly loopDelayMs: ServerSample['loopDelayMs'];
}

/** A server that is compared, and how it is called. */
export interface Contender {
  readonly name: string;
  readonly variant: Variant;
  readonly bearer: boolean;
}

export class LoadGenerator {
  readonly #worker = new Worker<LoadOrder, LoadResult | { ready: true }>('./load.js', 1);

  start(material: Material): Promise<unknown> {
    return this.#worker.ask({ order: 'start', material });
  }

  run(port: number, bearer: boolean, calls: number): Promise<LoadResult> {
    return this.#worker.ask({ order: 'run', port, bearer, calls });
  }

  stop(): void {
    this.#worker.stop();
  }
}

export class MeasuredServer {
  readonly contender: Contender;
  readonly #worker = new Worker<ServerOrder, ServerSample | { port: number }>('./server.js', 0);
  #port = 0;

  constructor(contender: Contender) {
    this.contender = contender;
  }

  get pinned(): boolean {
    return this.#worker.pinned;
  }

  async start(material: Material, auditFile: string): Promise<void> {
    const { variant } = this.contender;
    const { port } = await this.#worker.ask<{ port: number }>({ order: 'start', variant, material, auditFile });
    this.#port = port;
  }

  async measure(load: LoadGenerator, calls: number): Promise<Slice> {
    await this.#worker.ask({ order: 'sample' });
    const result = await load.run(this.#port, this.contender.bearer, calls);
    const { cpuMicros, loopDelayMs } = await this.#worker.ask<ServerSample>({ order: 'sample' });
    return {
      cpuMicrosPerCall: cpuMicros / result.calls,
      callsPerSecond: (result.calls / result.elapsedMs) * 1000,
      latenciesMs: result.latenciesMs,
      loopDelayMs,
    };
  }

  stop(): void {
    this.#worker.stop();
  }
}
