import { expect } from 'chai';
import type { AuditEvent, GuardEvent } from '#dist/audit/types.js';
import { recordingAudit, staticToken } from '#dist/testing/index.js';

const event = (name: GuardEvent['event']): GuardEvent => ({ type: 'guard', time: 0, event: name, detail: {} });
const named = (name: GuardEvent['event']) => (one: AuditEvent) => one.type === 'guard' && one.event === name;

describe('testing/audit', () => {
  it('keeps events, and finds those that came and those to come', async () => {
    const audit = recordingAudit();
    audit.write(event('started'));
    expect(await audit.waitFor(named('started'))).to.deep.equal(event('started'));
    const coming = audit.waitFor(named('closed'));
    audit.write(event('shadow'));
    audit.write(event('closed'));
    expect(await coming).to.deep.equal(event('closed'));
    expect(audit.events).to.deep.equal([event('started'), event('shadow'), event('closed')]);
    expect(audit.durable).to.equal(false);
  });

  it('lets no one wait after it was closed', async () => {
    const audit = recordingAudit();
    const waiting = audit.waitFor(() => true).catch((error: unknown) => error);
    await audit.close();
    expect(await waiting).to.be.instanceOf(Error);
    expect(await audit.waitFor(() => true).catch((error: unknown) => error)).to.be.instanceOf(Error);
    audit.write(event('closed'));
    expect(await audit.waitFor(named('closed'))).to.deep.equal(event('closed'));
  });
});

describe('testing/static-token', () => {
  it('answers with its token', async () => {
    const request = { audience: 'a', method: '/p.S/M', refresh: true, svid: { spiffeId: 's', fingerprint: 'f' } };
    expect(await staticToken('a.b.c').getToken(request)).to.equal('a.b.c');
  });
});
