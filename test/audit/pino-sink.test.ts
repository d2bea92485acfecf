import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { type AuditEvent, ConfigurationError, type DecisionEvent, type GuardEvent, pinoAudit } from 'grpc-zero-trust';
import { pino } from 'pino';

const GUARD: GuardEvent = { type: 'guard', time: 1_700_000_000_000, event: 'started', detail: { methods: 3 } };
const DECISION: DecisionEvent = {
  type: 'decision',
  phase: 'call',
  time: 1_700_000_000_001,
  decisionId: 'd-1',
  method: '/pkg.Service/Method',
  outcome: 'refused',
  reason: 'TOKEN_MISSING',
  detail: 'there is none',
  peer: 'spiffe://acme.example/agents/planner',
  fingerprint: 'f',
  serialNumber: '01',
  issuer: null,
  subject: null,
  actors: [],
  tokenId: null,
  resources: [],
  messages: 0,
  status: 16,
  latencyMs: 0.5,
};

describe('audit: the pino sink', () => {
  let folder: string;
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'audit-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));
  const linesOf = async (file: string): Promise<Record<string, unknown>[]> =>
    (await readFile(file, 'utf8'))
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it('writes one JSON line per event, refusals as warnings, with every field and nothing of the machine', async () => {
    const file = join(folder, 'new', 'audit.log');
    const sink = pinoAudit({ destination: file });
    void sink.write(GUARD);
    void sink.write(DECISION);
    void sink.write({ ...DECISION, outcome: 'allowed', reason: null, detail: null });
    void sink.write({ ...DECISION, outcome: 'shadow' });
    await sink.close();
    expect(await linesOf(file)).to.deep.equal([
      { level: 30, ...GUARD },
      { level: 40, ...DECISION },
      { level: 30, ...DECISION, outcome: 'allowed', reason: null, detail: null },
      { level: 40, ...DECISION, outcome: 'shadow' },
    ]);
  });

  it('writes, character by character, what pino itself writes', async () => {
    const hostile = [
      '',
      'a"b',
      'a\\b',
      'a\n\u0001b',
      '\u007f\u2028',
      'é✓',

      '😀',
      'x'.repeat(1_000),
      `${'y'.repeat(60)}"`,
    ];
    const events: AuditEvent[] = [GUARD, { ...GUARD, detail: { text: 'a"b', none: null, yes: true } }];
    for (const text of hostile) {
      for (const outcome of ['allowed', 'refused', 'shadow'] as const) {
        events.push({ ...DECISION, outcome, decisionId: text, method: text, detail: text, subject: text });
        events.push({
          ...DECISION,
          outcome,
          peer: text,
          fingerprint: null,
          issuer: text,
          actors: [text, 'b'],
          tokenId: text,
        });
        const resources = [
          { permission: text, resource: text },
          { permission: 'p', resource: null },
        ];
        events.push({ ...DECISION, outcome, resources, reason: null, detail: null, status: null, tokenId: 'one' });
        // The same token id, of another issuer, of another subject, through others.
        events.push({ ...DECISION, outcome, tokenId: 'one', issuer: text, serialNumber: text });
        events.push({ ...DECISION, outcome, tokenId: 'one', actors: [text], latencyMs: Number.NaN, messages: 7 });
      }
    }
    const expected: string[] = [];
    const logger = pino({ base: null, timestamp: false }, { write: (line) => void expected.push(line) });
    const file = join(folder, 'audit.log');
    const [own, reference] = [pinoAudit({ destination: file }), pinoAudit({ logger })];
    for (const event of [...events, ...events]) {
      void own.write(event);
      void reference.write(event);
    }
    await own.close();
    expect((await readFile(file, 'utf8')).split(/(?<=\n)/)).to.deep.equal(expected);
  });

  it('keeps half a character that pino would lose', async () => {
    const file = join(folder, 'audit.log');
    const sink = pinoAudit({ destination: file });
    void sink.write({ ...DECISION, detail: 'a\ud800' });
    await sink.close();
    expect((await linesOf(file))[0]?.['detail']).to.equal('a\ud800');
  });

  it('writes lines that are longer than what it holds, in their order', async () => {
    const file = join(folder, 'audit.log');
    const sink = pinoAudit({ destination: file });
    const details = ['a', 'é'.repeat(100_000), 'b', 'x'.repeat(30_000), 'y'.repeat(30_000), 'c'];
    for (const detail of details) void sink.write({ ...DECISION, detail });
    await sink.close();
    expect((await linesOf(file)).map((line) => line['detail'])).to.deep.equal(details);
  });

  it('keeps hostile text within its line', async () => {
    const file = join(folder, 'audit.log');
    const sink = pinoAudit({ destination: file });
    const detail = 'a\n{"level":30}\r\n\u0000\u2028"\\';
    void sink.write({ ...DECISION, detail });
    await sink.close();
    const text = await readFile(file, 'utf8');
    expect(text.split('\n')).to.have.length(2);
    expect((await linesOf(file))[0]?.['detail']).to.equal(detail);
  });

  it('appends, writes out everything at close, and nothing after it', async () => {
    const file = join(folder, 'audit.log');
    await writeFile(file, '{"before":true}\n');
    const sink = pinoAudit({ destination: file });
    for (let i = 0; i < 5_000; i++) void sink.write({ ...DECISION, decisionId: `d-${i}` });
    await sink.close();
    await sink.close();
    void sink.write(GUARD);
    const lines = await linesOf(file);
    expect(lines).to.have.length(5_001);
    expect(lines.slice(1).map((line) => line['decisionId'])).to.deep.equal(
      Array.from({ length: 5_000 }, (_, i) => `d-${i}`),
    );
  });

  it('closes though nothing was written', async () => {
    await pinoAudit({ destination: join(folder, 'empty.log') }).close();
    expect((await stat(join(folder, 'empty.log'))).size).to.equal(0);
  });

  it('does not start on a file that cannot be opened', async () => {
    await writeFile(join(folder, 'file'), '');
    for (const destination of [folder, join(folder, 'file', 'audit.log')]) {
      expect(() => pinoAudit({ destination }))
        .to.throw(ConfigurationError, 'cannot be opened for appending')
        .with.nested.property('problems[0].place', 'destination');
    }
  });

  it('writes to a logger of the caller, and leaves it to them', async () => {
    const lines: string[] = [];
    const stream = new Writable({
      write(chunk, _encoding, done) {
        lines.push(String(chunk));
        done();
      },
    });
    const logger = pino({ base: null, timestamp: false }, stream);
    const sink = pinoAudit({ logger });
    void sink.write(DECISION);
    await sink.close();
    void sink.write(GUARD);
    expect(lines.map((line) => (JSON.parse(line) as { type: string }).type)).to.deep.equal(['decision', 'guard']);
  });

  it('writes to standard output unless told otherwise, and does not keep the process alive', async () => {
    const script = `
      import { pinoAudit } from 'grpc-zero-trust';
      const sink = pinoAudit();
      sink.write(${JSON.stringify(GUARD)});
      sink.write(${JSON.stringify(DECISION)});
      if (process.argv.includes('close')) await sink.close();
    `;
    const run = promisify(execFile);
    const options = { cwd: process.cwd() };
    const inline = ['--input-type=module', '-e', script, '--'];
    const { stdout } = await run(process.execPath, [...inline, 'close'], options);
    expect(stdout.split('\n').filter((line) => line !== '')).to.have.length(2);
    const left = await run(process.execPath, inline, options);
    expect(left.stdout.split('\n').filter((line) => line !== '')).to.have.length(2);
  });
});
