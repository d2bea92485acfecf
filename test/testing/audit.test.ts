import { expect } from 'chai';
import { recordingAudit, staticToken } from '#dist/testing/index.js';

describe('testing/audit', () => {
  it('keeps events, and finds those that came and those to come', async () => {
    const audit = recordingAudit<{ n: number }>();
    audit.write({ n: 1 });
    expect(await audit.waitFor((event) => event.n === 1)).to.deep.equal({ n: 1 });
    const coming = audit.waitFor((event) => event.n === 3);
    audit.write({ n: 2 });
    audit.write({ n: 3 });
    expect(await coming).to.deep.equal({ n: 3 });
    expect(audit.events.map((event) => event.n)).to.deep.equal([1, 2, 3]);
    expect(audit.durable).to.equal(false);
  });

  it('lets no one wait after it was closed', async () => {
    const audit = recordingAudit<number>();
    const waiting = audit.waitFor(() => true).catch((error: unknown) => error);
    await audit.close();
    expect(await waiting).to.be.instanceOf(Error);
    expect(await audit.waitFor(() => true).catch((error: unknown) => error)).to.be.instanceOf(Error);
    audit.write(7);
    expect(await audit.waitFor((event) => event === 7)).to.equal(7);
  });
});

describe('testing/static-token', () => {
  it('answers with its token', async () => {
    const request = { audience: 'a', method: '/p.S/M', refresh: true, svid: { spiffeId: 's', fingerprint: 'f' } };
    expect(await staticToken('a.b.c').getToken(request)).to.equal('a.b.c');
  });
});
