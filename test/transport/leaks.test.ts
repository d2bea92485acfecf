import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { LeakReport } from '../support/leaking.js';

const CHILD = fileURLToPath(new URL('../support/leaking.js', import.meta.url));
/** What compilers and caches still take after the warm-up. A kilobyte forgotten per call would be five times as much. */
const HEAP_TOLERANCE_BYTES = 2 * 1024 * 1024;

describe('transport: after many calls and connections', function () {
  this.timeout(180_000);
  let report: LeakReport;
  let exit: [code: number | null, signal: string | null];

  before(async () => {
    const child = fork(CHILD, { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    child.once('message', (message) => {
      report = message as LeakReport;
    });
    exit = (await once(child, 'exit')) as typeof exit;
  });

  it('every call came to its own end', () => {
    const { calls, outcomes } = report;
    expect(Object.values(outcomes).reduce((sum, count) => sum + count, 0)).to.equal(calls);
    expect(Object.keys(outcomes).sort()).to.deep.equal([
      'both 0',
      'cancelled 1',
      'down 0',
      'echo 0',
      'failed 9',
      'no token 16',
      'refused 7',
      'refused in a stream 7',
      'unary 0',
      'up 0',
    ]);
  });

  it('no promise was rejected unheard, and nothing warned of', () => {
    expect(report.rejections).to.deep.equal([]);
    expect(report.warnings.filter((warning) => !warning.includes('ServerName'))).to.deep.equal([]);
  });

  it('the heap is as large as before', () => {
    const { before, after } = report.heapBytes;
    expect(after - before).to.be.lessThan(HEAP_TOLERANCE_BYTES);
  });

  it('as many files and sockets are open as before', function () {
    const { descriptors } = report;
    if (descriptors === null) return this.skip();
    expect(descriptors.after).to.equal(descriptors.before);
  });

  it('a connection that carried thousands of calls has the listeners it had', () => {
    const { before, after } = report.sessionListeners;
    expect(before).to.be.greaterThan(0);
    expect(after).to.equal(before);
  });

  it('the guard knows of no connection and no call any more', () => {
    expect(report.posture).to.deep.equal({ connections: 0, runningCalls: 0, auditLost: 0 });
  });

  it('closing the guards ends their subscriptions', () => {
    expect(report.subscriptions.open).to.be.greaterThan(3);
    expect(report.subscriptions.closed).to.equal(0);
  });

  it('nothing of the process itself was changed', () => {
    expect(report.sideEffects).to.deep.equal([]);
  });

  it('nothing keeps the process alive: it ends by itself', () => {
    expect(report.resources.after).to.deep.equal(report.resources.before);
    expect(exit).to.deep.equal([0, null]);
  });
});
