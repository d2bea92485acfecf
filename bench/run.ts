/**
 * `npm run bench`: the guarded server beside a bare one and a hand-written one. With `--quick` under a minute; with
 * `--json` the figures as the last line; without `--quick` it writes docs/benchmarks.md.
 *
 * @module
 */

import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { fileURLToPath } from 'node:url';
import { median, ownWork } from './in-process.js';
import { type Effort, measure, type Variant } from './load.js';

const VARIANTS: readonly Variant[] = [
  { name: 'bare', kind: 'bare', token: false },
  { name: 'bare, again', kind: 'bare', token: false },
  { name: 'bare, with a token nobody reads', kind: 'bare', token: true },
  { name: 'guarded', kind: 'guarded', token: true },
  { name: 'hand-written', kind: 'handWritten', token: true },
];
const QUICK: Effort = { rounds: 15, callsPerRound: 1_000, warmUpCalls: 3_000 };
const FULL: Effort = { rounds: 60, callsPerRound: 2_000, warmUpCalls: 10_000 };

interface Ratio {
  readonly median: number;
  readonly least: number;
  readonly most: number;
}

async function main(args: readonly string[]): Promise<void> {
  const quick = args.includes('--quick');
  const effort = quick ? QUICK : FULL;
  const cpu = await measure(VARIANTS, effort);
  const own = await ownWork();
  const ratio = (of: string, to: string): Ratio => ratios(cpu.get(of) ?? [], cpu.get(to) ?? []);
  const table = VARIANTS.map(({ name }) => ({ name, cpu: median(cpu.get(name) ?? []), toBare: ratio(name, 'bare') }));
  const guardedToHandWritten = ratio('guarded', 'hand-written');
  const guardedToToken = ratio('guarded', 'bare, with a token nobody reads');
  const lines = [
    '| server | CPU per call, µs | to bare: median | least | most |',
    '| --- | --- | --- | --- | --- |',
    ...table.map(({ name, cpu: cost, toBare }) => `| ${name} | ${cost.toFixed(0)} | ${figures(toBare).join(' | ')} |`),
    '',
    `Guarded to hand-written: ${figures(guardedToHandWritten).join(', ')} (median, least, most).`,
    `Guarded to bare with the same token: ${figures(guardedToToken).join(', ')}.`,
    `The guard's own work on a known token: ${own.decision.toFixed(3)} of one ES256 verification, ${own.withAudit.toFixed(3)} with its record handed to pino.`,
  ];
  console.log(lines.join('\n'));
  if (!quick) writeFileSync(fileURLToPath(new URL('../../docs/benchmarks.md', import.meta.url)), report(lines, effort));
  if (args.includes('--json')) {
    console.log(
      JSON.stringify({
        guardedToBare: round(ratio('guarded', 'bare').median),
        guardedToBareWithToken: round(guardedToToken.median),
        guardedToHandWritten: round(guardedToHandWritten.median),
        decisionInVerifies: round(own.decision),
        decisionAndAuditInVerifies: round(own.withAudit),
        bareToItself: round(ratio('bare, again', 'bare').median),
      }),
    );
  }
}

function ratios(of: readonly number[], to: readonly number[]): Ratio {
  const each = of.map((cost, index) => cost / (to[index] ?? Number.NaN));
  return { median: median(each), least: Math.min(...each), most: Math.max(...each) };
}

function figures(ratio: Ratio): string[] {
  return [ratio.median, ratio.least, ratio.most].map((value) => value.toFixed(2));
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}

function report(lines: readonly string[], effort: Effort): string {
  return `# Benchmarks

What the guard costs, as server CPU per unary call over all threads. Written by \`npm run bench\`; run it on your own machine.

${lines.join('\n')}

**How it is measured.** Each server runs in a process of its own; one process calls them in turn with 64 calls in flight,
${effort.rounds} rounds of ${effort.callsPerRound} calls each after ${effort.warmUpCalls} to warm up. A ratio is taken per round, of servers called right after one
another; the median of the rounds is quoted with the least and the most. *bare, again* is the same server measured twice:
what it differs from 1.00 is the noise. Absolute times say more about the machine (here Node ${process.version}, ${cpus().length} cores) than about
the project.

**What is compared.** *bare* is grpc-js over mutual TLS, to which the client sends no token. *guarded* has everything on: a
token bound to the certificate, permission and resource of the request checked, one audit record per call written by
pino to a file; the token is known after its first call. *hand-written* is an interceptor that verifies the token with
\`jose.jwtVerify\` on each call and checks binding, permission and resource, without audit: it remembers nothing, which is
what most such interceptors do.
`;
}

main(process.argv.slice(2)).catch((error: unknown) => {
  console.error(error);
  process.exitCode = 1;
});
