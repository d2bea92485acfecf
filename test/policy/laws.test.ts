import { expect } from 'chai';
import type { PeerIdentity } from '#dist/call.js';
import {
  actionCovers,
  intersectActions,
  intersectPatterns,
  isActionPattern,
  isPermission,
  matchesPattern,
  parsePattern,
} from '#dist/pattern.js';
import { createPrincipal } from '#dist/policy/principal.js';
import type { VerifiedToken } from '#dist/token/types.js';

/** Mulberry32: the same sequence on every machine. */
function generator(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

const WORDS = ['a', 'b', 'c'];
const ROUNDS = 3000;

/** Patterns as regular expressions, independent of the code under test. */
function expression(pattern: string): RegExp {
  const parts = pattern.split('/').map((part) => (part === '**' ? '[^/]+(/[^/]+)*' : part === '*' ? '[^/]+' : part));
  return new RegExp(`^${parts.join('/')}$`);
}

describe('policy laws', () => {
  const random = generator(20_260_101);
  const pick = <T>(list: readonly T[]): T => list[random(list.length)] as T;
  const pattern = (): string => {
    const parts = Array.from({ length: random(4) }, () => pick([...WORDS, '*']));
    if (parts.length === 0 || random(2) === 0) parts.push('**');
    return parts.join('/');
  };
  const path = (): string[] => Array.from({ length: 1 + random(5) }, () => pick(WORDS));

  it('a pattern matches what its regular expression matches', () => {
    let matched = 0;
    for (let i = 0; i < ROUNDS; i++) {
      const [text, segments] = [pattern(), path()];
      const parsed = parsePattern(text) ?? expect.fail(text);
      const expected = expression(text).test(segments.join('/'));
      expect(matchesPattern(parsed, segments), `${text} ${segments.join('/')}`).to.equal(expected);
      if (expected) matched += 1;
    }
    expect(matched).to.be.within(ROUNDS / 20, ROUNDS - ROUNDS / 20);
  });

  it('an intersection matches exactly what both match, either way round', () => {
    for (let i = 0; i < ROUNDS; i++) {
      const [x, y, segments] = [pattern(), pattern(), path()];
      const [a, b] = [parsePattern(x) ?? expect.fail(x), parsePattern(y) ?? expect.fail(y)];
      const both = intersectPatterns(a, b);
      expect(intersectPatterns(b, a)?.text, `${x} ${y}`).to.equal(both?.text);
      const expected = matchesPattern(a, segments) && matchesPattern(b, segments);
      expect(both !== null && matchesPattern(both, segments), `${x} and ${y} on ${segments.join('/')}`).to.equal(
        expected,
      );
      if (both !== null) expect(parsePattern(both.text), both.text).to.deep.equal(both);
    }
  });

  it('an intersection of actions covers exactly what both cover', () => {
    const word = (): string => Array.from({ length: 1 + random(3) }, () => pick(WORDS)).join('.');
    const action = (): string => (random(2) === 0 ? word() : `${word()}.*`);
    for (let i = 0; i < ROUNDS; i++) {
      const [x, y, permission] = [action(), action(), word()];
      const both = intersectActions(x, y);
      expect(both === null || isActionPattern(both), `${x} ${y}`).to.equal(true);
      const expected = actionCovers(x, permission) && actionCovers(y, permission);
      expect(both !== null && actionCovers(both, permission), `${x} and ${y} on ${permission}`).to.equal(expected);
    }
  });

  it('a principal can do exactly what one of its grants says', () => {
    const peer = { spiffeId: 'spiffe://acme.example/a', trustDomain: 'acme.example' } as unknown as PeerIdentity;
    const word = (): string => Array.from({ length: 1 + random(2) }, () => pick(WORDS)).join('.');
    for (let i = 0; i < ROUNDS; i++) {
      const grants = Array.from({ length: random(3) }, () => ({
        actions: [random(2) === 0 ? word() : `${word()}.*`],
        resources: Array.from({ length: random(3) }, pattern),
      }));
      const who = createPrincipal(peer, { actors: [], grants, claims: {} } as unknown as VerifiedToken);
      const [permission, segments] = [word(), path()];
      expect(isPermission(permission)).to.equal(true);
      const of = grants.filter(({ actions: [action = ''] }) =>
        action.endsWith('.*') ? permission.startsWith(action.slice(0, -1)) : action === permission,
      );
      const note = JSON.stringify({ grants, permission, segments });
      expect(who.can(permission, segments), note).to.equal(
        of.some(({ resources }) => resources.some((one) => expression(one).test(segments.join('/')))),
      );
      expect(who.can(permission), note).to.equal(
        of.some(({ resources }) => resources.length === 0 || resources.includes('**')),
      );
    }
  });
});
