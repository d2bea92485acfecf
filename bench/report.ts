/** docs/benchmarks.md. */

import { arch, cpus, platform } from 'node:os';
import { grpcVersion } from '#dist/transport/grpc-internals.js';
import type { DecisionCost } from './decision.js';
import type { MemoryCost } from './memory.js';
import type { Contender, Slice } from './processes.js';
import { quantile, ratios, type Spread, spread } from './statistics.js';

export interface Results {
  readonly contenders: readonly Contender[];
  readonly measured: ReadonlyMap<Contender, readonly Slice[]>;
  readonly decision: DecisionCost;
  readonly memory: MemoryCost;
  readonly bare: Contender;
}

const BAR_WIDTH = 40;

/** The page as text. */
export function report({ contenders, measured, decision, memory, bare }: Results): string {
  const of = (contender: Contender): readonly Slice[] => measured.get(contender) ?? [];
  const cpu = (contender: Contender): number[] => of(contender).map((slice) => slice.cpuMicrosPerCall);
  const rows = contenders.map((contender) => {
    const slices = of(contender);
    const toBare = spread(ratios(cpu(contender), cpu(bare)));
    const median = (value: (slice: Slice) => number): number => quantile(slices.map(value), 0.5);
    return {
      contender,
      toBare,
      micros: quantile(cpu(contender), 0.5),
      perSecond: median((slice) => slice.callsPerSecond),
      latency: [0.5, 0.99, 0.999].map((share) => median((slice) => quantile(slice.latenciesMs, share))),
      loop: median((slice) => slice.loopDelayMs.p99),
    };
  });
  const longest = Math.max(...rows.map(({ toBare }) => toBare.median));
  const guarded = contenders.find(({ variant }) => variant === 'guarded');
  const against = contenders
    .filter((contender) => guarded !== undefined && contender !== guarded)
    .map((contender) => `| ${contender.name} | ${told(spread(ratios(cpu(guarded as Contender), cpu(contender))))} |`);
  return `# Benchmarks

<!-- Written by \`npm run bench\`. -->

A unary echo of 100 bytes that needs one permission on one resource, 64 calls in flight over one connection, the server
on one core and the load generator on another. Everything is on in "guarded": mutual TLS 1.3, a bound token, permission,
one resource check, and an audit line to a file. Servers run as processes of their own, are started afresh a dozen times,
and are measured in turns after a warm-up, ${of(bare).length} rounds of 1,000 calls each (500 where each call is verified); figures are medians of the ratios within
a round, with the least and the greatest in brackets. Times belong to the machine (${cpus()[0]?.model ?? 'unknown'}, ${cpus().length} cores,
${platform()} ${arch()}, Node ${process.versions.node}, grpc-js ${grpcVersion() ?? 'unknown'}); the ratios are the result. How far the same server differs
from itself, "once more", says which differences mean nothing.

## CPU time of the server per call, all threads

| server | µs | to bare mTLS |
| --- | --- | --- |
${rows.map(({ contender, micros, toBare }) => `| ${contender.name} | ${micros.toFixed(0)} | ${told(toBare)} |`).join('\n')}

\`\`\`text
${rows.map(({ contender, toBare }) => `${'█'.repeat(Math.round((toBare.median / longest) * BAR_WIDTH)).padEnd(BAR_WIDTH)} ${toBare.median.toFixed(2)}  ${contender.name}`).join('\n')}
\`\`\`

The guarded server to each of the others:

| to | ratio |
| --- | --- |
${against.join('\n')}

The hand-written interceptor makes the same checks but keeps no audit trail, and settles the peer once per connection
through a private field of grpc-js; with the public \`getAuthContext()\` it would cost more.

## Throughput, latency and event loop

| server | calls per second | p50 | p99 | p99.9 | event loop delay, p99 |
| --- | --- | --- | --- | --- | --- |
${rows
  .map(
    ({ contender, perSecond, latency, loop }) =>
      `| ${contender.name} | ${perSecond.toFixed(0)} | ${latency.map((ms) => `${ms.toFixed(1)} ms`).join(' | ')} | ${loop.toFixed(1)} ms |`,
  )
  .join('\n')}

## The work of the guard itself

Driven in process over a base call that does nothing, with a token that is known, in units of one ES256 verification
(${decision.verifyMicros.toFixed(0)} µs of CPU on this machine). \`test/bench/budget.test.ts\` holds these.

| | in verifications |
| --- | --- |
| every check, and the audit event made | ${told(decision.decisionInVerifies, 3)} |
| the same, and the line handed to pino | ${told(decision.auditedInVerifies, 3)} |

A remembered token takes ${memory.bytesPerToken.toFixed(0)} bytes (over ${memory.tokens} tokens that differ).
`;
}

function told({ median, min, max }: Spread, digits = 2): string {
  return `${median.toFixed(digits)} (${min.toFixed(digits)} to ${max.toFixed(digits)})`;
}
