/** What the launcher shows: the fleet, each step as it happens, the audit trail, and how it all ended. */

import type { AuditEvent, DecisionEvent, Grant } from 'grpc-zero-trust';
import { TRUST_DOMAIN } from './api.js';
import { lastPart, type Outcome } from './calls.js';
import type { Fleet, WorkloadName } from './fleet.js';
import { type Cell, type Column, Page } from './report.js';
import { type Agent, RIGHTS } from './rights.js';
import { type Expected, STORY, type Step } from './story.js';
import type { Entry } from './trail.js';

/** A step that has happened. */
export interface Lived {
  readonly number: number;
  readonly step: Step;
  readonly expected: Expected;
  readonly outcome: Outcome;
  /** Whether the audit trail says the same. */
  readonly recorded: boolean;
  readonly asExpected: boolean;
  readonly pid: number;
}

const steps = STORY.flatMap((chapter) => chapter.steps);
const longest = (texts: readonly string[]): number => Math.max(...texts.map((text) => text.length));

const STEPS: readonly Column[] = [
  { title: '#', width: 2, right: true },
  { title: 'who', width: 8 },
  { title: 'does', width: longest(steps.map(({ does }) => does)) },
  { title: 'call', width: longest(steps.map(({ call }) => call)) },
  { title: 'expected', width: 8 },
  { title: 'happened', width: 10 },
  { title: 'reason, or answer', width: longest(steps.map(({ expect }) => expect)) },
  { title: 'ms', width: 4, right: true },
];
const RECORDS: readonly Column[] = [
  { title: '#', width: 2, right: true },
  { title: 'decision', width: 14 },
  { title: 'peer', width: 8 },
  { title: 'subject', width: 8 },
  { title: 'via', width: 6 },
  { title: 'method', width: 12 },
  { title: 'resource', width: 22 },
  { title: 'outcome', width: 15 },
  { title: 'reason', width: 22 },
];
const FOLD = { steps: 3, records: 6 };

const heads = (columns: readonly Column[]): Cell[] => columns.map(({ title }) => ({ text: title, style: 'dim' }));
const verdict = (happened: string): string =>
  happened === 'served' ? 'served' : happened === 'PEER_REVOKED' ? 'refused' : 'refused';

export class Show {
  readonly #page: Page;
  readonly #json: boolean;
  #count = 0;
  #unexpected = 0;
  #records = 0;

  constructor(json: boolean) {
    this.#json = json;
    this.#page = new Page(json ? process.stderr : process.stdout);
  }

  fleet(fleet: Fleet): void {
    const page = this.#page;
    page.line('An agent fleet in which no call is trusted by default', 'bold');
    page.line(
      `Every arrow is mutual TLS 1.3; every token is bound to the certificate of one process of ${TRUST_DOMAIN}.`,
    );
    page.line();
    for (const [name, pid] of Object.entries(fleet.pids) as [WorkloadName, number][]) {
      const what = name === 'tasks' ? `serves at ${fleet.address}` : `may ${RIGHTS[name].map(rightsText).join('; ')}`;
      page.line(`  ${name.padEnd(9)} process ${String(pid).padEnd(8)} ${what}`);
      this.#emit({ type: 'workload', name, pid, ...(name === 'tasks' && { address: fleet.address }) });
    }
    page.line();
    page.row(STEPS, heads(STEPS), FOLD.steps);
  }

  chapter(title: string): void {
    this.#page.line();
    this.#page.line(`  ${title}`, 'bold');
  }

