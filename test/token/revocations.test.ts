import { expect } from 'chai';
import { ConfigurationError } from '#dist/errors.js';
import { createRevocations, type RevocationEntry } from '#dist/token/revocations.js';
import type { VerifiedToken } from '#dist/token/types.js';
import { fakeClock, START } from './clock.js';
import { FINGERPRINT, ISSUER, OTHER_FINGERPRINT, PLANNER, peerOf } from './kit.js';

const OTHER = 'spiffe://acme.example/agents/other';
const GATEWAY = 'spiffe://acme.example/gateways/1';

function tokenOf(over: Partial<VerifiedToken> = {}): VerifiedToken {
  return {
    issuer: ISSUER,
    subject: PLANNER,
    id: 'j1',
    keyId: 'k1',
    issuedAt: START,
    confirmation: FINGERPRINT,
    actors: [],
    claims: { sub: over.subject ?? PLANNER },
    ...over,
  } as unknown as VerifiedToken;
}

describe('createRevocations', () => {
  const run = (entry: RevocationEntry) => {
    const revocations = createRevocations({ clock: fakeClock() });
    revocations.revoke(entry);
    const { peerRevoked, tokenRevoked } = revocations.current();
    return { peer: peerRevoked, token: tokenRevoked };
  };

  it('revokes nobody at first, and announces each change with a higher epoch', () => {
    const clock = fakeClock();
    const revocations = createRevocations({ clock });
    let heard = 0;
    const remove = revocations.onChange(() => heard++);
    expect(revocations.current()).to.include({ epoch: 0, issuedAt: START, nextUpdate: null });
    expect(revocations.current().peerRevoked(peerOf(), OTHER_FINGERPRINT)).to.equal(false);
    expect(revocations.current().tokenRevoked(tokenOf())).to.equal(false);
    clock.advance(5);
    revocations.revoke({ spiffeId: OTHER });
    expect(revocations.current()).to.include({ epoch: 1, issuedAt: START + 5 });
    expect([revocations.epoch, revocations.size, heard]).to.deep.equal([1, 1, 1]);
    remove();
    revocations.revoke({ spiffeId: GATEWAY });
    expect([revocations.epoch, heard]).to.deep.equal([2, 1]);
  });

  it('revokes a workload: its connections, and tokens that name it as subject or actor', () => {
    const { peer, token } = run({ spiffeId: PLANNER });
    expect(peer(peerOf())).to.equal(true);
    expect(peer(peerOf({ spiffeId: OTHER }))).to.equal(false);
    expect(token(tokenOf())).to.equal(true);
    expect(token(tokenOf({ subject: OTHER }))).to.equal(false);
    expect(token(tokenOf({ subject: OTHER, actors: [{ subject: GATEWAY }, { subject: PLANNER }] }))).to.equal(true);
    expect(token(tokenOf({ subject: OTHER, actors: [{ subject: GATEWAY }] }))).to.equal(false);
  });

  it('revokes a certificate by fingerprint, and tokens bound to it', () => {
    const { peer, token } = run({ fingerprint: FINGERPRINT });
    expect([peer(peerOf()), token(tokenOf())]).to.deep.equal([true, true]);
    expect([
      peer(peerOf({ fingerprint: OTHER_FINGERPRINT })),
      token(tokenOf({ confirmation: OTHER_FINGERPRINT })),
    ]).to.deep.equal([false, false]);
    expect(token(tokenOf({ confirmation: null }))).to.equal(false);
  });

  it('revokes a certificate by serial number, in either spelling, for one issuer or all', () => {
    for (const serialNumber of ['0A1B', 'a1b', '000A1B']) {
      expect(run({ serialNumber }).peer(peerOf())).to.equal(true);
      expect(run({ serialNumber, issuer: 'CN=acme' }).peer(peerOf())).to.equal(true);
      expect(run({ serialNumber, issuer: 'CN=other' }).peer(peerOf())).to.equal(false);
    }
    expect(run({ serialNumber: '0A1C' }).peer(peerOf())).to.equal(false);
    expect(run({ serialNumber: '0A1B' }).peer(peerOf({ serialNumber: 'A1B' }))).to.equal(true);
    expect(run({ serialNumber: '0A1B', issuer: 'CN=acme\nO=x' }).peer(peerOf({ issuer: 'CN=acme\nO=x' }))).to.equal(
      true,
    );
  });

  it('revokes everything below a root', () => {
    const { peer } = run({ root: OTHER_FINGERPRINT });
    expect([peer(peerOf(), OTHER_FINGERPRINT), peer(peerOf(), FINGERPRINT), peer(peerOf())]).to.deep.equal([
      true,
      false,
      false,
    ]);
  });

  it("revokes a token, a subject or a key: of one issuer or of all; and nobody's connection", () => {
    const entries: RevocationEntry[] = [{ tokenId: 'j1' }, { subject: PLANNER }, { keyId: 'k1' }];
    const others = tokenOf({ id: 'j2', subject: OTHER, keyId: 'k2' });
    for (const entry of entries) {
      const all = run(entry);
      expect([all.token(tokenOf()), all.token(others), all.peer(peerOf())]).to.deep.equal([true, false, false]);
      const one = run({ ...entry, issuer: ISSUER } as RevocationEntry);
      expect([one.token(tokenOf()), one.token(tokenOf({ issuer: 'https://b' }))]).to.deep.equal([true, false]);
    }
    const { token } = run({ subject: 'users/alice', issuer: 'https://idp' });
    expect(token(tokenOf({ actors: [{ subject: 'users/alice', issuer: 'https://idp' }] }))).to.equal(true);
    expect(token(tokenOf({ actors: [{ subject: 'users/alice' }] }))).to.equal(false);
    const mapped = tokenOf({ claims: { sub: 'uuid-1' } as unknown as VerifiedToken['claims'] });
    expect(run({ subject: 'uuid-1' }).token(mapped)).to.equal(true);
    expect(run({ subject: PLANNER }).token(mapped)).to.equal(true);
  });

  it('revokes what was issued at or before a time, and what does not say when it was issued', () => {
    const { token } = run({ issuedBefore: START, issuer: ISSUER });
    expect(token(tokenOf())).to.equal(true);
    expect(token(tokenOf({ issuedAt: START + 1 }))).to.equal(false);
    expect(token(tokenOf({ issuedAt: null }))).to.equal(true);
    expect(token(tokenOf({ issuer: 'https://b' }))).to.equal(false);
  });

  it('lets entries lapse at their time, and not before', () => {
    const entries: RevocationEntry[] = [
      { spiffeId: PLANNER },
      { tokenId: 'j1' },
      { tokenId: 'j1', issuer: ISSUER },
      { issuedBefore: START, issuer: ISSUER },
    ];
    for (const entry of entries) {
      const clock = fakeClock();
      const revocations = createRevocations({ clock });
      revocations.revoke({ ...entry, until: START + 1000 });
      clock.advance(999);
      expect(revocations.current().tokenRevoked(tokenOf())).to.equal(true);
      clock.advance(1);
      expect(revocations.current().tokenRevoked(tokenOf())).to.equal(false);
      revocations.revoke({ ...entry, until: START + 2000 });
      revocations.revoke({ ...entry, until: START + 9000 });
      revocations.revoke({ ...entry, until: START + 5000 });
      clock.advance(7000);
      expect(revocations.current().tokenRevoked(tokenOf()), 'a shorter entry takes nothing back').to.equal(true);
    }
  });

  it('drops what lapsed, keeps what did not, among 100,000', () => {
    const clock = fakeClock();
    const revocations = createRevocations({ clock });
    revocations.revoke({ subject: 'forever' });
    for (let i = 0; i < 50_000; i++) {
      revocations.revoke({ tokenId: `t${i}`, until: START + 60_000 });
      revocations.revoke({ subject: `s${i}`, until: START + 60_000 });
      if (i % 1000 === 0) clock.advance(5000);
    }
    expect(revocations.size).to.be.lessThan(20_000);
    expect(revocations.current().tokenRevoked(tokenOf({ subject: 'forever' }))).to.equal(true);
    revocations.revoke({ tokenId: 'last' });
    expect(revocations.current().tokenRevoked(tokenOf({ id: 'last' }))).to.equal(true);
    expect(revocations.current().tokenRevoked(tokenOf({ id: 't0' }))).to.equal(false);
  });

  const bad: unknown[] = [
    null,
    'x',
    {},
    { until: 1 },
    { spiffeId: 'agents/planner' },
    { spiffeId: 'spiffe://acme.example' },
    { spiffeId: PLANNER, tokenId: 'x' },
    { spiffeId: PLANNER, issuer: 'x' },
    { fingerprint: 'AB:CD' },
    { fingerprint: `${FINGERPRINT}=` },
    { root: '' },
    { serialNumber: 'xyz' },
    { serialNumber: 7 },
    { tokenId: '' },
    { tokenId: 'j', issuer: '' },
    { tokenId: 'j', until: 'tomorrow' },
    { tokenId: 'j', until: Number.NaN },
    { tokenId: 'j', forever: true },
    { issuedBefore: START },
    { issuedBefore: Number.NaN, issuer: ISSUER },
  ];
  for (const entry of bad) {
    it(`refuses ${JSON.stringify(entry)}`, () => {
      const revocations = createRevocations({ clock: fakeClock() });
      expect(() => revocations.revoke(entry as RevocationEntry)).to.throw(ConfigurationError);
      expect([revocations.epoch, revocations.size]).to.deep.equal([0, 0]);
    });
  }
});
