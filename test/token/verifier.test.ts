import { expect } from 'chai';
import type { JSONWebKeySet } from 'jose';
import type { Claims, Grant } from '#dist/call.js';
import { ConfigurationError } from '#dist/errors.js';
import { Listeners } from '#dist/lifecycle.js';
import type { IssuerOptions, JwksSource, VerifiedToken } from '#dist/token/types.js';
import { createTokenVerifier, type TokenVerifierOptions } from '#dist/token/verifier.js';
import { fakeClock, START } from './clock.js';
import {
  AUDIENCE,
  accepted,
  FINGERPRINT,
  ISSUER,
  issuerOf,
  jwksOf,
  makeKey,
  makeToken,
  NOW_S,
  OTHER_FINGERPRINT,
  PLANNER,
  peerOf,
  reasonOf,
} from './kit.js';

const key = makeKey('k1');

function create(over: Partial<TokenVerifierOptions> = {}, issuer: Partial<IssuerOptions> = {}) {
  const given = { issuers: [issuerOf(jwksOf(key), issuer)], audience: AUDIENCE, clock: fakeClock() };
  return createTokenVerifier({ ...given, ...over });
}

/** A source whose keys a test changes by hand. */
function changingSource(
  first: JSONWebKeySet | null,
): JwksSource & { set(jwks: JSONWebKeySet | null): void; refreshes: number; onRefresh: () => void } {
  const listeners = new Listeners<void>();
  let jwks = first;
  return {
    refreshes: 0,
    onRefresh: () => {},
    ready: async () => {},
    current: () => jwks,
    onChange: (listener) => listeners.add(listener),
    async refresh() {
      this.refreshes++;
      this.onRefresh();
    },
    set(next) {
      jwks = next;
      listeners.emit();
    },
    close: async () => {},
    [Symbol.asyncDispose]: async () => {},
  };
}

