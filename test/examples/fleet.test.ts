/** The agent fleet as a stranger runs it: built, in processes of its own, judged by what it prints and exits with. */

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';

const START = fileURLToPath(new URL('../../examples/fleet/start.js', import.meta.url));

interface Line {
  readonly type: string;
  readonly name?: string;
  readonly pid?: number;
  readonly step?: number;
  readonly who?: string;
  readonly call?: string;
  readonly expected?: string;
  readonly happened?: string;
  readonly status?: string;
  readonly decisionId?: string | null;
  readonly asExpected?: boolean;
  readonly phase?: string;
  readonly peer?: string;
  readonly subject?: string;
  readonly actors?: string[];
  readonly method?: string;
  readonly outcome?: string;
  readonly reason?: string | null;
  readonly steps?: number;
  readonly unexpected?: number;
  readonly problem?: string;
}

/** One run of the example. */
class Run {
  readonly child: ChildProcess;
  readonly lines: Line[] = [];
  shown = '';
  readonly #ended: Promise<unknown[]>;

  constructor(...args: string[]) {
    this.child = spawn(process.execPath, [START, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
    // 'close' and not 'exit': until then not all of its output may have come.
    this.#ended = once(this.child, 'close');
    const { stdout, stderr } = this.child;
    if (stdout === null || stderr === null) throw new Error('no pipes');
    if (args.includes('--json')) {
      createInterface(stdout).on('line', (text) => {
        const line = JSON.parse(text) as Line;
        this.lines.push(line);
        this.child.emit('line', line);
      });
    } else stdout.on('data', (chunk) => (this.shown += chunk));
    stderr.on('data', (chunk) => (this.shown += chunk));
  }

  async end(): Promise<{ code: number | null; signal: string | null }> {
    const [code, signal] = (await this.#ended) as [number | null, string | null];
    return { code, signal };
  }

  /** The first line of a type (and name), already printed or yet to come. */
  async line(type: string, name?: string): Promise<Line> {
    for (;;) {
      const found = this.lines.find((line) => line.type === type && (name === undefined || line.name === name));
      if (found !== undefined) return found;
      await Promise.race([
        once(this.child, 'line'),
        this.#ended.then(() => Promise.reject(new Error(`it ended without a line of type ${type}:\n${this.shown}`))),
      ]);
    }
  }

  of(type: string): Line[] {
    return this.lines.filter((line) => line.type === type);
  }

  pidOf(name: string): number {
    const pid = this.lines.find((line) => line.name === name)?.pid;
    // Never 0: a signal to 0 goes to all of us.
    if (pid === undefined) throw new Error(`${name} is not known`);
    return pid;
  }
}

const gone = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return false;
  } catch {
    return true;
  }
};
const reasonOf = (happened: string | undefined): string | null => (happened === 'served' ? null : (happened ?? ''));

describe('example: the agent fleet', function () {
  this.timeout(60_000);
  const running = new Set<Run>();
  const run = (...args: string[]): Run => {
    const started = new Run(...args);
    running.add(started);
    return started;
  };
  afterEach(async () => {
    for (const one of running) {
      one.child.kill('SIGKILL');
      await one.end();
    }
    running.clear();
  });

  describe('one run', () => {
    let whole: Run;
    let code: number | null;
    before(async () => {
      whole = new Run('--json');
      ({ code } = await whole.end());
    });

    it('exits 0 with every step as expected', () => {
      expect(code, whole.shown).to.equal(0);
      const steps = whole.of('step');
      expect(steps.filter((step) => step.asExpected !== true || step.happened !== step.expected)).to.deep.equal([]);
      expect(steps.map(({ step }) => step)).to.deep.equal(steps.map((_, i) => i + 1));
      expect(whole.of('end')).to.deep.equal([{ type: 'end', asExpected: true, steps: steps.length, unexpected: 0 }]);
    });

    it('tells the whole story: all kinds of calls served, and every way in refused for its own reason', () => {
      const served = whole.of('step').filter(({ happened }) => happened === 'served');
      expect(new Set(served.map(({ call }) => call?.split(' ')[0]))).to.include.keys(
        ...['GetTask', 'ImportTasks', 'WatchTask', 'Discuss', 'ApproveTask'],
      );
      expect(new Set(whole.of('step').map(({ happened }) => happened))).to.include.keys(
        ...['RESOURCE_NOT_GRANTED', 'PERMISSION_MISSING', 'RESOURCE_EMPTY', 'RESOURCE_INVALID'],
        ...['DELEGATION_FORBIDDEN', 'TOKEN_REPLAYED', 'TOKEN_MISSING', 'TOKEN_BINDING_MISMATCH', 'TOKEN_SIGNATURE'],
        ...['TOKEN_EXPIRED', 'TOKEN_AUDIENCE', 'TOKEN_REVOKED', 'METHOD_UNANNOTATED', 'PEER_REVOKED', 'NO_CONNECTION'],
      );
    });

    it('runs in processes of their own', () => {
      const pids = whole.of('workload').map(({ pid }) => pid);
      expect(new Set([...pids, whole.child.pid]).size).to.equal(5);
      const pidOfStep = new Map(whole.of('step').map(({ who, pid }) => [who, pid]));
      for (const [who, pid] of pidOfStep) expect(pid, who).to.equal(whole.pidOf(who ?? ''));
    });

    it('the audit trail says of each step who called what and how it ended, under the id the caller was told', () => {
      for (const step of whole.of('step')) {
        const records = whole.of('audit').filter((record) => record.step === step.step);
        if (step.happened === 'NO_CONNECTION') {
          expect(records, step.call).to.deep.equal([]);
          continue;
        }
        const last = records.at(-1);
        const { peer, method, outcome, reason } = last ?? {};
        expect({ peer, method: method?.split('/').at(-1), outcome, reason }, step.call).to.deep.equal({
          peer: `spiffe://acme.example/agents/${step.who}`,
          method: step.call?.split(' ')[0],
          outcome: step.happened === 'served' ? 'allowed' : 'refused',
          reason: reasonOf(step.happened),
        });
        expect(records.map(({ decisionId }) => decisionId)).to.deep.equal(records.map(() => last?.decisionId));
        if (step.happened !== 'served') expect(step.decisionId, step.call).to.equal(last?.decisionId);
      }
      expect(whole.of('audit').every(({ step }) => step !== null)).to.equal(true);
    });

    it('the trail names whose token was stolen, and on whose behalf a call was made', () => {
      const [planner, worker] = ['planner', 'worker'].map((name) => `spiffe://acme.example/agents/${name}`);
      const stolen = whole.of('audit').find(({ reason }) => reason === 'TOKEN_BINDING_MISMATCH');
      expect(stolen?.subject).to.equal(planner);
      const delegated = whole.of('audit').find(({ actors, outcome }) => actors?.length === 1 && outcome === 'allowed');
      expect(delegated).to.deep.include({ peer: worker, subject: planner, actors: [worker] });
    });

    it('the stream was open when its caller was revoked', () => {
      const cut = whole.of('step').find(({ call }) => call?.startsWith('WatchTask lobby'));
      const phases = whole.of('audit').filter(({ step }) => step === cut?.step);
      expect(phases.map(({ phase, outcome }) => `${phase} ${outcome}`)).to.deep.equal([
        'opened allowed',
        'closed refused',
      ]);
    });

    it('shows the same as a table, without colours where there is no terminal, and without any token', () => {
      for (const step of whole.of('step')) expect(whole.shown).to.contain(step.call);
      expect(whole.shown).to.match(/✓ All \d+ steps happened as expected/);
      expect(whole.shown).to.not.contain('\u001b');
      const all = whole.shown + JSON.stringify(whole.lines);
      expect(all).to.not.match(/eyJ[\w-]{20}|PRIVATE KEY/);
    });

    it('leaves no process behind', () => {
      expect(whole.of('workload').every(({ pid }) => pid !== undefined && gone(pid))).to.equal(true);
    });
  });

  it('exits 1 when a step is not as expected, and says which and how', async () => {
    const sabotaged = run('--json', '--expect', '1=TOKEN_MISSING');
    expect(await sabotaged.end()).to.deep.equal({ code: 1, signal: null });
    const wrong = sabotaged.of('step').filter(({ asExpected }) => asExpected !== true);
    expect(wrong.map(({ step, expected, happened }) => ({ step, expected, happened }))).to.deep.equal([
      { step: 1, expected: 'TOKEN_MISSING', happened: 'served' },
    ]);
    expect(sabotaged.shown).to.contain('expected TOKEN_MISSING, but it was served');
    expect(sabotaged.of('end')[0]).to.include({ asExpected: false, unexpected: 1 });
  });

  it('exits 1 when a process dies, says which, and ends the others', async () => {
    const broken = run('--json', '--serve');
    await broken.line('end');
    process.kill(broken.pidOf('worker'), 'SIGKILL');
    expect(await broken.end()).to.deep.equal({ code: 1, signal: null });
    expect(broken.of('failure')[0]?.problem).to.match(/^worker \(process \d+\) ended unexpectedly, SIGKILL$/);
    expect(broken.of('workload').every(({ pid }) => pid !== undefined && gone(pid))).to.equal(true);
  });

  it('keeps running with --serve until Ctrl-C, which ends every process', async function () {
    if (process.platform === 'win32') return this.skip();
    const serving = run('--json', '--serve');
    await serving.line('end');
    expect(serving.of('workload').some(({ pid }) => pid !== undefined && gone(pid))).to.equal(false);
    serving.child.kill('SIGINT');
    expect(await serving.end()).to.deep.equal({ code: 0, signal: null });
    expect(serving.of('workload').every(({ pid }) => pid !== undefined && gone(pid))).to.equal(true);
  });

  it('ends early on Ctrl-C with 130, not with success, also where a process does not listen', async function () {
    if (process.platform === 'win32') return this.skip();
    const early = run('--json');
    await early.line('workload', 'worker');
    // A worker that stands still keeps the story from ending before we interrupt it, and will not leave when told to.
    process.kill(early.pidOf('worker'), 'SIGSTOP');
    early.child.kill('SIGINT');
    expect((await early.end()).code).to.equal(130);
    expect(early.of('end')).to.deep.equal([]);
    expect(early.of('workload').every(({ pid }) => pid !== undefined && gone(pid))).to.equal(true);
  });

  it('does not start on a mistaken command line', async () => {
    for (const args of [['--expect', '99=served'], ['--expect', '6'], ['--jsno']]) {
      const mistaken = run(...args);
      expect((await mistaken.end()).code, args.join(' ')).to.equal(2);
      expect(mistaken.shown).to.contain('Usage: npm start');
    }
  });
});
