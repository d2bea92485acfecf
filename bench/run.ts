/**
 * What the guard costs. `npm run bench` writes docs/benchmarks.md; `npm run bench -- --quick --json` takes less than a
 * minute, writes nothing, and prints one line of JSON last.
 */

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type DecisionCost, measureDecision } from './decision.js';
import { createMaterial, type Material } from './material.js';
import { measureMemory } from './memory.js';
import { type Contender, LoadGenerator, MeasuredServer, type Slice } from './processes.js';
import { report } from './report.js';
import { ratios, rounded, spread } from './statistics.js';

const BARE: Contender = { name: 'bare mTLS', variant: 'bare', bearer: false };
const AGAIN: Contender = { name: 'bare mTLS, once more', variant: 'bare', bearer: false };
const CARRYING: Contender = { name: 'bare mTLS carrying the token, which nobody reads', variant: 'bare', bearer: true };
const GUARDED: Contender = { name: 'guarded', variant: 'guarded', bearer: true };
const UNAUDITED: Contender = { name: 'guarded, audit to nowhere', variant: 'guarded without audit', bearer: true };
const BY_HAND: Contender = { name: 'hand-written, jose per call', variant: 'hand-written', bearer: true };
const CACHING: Contender = {
  name: 'hand-written, jose once per token',
  variant: 'hand-written, caching',
  bearer: true,
};

/** Of servers that verify each call, half as many: they take several times as long. */
const CALLS_PER_SLICE = 1_000;
const WARM_SLICES = 4;
const FEWEST_ROUNDS = 2;

const { values } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    seconds: { type: 'string' },
    help: { type: 'boolean', default: false },
  },
});

export type Measured = ReadonlyMap<Contender, readonly Slice[]>;

async function main(): Promise<void> {
  if (values.help) {
    console.log('npm run bench [-- --quick] [--json] [--seconds N]\n\n--seconds: how long servers are compared.');
    return;
  }
  const { quick } = values;
  const seconds = Number(values.seconds ?? (quick ? 36 : 420));
  const contenders = [BARE, AGAIN, CARRYING, GUARDED, BY_HAND, ...(quick ? [] : [UNAUDITED, CACHING])];
  note('the work of the guard in units of one verification');
  const decision = await measureDecision(quick ? 12 : 60);
  note('servers, in turns');
  const measured = await compare(contenders, seconds * 1000, quick ? 3 : 12);
  const cpu = (contender: Contender): number[] =>
    (measured.get(contender) ?? []).map((slice) => slice.cpuMicrosPerCall);
  const ratio = (one: Contender, to: Contender) => spread(ratios(cpu(one), cpu(to)));
  const summary = {
    guardedToBare: rounded(ratio(GUARDED, BARE).median),
    guardedToCarrying: rounded(ratio(GUARDED, CARRYING).median),
    guardedToHandWritten: rounded(ratio(GUARDED, BY_HAND).median),
    decisionInVerifies: rounded(decision.decisionInVerifies.median),
    auditedInVerifies: rounded(decision.auditedInVerifies.median),
    bareToItself: rounded(ratio(AGAIN, BARE).median),
    rounds: cpu(BARE).length,
  };
  for (const contender of contenders) {
    const { median, min, max } = ratio(contender, BARE);
    note(`${contender.name}: ${median.toFixed(2)} of bare (${min.toFixed(2)} to ${max.toFixed(2)})`);
  }
  tell(decision);
  if (!quick) {
    const place = fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url));
    await writeFile(place, report({ contenders, measured, decision, memory: await measureMemory(), bare: BARE }));
    note(`written: ${place}`);
  }
  console.log(values.json ? JSON.stringify(summary) : summary);
}

/**
 * Every generation starts all servers afresh: one and the same program runs faster or slower from one start to the next,
 * and what is compared shall not be the luck of a start.
 */
async function compare(contenders: readonly Contender[], forMs: number, generations: number): Promise<Measured> {
  const material = await createMaterial();
  const slices = new Map<Contender, Slice[]>(contenders.map((contender) => [contender, []]));
  for (let generation = 0; generation < generations; generation++) {
    await measureGeneration(contenders, material, forMs / generations, slices);
  }
  return slices;
}

async function measureGeneration(
  contenders: readonly Contender[],
  material: Material,
  forMs: number,
  slices: ReadonlyMap<Contender, Slice[]>,
): Promise<void> {
  const started = performance.now();
  const folder = await mkdtemp(join(tmpdir(), 'bench-'));
  const load = new LoadGenerator();
  const servers = contenders.map((contender) => new MeasuredServer(contender));
  try {
    await load.start(material);
    for (const [index, server] of servers.entries()) await server.start(material, join(folder, `audit-${index}.log`));
    for (const server of servers) {
      for (let i = 0; i < WARM_SLICES; i++) await server.measure(load, callsOf(server));
    }
    // Every round in another order, so that no server always follows the same.
    for (let round = 0; round < FEWEST_ROUNDS || performance.now() - started < forMs; round++) {
      for (let i = 0; i < servers.length; i++) {
        const server = servers[(i + round) % servers.length] as MeasuredServer;
        slices.get(server.contender)?.push(await server.measure(load, callsOf(server)));
      }
    }
  } finally {
    load.stop();
    for (const server of servers) server.stop();
    await rm(folder, { recursive: true, force: true });
  }
}

function callsOf({ contender }: MeasuredServer): number {
  return contender.variant === 'hand-written' ? CALLS_PER_SLICE / 2 : CALLS_PER_SLICE;
}

function tell({ verifyMicros, decisionInVerifies, auditedInVerifies }: DecisionCost): void {
  note(`one verification: ${verifyMicros.toFixed(1)} µs of CPU on this machine`);
  note(
    `the decision: ${decisionInVerifies.median.toFixed(4)} of it; with a line to pino: ${auditedInVerifies.median.toFixed(4)}`,
  );
}

function note(text: string): void {
  console.error(text);
}

main().catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
