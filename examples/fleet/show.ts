/** What the launcher shows: the fleet, each step as it happens, the audit trail, and how it all ended. */

import type { AuditEvent, DecisionEvent, Grant } from 'grpc-zero-trust';
import { agentId, TASKS_ID } from './api.js';
import { lastPart, type Outcome } from './calls.js';
import type { Fleet, WorkloadName } from './fleet.js';
import { type Cell, type Column, Page } from './report.js';
import { RIGHTS } from './rights.js';
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
  { title: 'call, on project/task', width: longest(steps.map(({ call }) => call)) },
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
const verdict = (happened: string, step: Step): string =>
  happened === 'served' ? 'served' : step.cut === true ? 'cut off' : 'refused';

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
      'Between its processes runs mutual TLS; each token is bound to the certificate of the process that sends it.',
    );
    page.line();
    const who: [string, number, string, string][] = [['launcher', process.pid, '', 'issues certificates and tokens']];
    for (const [name, pid] of Object.entries(fleet.pids) as [WorkloadName, number][]) {
      if (name === 'tasks') who.push([name, pid, TASKS_ID, `serves at ${fleet.address}`]);
      else who.push([name, pid, agentId(name), `may ${RIGHTS[name].map(rightsText).join('; ')}`]);
      this.#emit({ type: 'workload', name, pid, ...(name === 'tasks' && { address: fleet.address }) });
    }
    for (const [name, pid, spiffeId, what] of who) {
      page.line(`  ${name.padEnd(8)}  ${String(pid).padStart(7)}  ${spiffeId.padEnd(38)}  ${what}`.trimEnd());
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
        { text: verdict(expected, step), style: 'dim' },
        { text: `${asExpected ? '✓' : '✗'} ${verdict(happened, step)}`, style },
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
    page.line(
      '  One record per call, two per stream, none where there was no connection. Who was refused was told the decision id.',
    );
    page.line();
    page.row(RECORDS, heads(RECORDS), FOLD.records);
    for (const { step, event } of entries) {
      this.#record(String(step), event);
      this.#emit({ ...event, type: 'audit', step });
    }
  }

  /** A record of the time after the story. */
  #later(event: AuditEvent): void {
    if (event.type !== 'decision') return;
    this.#record('', event);
    this.#emit({ ...event, type: 'audit', step: null });
  }

  end(good: boolean, ms: number): void {
    const seconds = (ms / 1000).toFixed(1);
    const rest = `${this.#records} audit records, ${seconds} s`;
    this.#page.line();
    if (good) this.#page.line(`✓ All ${this.#count} steps happened as expected (${rest}).`, 'green');
    else this.#page.line(`✗ ${this.#unexpected} of ${this.#count} steps were not as expected (${rest}).`, 'red');
    this.#emit({ type: 'end', asExpected: good, steps: this.#count, unexpected: this.#unexpected });
  }

  serving(fleet: Fleet): void {
    this.#page.line();
    this.#page.line(`The fleet keeps running; the task service listens at ${fleet.address}. Ctrl-C ends it.`);
    this.#page.line('Every call that reaches it is shown here; without a certificate of the fleet none does.');
    fleet.onAudit((event) => this.#later(event));
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