  step({ number, step, expected, outcome, recorded, asExpected, pid }: Lived): void {
    const { who, does, call } = step;
    const { happened, answer, status, decisionId, ms } = outcome;
    this.#count += 1;
    if (!asExpected) this.#unexpected += 1;
    const served = happened === 'served';
    const reason = served ? answer : happened === 'NO_CONNECTION' ? 'TLS handshake failed' : happened;
    const style = asExpected ? (served ? 'green' : 'yellow') : 'red';
    this.#page.row(
      STEPS,
      [
        { text: String(number), style: 'dim' },
        { text: who, style: who === 'intruder' ? 'magenta' : 'cyan' },
        { text: does },
        { text: call },
        { text: verdict(expected), style: 'dim' },
        { text: `${asExpected ? '✓' : '✗'} ${verdict(happened)}`, style },
        { text: reason, style: served ? 'dim' : style },
        { text: ms.toFixed(0), style: 'dim' },
      ],
      FOLD.steps,
    );
    if (happened !== expected) this.#page.line(`      expected ${expected}, but it was ${happened}: ${answer}`, 'red');
    if (!recorded) this.#page.line('      the audit trail does not say so', 'red');
    const milliseconds = Math.round(ms * 1000) / 1000;
    this.#emit({
      type: 'step',
      step: number,
      ...{ who, pid, does, call, expected, happened, status, decisionId, recorded, asExpected, ms: milliseconds },
    });
  }

  trail(entries: readonly Entry[]): void {
    const page = this.#page;
    page.line();
    page.line('  The audit trail of the task service', 'bold');
    page.line('  One record per call, two per stream; who was refused was told the same decision id.');
    page.line();
    page.row(RECORDS, heads(RECORDS), FOLD.records);
    for (const { step, event } of entries) {
      this.#record(String(step), event);
      this.#emit({ ...event, type: 'audit', step });
    }
  }

  /** A record of the time after the story. */
  audit(event: AuditEvent): void {
    if (event.type !== 'decision') return;
    this.#record('', event);
    this.#emit({ ...event, type: 'audit', step: null });
  }

  end(good: boolean, ms: number): void {
    const seconds = (ms / 1000).toFixed(1);
    const { page, text } = { page: this.#page, text: `${this.#count} steps, ${this.#records} records, ${seconds} s` };
    page.line();
    if (good) page.line(`✓ Everything happened as expected: ${text}.`, 'green');
    else page.line(`✗ ${this.#unexpected} of ${text} were not as expected.`, 'red');
    this.#emit({ type: 'end', asExpected: good, steps: this.#count, unexpected: this.#unexpected });
  }

  serving(fleet: Fleet): void {
    this.#page.line();
    this.#page.line(`The fleet keeps running; the task service listens at ${fleet.address}. Ctrl-C ends it.`);
    this.#page.line('Every call that reaches it is shown here. Without a certificate of the fleet none will.');
  }

  failure(problem: string): void {
    this.#page.line();
    this.#page.line(`✗ The fleet broke: ${problem}.`, 'red');
    this.#emit({ type: 'failure', problem });
  }

  #record(step: string, event: DecisionEvent): void {
    this.#records += 1;
    const { decisionId, peer, subject, actors, method, resources, outcome, phase, reason } = event;
    const named = resources.map(({ resource }) => resource ?? '').join(' ');
    this.#page.row(
      RECORDS,
      [
        { text: step, style: 'dim' },
        { text: decisionId },
        { text: lastPart(peer ?? ''), style: 'cyan' },
        { text: lastPart(subject ?? '') },
        { text: actors.map(lastPart).join(' ') },
        { text: lastPart(method) },
        { text: named },
        {
          text: phase === 'call' ? outcome : `${outcome}, ${phase}`,
          style: outcome === 'allowed' ? 'green' : 'yellow',
        },
        { text: reason ?? '', style: 'yellow' },
      ],
      FOLD.records,
    );
  }

  #emit(line: object): void {
    if (this.#json) process.stdout.write(`${JSON.stringify(line)}\n`);
  }
}

function rightsText({ actions, resources }: Grant): string {
  const verbs = actions.map((action) => action.replace('tasks.task.', '').replace('*', 'do everything'));
  const places = resources.map((resource) => resource.replace('/tasks/**', ''));
  return `${verbs.join(', ')} in ${places.join(' and ')}`;
}

export type { Agent };
