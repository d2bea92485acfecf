import { expect } from 'chai';
import { ConfigurationError } from '#dist/errors.js';
import { createReplayStore, replayKey } from '#dist/token/replay.js';
import type { VerifiedToken } from '#dist/token/types.js';
import { fakeClock, START } from './clock.js';
import { seeded } from './kit.js';

const LATER = START + 60_000;

describe('createReplayStore', () => {
  it('lets a key through once', () => {
    const store = createReplayStore({ clock: fakeClock() });
    expect(store.claim('a', LATER, 'o')).to.equal('fresh');
    expect(store.claim('a', LATER, 'o')).to.equal('replayed');
    expect(store.claim('a', LATER, 'p')).to.equal('replayed');
    expect(store.claim('b', LATER, 'o')).to.equal('fresh');
  });

  it('lets one of many through who come at the same time', async () => {
    const store = createReplayStore({ clock: fakeClock() });
    const results = await Promise.all(Array.from({ length: 50 }, async () => store.claim('a', LATER, 'o')));
    expect(results.filter((result) => result === 'fresh')).to.have.length(1);
    expect(results.filter((result) => result === 'replayed')).to.have.length(49);
  });

  it('is full rather than forgetful, and has room again when entries expire', () => {
    const clock = fakeClock();
    const store = createReplayStore({ clock, maxEntries: 3, maxPerOwner: 3 });
    for (const key of ['a', 'b', 'c']) expect(store.claim(key, LATER, 'o')).to.equal('fresh');
    expect(store.claim('d', LATER, 'o')).to.equal('full');
    expect(store.claim('a', LATER, 'o')).to.equal('replayed');
    clock.advance(59_999);
    expect(store.claim('d', LATER + 60_000, 'o')).to.equal('full');
    clock.advance(1);
    expect(store.size).to.equal(0);
    expect(store.claim('d', LATER + 60_000, 'o')).to.equal('fresh');
    expect(store.claim('a', LATER, 'o'), 'expired, and still refused').to.equal('replayed');
  });

  it('keeps one owner from filling it for others', () => {
    const store = createReplayStore({ clock: fakeClock(), maxEntries: 10, maxPerOwner: 4 });
    for (let i = 0; i < 4; i++) expect(store.claim(`g${i}`, LATER, 'greedy')).to.equal('fresh');
    expect(store.claim('g4', LATER, 'greedy')).to.equal('full');
    expect(store.claim('h', LATER, 'honest')).to.equal('fresh');
  });

  it('is full for everybody when all of it is taken', () => {
    const store = createReplayStore({ clock: fakeClock(), maxEntries: 4, maxPerOwner: 3 });
    for (const owner of ['a', 'b', 'c', 'd']) expect(store.claim(`of ${owner}`, LATER, owner)).to.equal('fresh');
    expect(store.claim('of e', LATER, 'e')).to.equal('full');
    expect(store.claim('of a', LATER, 'a')).to.equal('replayed');
  });

  it('refuses what expired within the second that is running', () => {
    const clock = fakeClock();
    const store = createReplayStore({ clock });
    clock.advance(500);
    expect(store.claim('a', START + 300, 'o')).to.equal('replayed');
    expect(store.claim('b', START + 500, 'o')).to.equal('replayed');
    expect(store.claim('c', START + 501, 'o')).to.equal('fresh');
  });

  it('refuses what the highest clock has expired, after the clock was set back', () => {
    const clock = fakeClock();
    const store = createReplayStore({ clock });
    expect(store.claim('a', LATER, 'o')).to.equal('fresh');
    clock.set(LATER);
    expect(store.claim('z', LATER + 1, 'o')).to.equal('fresh');
    clock.set(START);
    expect(store.claim('a', LATER, 'o')).to.equal('replayed');
    expect(store.claim('never seen', LATER, 'o')).to.equal('replayed');
    expect(store.claim('b', LATER + 1000, 'o')).to.equal('fresh');
    expect(store.claim('z', LATER + 1, 'o')).to.equal('replayed');
  });

  it('refuses an expiry that is no time', () => {
    const store = createReplayStore({ clock: fakeClock() });
    expect(store.claim('a', Number.NaN, 'o')).to.equal('full');
    expect(store.claim('a', Number.POSITIVE_INFINITY, 'o')).to.equal('full');
    expect(() => createReplayStore({ maxEntries: 0 })).to.throw(ConfigurationError);
    expect(() => createReplayStore({ maxPerOwner: 1.5 })).to.throw(ConfigurationError);
  });

  it('agrees with a plain map over 50,000 random claims while the clock moves', () => {
    const clock = fakeClock();
    const store = createReplayStore({ clock, maxEntries: 2000, maxPerOwner: 600 });
    const model = new Map<string, { until: number; owner: string }>();
    const random = seeded(3);
    const seen = { fresh: 0, replayed: 0, full: 0 };
    for (let i = 0; i < 50_000; i++) {
      if (random() < 0.3) clock.advance(Math.floor(random() * 40));
      if (random() < 0.0005) clock.advance(100_000);
      const now = clock.now();
      const key = `k${Math.floor(random() * 6000)}`;
      const owner = `o${Math.floor(random() * random() * 6)}`;
      const until = Math.floor(now / 1000 + 1 + random() * 30) * 1000;
      for (const [name, entry] of i % 50 === 0 ? model : []) if (entry.until <= now) model.delete(name);
      const live = [...model.values()].filter((entry) => entry.until > now);
      const known = model.get(key);
      const expected =
        known !== undefined && known.until > now
          ? 'replayed'
          : live.length >= 2000 || live.filter((entry) => entry.owner === owner).length >= 600
            ? 'full'
            : 'fresh';
      const result = store.claim(key, until, owner);
      expect(result, `claim ${i}`).to.equal(expected);
      if (result === 'fresh') model.set(key, { until, owner });
      seen[result]++;
      if (i % 1000 === 0) expect(store.size).to.equal([...model.values()].filter((entry) => entry.until > now).length);
    }
    expect(Math.min(seen.fresh, seen.replayed, seen.full)).to.be.greaterThan(500);
  }).timeout(60_000);
});

describe('replayKey', () => {
  const token = (issuer: string, confirmation: string | null, id: string | null) =>
    replayKey({ issuer, confirmation, id } as VerifiedToken);

  it('tells apart what differs, however the parts are cut', () => {
    const keys = [
      token('a', 'b', 'c'),
      token('ab', '', 'c'),
      token('a', '', 'bc'),
      token('a1:b', '', 'c'),
      token('a', 'b', 'c1'),
      token('a', null, 'b1:c'),
      token('A', 'b', 'c'),
    ];
    expect(new Set(keys).size).to.equal(keys.length);
    expect(token('a', 'b', 'c')).to.equal(keys[0]);
  });
});