describe('createTokenVerifier: configuration', () => {
  const other = { issuer: 'https://other.example', keys: jwksOf(makeKey('o')) };
  const cases: [string, Record<string, unknown>, Record<string, unknown>, string][] = [
    ['the same issuer twice', {}, { issuers: [issuerOf(jwksOf(key)), issuerOf(jwksOf(makeKey('b')))] }, 'stands twice'],
    [
      'one key under two issuers',
      {},
      {
        issuers: [
          issuerOf(jwksOf(key)),
          issuerOf({ keys: [{ ...key.jwk, kid: 'x' }] } as JSONWebKeySet, { issuer: 'https://b' }),
        ],
      },
      'also a key of issuer',
    ],
    ['no issuers', {}, { issuers: [] }, 'no issuer is configured'],
    ['no keys', { keys: { keys: [] } }, {}, 'no key that can verify'],
    ['keys missing', { keys: undefined }, {}, 'no key that can verify'],
    ['a source without keys', { keys: changingSource(null) }, {}, 'has no keys'],
    ['keys for other algorithms only', { algorithms: ['RS256'] }, {}, 'no key fits RS256'],
    ['binding null on at+jwt', { binding: null }, {}, 'jwt-svid profile only'],
    ['another binding', { binding: 'none' }, {}, 'neither certificate nor null'],
    ['another profile', { profile: 'jwt' }, {}, 'no such profile'],
    ['a tolerance of 31 s', {}, { clockToleranceSeconds: 31 }, 'clockToleranceSeconds'],
    ['a negative tolerance', {}, { clockToleranceSeconds: -1 }, 'clockToleranceSeconds'],
    ['a tolerance that is no number', {}, { clockToleranceSeconds: Number.NaN }, 'clockToleranceSeconds'],
    ['no subjects', { subjects: [] }, {}, 'issuers[0].subjects'],
    ['subjects missing', { subjects: undefined }, {}, 'issuers[0].subjects'],
    ['a bad subject pattern', { subjects: ['spiffe://*/agents/**'] }, {}, 'issuers[0].subjects[0]'],
    ['a bad actor pattern', { actors: ['spiffe://acme.example'] }, {}, 'issuers[0].actors[0]'],
    ['a plain subject for jwt-svid', { profile: 'jwt-svid', subjects: ['**'] }, {}, 'names workloads only'],
    ['no permits', { permits: [] }, {}, 'issuers[0].permits'],
    ['permits missing', { permits: undefined }, {}, 'issuers[0].permits'],
    ['a bad permit', { permits: [{ actions: ['*'], resources: ['**'] }] }, {}, 'issuers[0].permits[0]'],
    ['grants missing', { grants: undefined }, {}, 'issuers[0].grants'],
    ['grants of another kind', { grants: 'scope' }, {}, 'issuers[0].grants'],
    ['algorithm none', { algorithms: ['none'] }, {}, '"none" is not accepted'],
    ['algorithm HS256', { algorithms: ['HS256'] }, {}, '"HS256" is not accepted'],
    ['no algorithms', { algorithms: [] }, {}, 'issuers[0].algorithms'],
    ['no lifetime', { maxLifetimeSeconds: 0 }, {}, 'maxLifetimeSeconds'],
    ['an endless lifetime', { maxLifetimeSeconds: Number.POSITIVE_INFINITY }, {}, 'maxLifetimeSeconds'],
    ['a misspelt option', { actor: ['x'] }, {}, 'issuers[0].actor: there is no such option'],
    ['a subject mapping that is no function', { subject: 'sub' }, {}, 'issuers[0].subject'],
    ['an empty issuer', { issuer: '' }, {}, 'issuers[0].issuer'],
    ['an audience wildcard', {}, { audience: '*' }, 'audience'],
    ['an audience with a wildcard', {}, { audience: 'spiffe://acme.example/*' }, 'audience'],
    ['no audience', {}, { audience: '' }, 'audience'],
    ['test keys', { keys: { keys: [{ ...key.jwk, zerotrust_test: true }] } }, {}, 'test authority'],
  ];
  for (const [name, issuer, options, message] of cases) {
    it(`refuses ${name}`, async () => {
      const error = await create(options as never, issuer as never).then(
        () => null,
        (thrown: unknown) => thrown,
      );
      expect(error).to.be.instanceOf(ConfigurationError);
      expect((error as Error).message).to.contain(message);
    });
  }

  it('lists every mistake at once, and accepts what is right', async () => {
    const error = await create({ audience: '*', clockToleranceSeconds: 60 }, { subjects: [], permits: [] }).catch(
      (e: unknown) => e,
    );
    expect((error as ConfigurationError).problems.map(({ place }) => place)).to.deep.equal([
      'audience',
      'clockToleranceSeconds',
      'issuers[0].subjects',
      'issuers[0].permits',
    ]);
    const both = await create({ issuers: [issuerOf(jwksOf(key)), issuerOf(other.keys, { issuer: other.issuer })] });
    expect(both.posture().map(({ issuer, keyIds }) => [issuer, keyIds])).to.deep.equal([
      [ISSUER, ['k1']],
      [other.issuer, ['o']],
    ]);
    const test = { keys: [{ ...key.jwk, zerotrust_test: true }] } as unknown as JSONWebKeySet;
    await create({ unsafeAllowTestAuthority: true }, { keys: test });
  });
});

describe('TokenVerifier', () => {
  it('verifies, recalls exactly that text, and checks the call', async () => {
    const verifier = await create();
    const token = makeToken(key);
    expect(verifier.recall(token)).to.equal(null);
    const verified = accepted(await verifier.verify(token, PLANNER));
    expect(verifier.recall(token)).to.equal(verified);
    expect(verifier.recall(`${token}=`)).to.equal(null);
    expect(verifier.current(verified)).to.equal(true);
    expect(verifier.check(verified, peerOf(), START)).to.equal(null);
    expect(verified).to.include({
      issuer: ISSUER,
      subject: PLANNER,
      audience: AUDIENCE,
      keyId: 'k1',
      profile: 'at+jwt',
    });
    expect(verified).to.include({ issuedAt: START, expiresAt: START + 300_000, confirmation: FINGERPRINT });
    expect(verified.grants).to.deep.equal([{ actions: ['tasks.task.read'], resources: ['projects/7/**'] }]);
    expect(Object.isFrozen(verified) && Object.isFrozen(verified.claims) && Object.isFrozen(verified.grants)).to.equal(
      true,
    );
  });

  it('refuses a key of one issuer used for another', async () => {
    const b = makeKey('k1');
    const issuers = [
      issuerOf(jwksOf(key)),
      issuerOf(jwksOf(b), { issuer: 'https://b', subjects: ['spiffe://b.example/**'] }),
    ];
    const verifier = await create({ issuers });
    expect(reasonOf(await verifier.verify(makeToken(b), 'o'))).to.equal('TOKEN_SIGNATURE');
    expect(reasonOf(await verifier.verify(makeToken(b, { iss: 'https://b' }), 'o'))).to.equal('TOKEN_SUBJECT');
    expect(
      reasonOf(await verifier.verify(makeToken(b, { iss: 'https://b', sub: 'spiffe://b.example/x' }), 'o')),
    ).to.equal('accepted');
    expect(reasonOf(await verifier.verify(makeToken(key), 'o'))).to.equal('accepted');
  });

  it('binds to the leaf of the connection and to who presents', async () => {
    const verifier = await create({}, { actors: ['spiffe://acme.example/gateways/*'] });
    const own = accepted(await verifier.verify(makeToken(key), PLANNER));
    const check = (token: VerifiedToken, over: Parameters<typeof peerOf>[0]) =>
      verifier.check(token, peerOf(over), START)?.reason;
    expect(check(own, {})).to.equal(undefined);
    expect(check(own, { fingerprint: OTHER_FINGERPRINT })).to.equal('TOKEN_BINDING_MISMATCH');
    expect(check(own, { spiffeId: 'spiffe://acme.example/agents/thief' })).to.equal('TOKEN_SUBJECT');
    const gateway = 'spiffe://acme.example/gateways/1';
    const act = { sub: gateway, act: { sub: 'spiffe://acme.example/gateways/2' } };
    const delegated = accepted(await verifier.verify(makeToken(key, { act }), PLANNER));
    expect(delegated.actors.map(({ subject }) => subject)).to.deep.equal([gateway, 'spiffe://acme.example/gateways/2']);
    expect(check(delegated, { spiffeId: gateway })).to.equal(undefined);
    expect(check(delegated, {})).to.equal('TOKEN_SUBJECT');
    expect(check(delegated, { spiffeId: 'spiffe://acme.example/gateways/2' })).to.equal('TOKEN_SUBJECT');
    expect(verifier.check({ ...own }, peerOf(), START)?.reason).to.equal('STATE_UNAVAILABLE');
    expect(verifier.current({ ...own, issuer: ISSUER })).to.equal(false);
  });

  it('binds a jwt-svid by its subject', async () => {
    const verifier = await create({}, { profile: 'jwt-svid', binding: null, grants: () => [] });
    const token = makeToken(key, { cnf: undefined, jti: undefined }, { typ: 'JWT' });
    const verified = accepted(await verifier.verify(token, PLANNER));
    expect(verified).to.include({ confirmation: null, id: null });
    expect(verifier.check(verified, peerOf(), START)).to.equal(null);
    expect(verifier.check(verified, peerOf({ spiffeId: 'spiffe://acme.example/agents/x' }), START)?.reason).to.equal(
      'TOKEN_SUBJECT',
    );
  });

  it('holds grants to the ceiling of the issuer', async () => {
    const grantsOf = async (permits: Grant[], claims: Record<string, unknown>) => {
      const verifier = await create({}, { permits });
      return accepted(await verifier.verify(makeToken(key, claims), PLANNER)).grants;
    };
    const details = (actions: string[], resources: string[]) => ({
      authorization_details: [{ type: 'zerotrust', actions, resources }],
    });
    const narrow = [{ actions: ['tasks.task.*'], resources: ['projects/7/**'] }];
    expect(await grantsOf(narrow, details(['tasks.*'], ['**']))).to.deep.equal(narrow);
    expect(
      await grantsOf(narrow, details(['tasks.task.read', 'billing.read'], ['projects/*/tasks/1', 'x'])),
    ).to.deep.equal([{ actions: ['tasks.task.read'], resources: ['projects/7/tasks/1'] }]);
    expect(await grantsOf(narrow, details(['tasks.taskx.read'], ['**']))).to.deep.equal([]);
    expect(await grantsOf(narrow, details(['tasks.task.read'], ['projects/8/**']))).to.deep.equal([]);
    const unnamed = [{ actions: ['tasks.*'], resources: [] }];
    expect(await grantsOf(unnamed, details(['tasks.task.read'], ['projects/7/**']))).to.deep.equal([]);
    const scope = { authorization_details: undefined, scope: 'tasks.task.read openid' };
    expect(await grantsOf(narrow, scope)).to.deep.equal([]);
    expect(await grantsOf([{ actions: ['tasks.*'], resources: ['**'] }], scope)).to.deep.equal([
      { actions: ['tasks.task.read'], resources: [] },
    ]);
    expect(
      await grantsOf([{ actions: ['tasks.*'], resources: [] }], { ...scope, ...details(['tasks.a'], ['**']) }),
    ).to.deep.equal([
      { actions: ['tasks.a'], resources: [] },
      { actions: ['tasks.task.read'], resources: [] },
    ]);
  });

  it('takes rights and subjects from functions, and refuses when they misbehave', async () => {
    const run = async (issuer: Partial<IssuerOptions>, claims: Record<string, unknown> = {}) =>
      (await create({}, issuer)).verify(makeToken(key, claims), PLANNER);
    const roles = (claims: Claims): Grant[] => [{ actions: [`tasks.${String(claims['role'])}`], resources: ['**'] }];
    expect(accepted(await run({ grants: roles }, { role: 'read', scope: 'tasks.other' })).grants).to.deep.equal([
      { actions: ['tasks.read'], resources: ['**'] },
    ]);
    expect(reasonOf(await run({ grants: roles }, { role: 'x y' }))).to.equal('TOKEN_MALFORMED');
    const throwing = () => {
      throw new Error('x');
    };
    expect(reasonOf(await run({ grants: throwing }))).to.equal('TOKEN_MALFORMED');
    for (const value of [
      null,
      'x',
      {},
      [1],
      [{ actions: [], resources: [] }],
      [{ actions: ['tasks.a'], resources: ['a//b'] }],
      Promise.resolve([]),
    ]) {
      expect(reasonOf(await run({ grants: () => value as never }))).to.equal('TOKEN_MALFORMED');
    }
    const client = (claims: Claims) => `spiffe://acme.example/clients/${String(claims['client_id'])}`;
    expect(accepted(await run({ subject: client }, { sub: 'uuid-1', client_id: 'a' })).subject).to.equal(
      'spiffe://acme.example/clients/a',
    );
    expect(reasonOf(await run({ subject: client }, { sub: 'uuid-1', client_id: '../x' }))).to.equal('TOKEN_SUBJECT');
    expect(reasonOf(await run({ subject: throwing }))).to.equal('TOKEN_MALFORMED');
    expect(reasonOf(await run({ subject: (() => undefined) as never }))).to.equal('TOKEN_SUBJECT');
  });

  it('verifies one token once for all who present it at the same time', async () => {
    let mapped = 0;
    const grants = () => {
      mapped++;
      return [];
    };
    const verifier = await create({}, { grants });
    const token = makeToken(key);
    const results = await Promise.all(Array.from({ length: 20 }, () => verifier.verify(token, PLANNER)));
    expect(new Set(results).size).to.equal(1);
    expect(mapped).to.equal(1);
  });

  it('follows the keys: a new one is looked for, a removed or replaced one ends what it signed', async () => {
    const source = changingSource(jwksOf(key));
    const verifier = await create({}, { keys: source });
    const old = accepted(await verifier.verify(makeToken(key), PLANNER));
    const next = makeKey('k2');
    expect(reasonOf(await verifier.verify(makeToken(next), PLANNER))).to.equal('TOKEN_KEY_UNKNOWN');
    expect(source.refreshes).to.equal(1);
    source.onRefresh = () => source.set(jwksOf(key, next));
    expect(reasonOf(await verifier.verify(makeToken(next), PLANNER))).to.equal('accepted');
    expect(verifier.current(old)).to.equal(true);
    source.set(jwksOf(next));
    expect(verifier.current(old)).to.equal(false);
    source.set(jwksOf(makeKey('k1'), next));
    expect(verifier.current(old), 'another key under the same kid').to.equal(false);
    source.set(null);
    expect(reasonOf(await verifier.verify(makeToken(next), PLANNER))).to.equal('STATE_UNAVAILABLE');
    expect(verifier.current(old)).to.equal(false);
    source.set(jwksOf(key));
    expect(verifier.current(old)).to.equal(true);
    expect(reasonOf(await verifier.verify(makeToken(key), PLANNER))).to.equal('accepted');
  });

  it('keeps the last good keys where a reload is malformed, marked as test, or shares a key with another issuer', async () => {
    const source = changingSource(jwksOf(key));
    const other = makeKey('o');
    const issuers = [issuerOf(source), issuerOf(jwksOf(other), { issuer: 'https://b' })];
    const verifier = await create({ issuers });
    const bad = [{ keys: [] }, { keys: [{ ...makeKey('t').jwk, zerotrust_test: true }] }, jwksOf(key, other)];
    for (const jwks of bad) {
      source.set(jwks as JSONWebKeySet);
      expect(verifier.posture()[0]).to.deep.include({ generation: 1, keyIds: ['k1'] });
      expect(verifier.posture()[0]?.problem).to.be.a('string');
      expect(reasonOf(await verifier.verify(makeToken(key), PLANNER))).to.equal('accepted');
    }
    source.set(jwksOf(key, makeKey('n')));
    expect(verifier.posture()[0]).to.deep.include({ generation: 2, keyIds: ['k1', 'n'], problem: null });
  });

  it('survives a refresh that fails or never ends', async () => {
    const clock = fakeClock();
    const source = changingSource(jwksOf(key));
    const verifier = await create({ clock }, { keys: source });
    source.refresh = () => Promise.reject(new Error('down'));
    expect(reasonOf(await verifier.verify(makeToken(makeKey('x')), PLANNER))).to.equal('TOKEN_KEY_UNKNOWN');
    source.refresh = () => new Promise(() => {});
    const pending = verifier.verify(makeToken(makeKey('y')), PLANNER);
    await new Promise((resolve) => setImmediate(resolve));
    clock.advance(5000);
    expect(reasonOf(await pending)).to.equal('TOKEN_KEY_UNKNOWN');
  });

  it('never remembers bad tokens, nor good ones that are of no use here', async () => {
    const verifier = await create();
    const bad = makeToken(makeKey('k1'));
    const elsewhere = makeToken(key, { aud: 'spiffe://acme.example/services/x' });
    const expired = makeToken(key, { iat: NOW_S - 400, exp: NOW_S - 100 });
    for (const token of [bad, elsewhere, expired]) {
      await verifier.verify(token, PLANNER);
      expect(verifier.recall(token)).to.equal(null);
    }
    const late = accepted(await verifier.verify(elsewhere, PLANNER));
    expect(verifier.check(late, peerOf(), START)?.reason).to.equal('TOKEN_AUDIENCE');
    expect(verifier.check(accepted(await verifier.verify(expired, PLANNER)), peerOf(), START)?.reason).to.equal(
      'TOKEN_EXPIRED',
    );
  });

  it('forgets what expired first, then the oldest of the same owner, never what others hold', async () => {
    const clock = fakeClock();
    const verifier = await create({ clock, maxRemembered: 4, maxRememberedPerOwner: 3 });
    const remember = async (owner: string, claims: Record<string, unknown> = {}) => {
      const token = makeToken(key, claims);
      accepted(await verifier.verify(token, owner));
      return token;
    };
    const known = (...tokens: string[]) => tokens.map((token) => verifier.recall(token) !== null);
    const honest = await remember('honest');
    const flood = [];
    for (let i = 0; i < 10; i++) flood.push(await remember('greedy'));
    expect(known(honest)).to.deep.equal([true]);
    expect(known(...flood.slice(-4))).to.deep.equal([false, true, true, true]);
    const short = await remember('honest', { exp: NOW_S + 10 });
    expect(known(honest, short), 'full: the oldest of the same owner').to.deep.equal([false, true]);
    clock.advance(50_000);
    const next = await remember('honest');
    expect(known(short, next, ...flood.slice(-3))).to.deep.equal([false, true, true, true, true]);
    const newcomer = await remember('new');
    expect(known(newcomer, next)).to.deep.equal([true, true]);
  });

  it('counts what passes only thanks to the tolerance', async () => {
    const verifier = await create();
    const verified = accepted(await verifier.verify(makeToken(key), PLANNER));
    const used = (now: number) => {
      verifier.check(verified, peerOf(), now);
      return verifier.toleranceUsed;
    };
    expect([START, START + 299_999, START + 300_000, START - 1, START + 330_000].map(used)).to.deep.equal([
      0, 0, 1, 2, 2,
    ]);
  });

  it('answers with a denial where the token is no text', async () => {
    const verifier = await create();
    for (const token of [undefined, null, 7, {}]) {
      expect(reasonOf(await verifier.verify(token as never, PLANNER))).to.equal('TOKEN_MALFORMED');
    }
  });

  it('refuses after close', async () => {
    const verifier = await create();
    const token = makeToken(key);
    await verifier.verify(token, PLANNER);
    await verifier.close();
    expect(verifier.recall(token)).to.equal(null);
    expect(reasonOf(await verifier.verify(token, PLANNER))).to.equal('STATE_UNAVAILABLE');
  });
});
