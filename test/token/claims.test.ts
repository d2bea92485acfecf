import { expect } from 'chai';
import { RefusalError } from '#dist/errors.js';
import type { IssuerOptions } from '#dist/token/types.js';
import { verifyToken } from '#dist/token/verify-token.js';
import { START } from './clock.js';
import {
  AUDIENCE,
  b64,
  claimsOf,
  FINGERPRINT,
  headerOf,
  issuerOf,
  jwksOf,
  makeKey,
  makeToken,
  NOW_S,
  PLANNER,
  signRaw,
} from './kit.js';

const key = makeKey('k1');
const keys = jwksOf(key);

async function reason(token: string, over: Partial<IssuerOptions> = {}, now = START): Promise<string> {
  try {
    await verifyToken(token, { issuers: [issuerOf(keys, over)], audience: AUDIENCE, now });
    return 'accepted';
  } catch (error) {
    if (!(error instanceof RefusalError)) throw error;
    expect(`${error.message}${error.detail}`).not.to.contain(token.slice(0, 60));
    return error.reason;
  }
}

const withClaims = (claims: Record<string, unknown>, over: Partial<IssuerOptions> = {}, now = START) =>
  reason(makeToken(key, claims), over, now);

/** A payload as text, with one member replaced by raw text. */
const withRaw = (name: string, raw: string) => {
  const { [name]: _, ...rest } = claimsOf();
  return reason(signRaw(JSON.stringify(headerOf(key)), `${JSON.stringify(rest).slice(0, -1)},"${name}":${raw}}`, key));
};

describe('verifyToken, profile at+jwt', () => {
  it('accepts a good token and gives its claims, frozen, without inherited members', async () => {
    const token = makeToken(key, { aud: [AUDIENCE], client_id: 'planner', txn: 't1', nbf: NOW_S });
    const claims = await verifyToken(token, { issuers: [issuerOf(keys)], audience: AUDIENCE, now: START });
    expect(claims.sub).to.equal(PLANNER);
    expect(claims.aud).to.equal(AUDIENCE);
    expect(Object.isFrozen(claims)).to.equal(true);
    expect('constructor' in claims).to.equal(false);
  });

  for (const typ of ['at+jwt', 'AT+JWT', 'application/at+jwt', 'Application/At+Jwt']) {
    it(`accepts typ ${typ}`, async () => {
      expect(await reason(makeToken(key, {}, { typ }))).to.equal('accepted');
    });
  }
  for (const typ of [
    undefined,
    '',
    'JWT',
    'id+jwt',
    'at+jwt ',
    'at+jwt;x',
    'application/application/at+jwt',
    'rt+jwt',
    'dpop+jwt',
    'logout+jwt',
  ]) {
    it(`refuses typ ${String(typ)}`, async () => {
      expect(await reason(makeToken(key, {}, { typ }))).to.equal('TOKEN_TYPE');
    });
  }

  for (const name of ['iss', 'sub', 'aud', 'iat', 'exp', 'jti']) {
    it(`refuses a token without ${name}, and one where it is null, empty, an object or twice`, async () => {
      expect(await withClaims({ [name]: undefined })).to.equal('TOKEN_MALFORMED');
      expect(await withClaims({ [name]: null })).to.equal('TOKEN_MALFORMED');
      expect(await withClaims({ [name]: {} })).to.equal('TOKEN_MALFORMED');
      expect(await withClaims({ [name]: name === 'iss' ? ['x'] : '' })).to.equal('TOKEN_MALFORMED');
      const twice = JSON.stringify(claimsOf()).replace('{', `{"${name}":${JSON.stringify(claimsOf()[name])},`);
      expect(await reason(signRaw(JSON.stringify(headerOf(key)), twice, key))).to.equal('TOKEN_MALFORMED');
    });
  }

  it('refuses duplicate cnf and a duplicate member inside cnf', async () => {
    expect(await withRaw('cnf', `{"x5t#S256":"${FINGERPRINT}"},"cnf":{"x5t#S256":"${FINGERPRINT}"}`)).to.equal(
      'TOKEN_MALFORMED',
    );
    expect(await withRaw('cnf', `{"x5t#S256":"${FINGERPRINT}","x5t#S256":"${FINGERPRINT}"}`)).to.equal(
      'TOKEN_MALFORMED',
    );
    expect(await withRaw('cnf', `{"x5t#S256":"${FINGERPRINT}"}`)).to.equal('accepted');
  });

  for (const raw of [
    `"${NOW_S + 300}"`,
    `${NOW_S + 300}.5`,
    '-1',
    '1e999',
    '-1e999',
    `[${NOW_S + 300}]`,
    'true',
    'null',
    '1e300',
    '9007199254740993',
  ]) {
    it(`refuses exp ${raw}`, async () => {
      expect(await withRaw('exp', raw)).to.equal('TOKEN_MALFORMED');
    });
  }
  it('refuses iat and nbf of wrong type or not before exp', async () => {
    expect(await withRaw('iat', '"1"')).to.equal('TOKEN_MALFORMED');
    expect(await withRaw('nbf', 'null')).to.equal('TOKEN_MALFORMED');
    expect(await withRaw('nbf', '1.5')).to.equal('TOKEN_MALFORMED');
    expect(await withClaims({ iat: NOW_S + 300 })).to.equal('TOKEN_MALFORMED');
    expect(await withClaims({ iat: NOW_S + 301 })).to.equal('TOKEN_MALFORMED');
    expect(await withClaims({ nbf: NOW_S + 300 })).to.equal('TOKEN_MALFORMED');
    expect(await withClaims({ nbf: NOW_S })).to.equal('accepted');
  });

  it('holds the lifetime to the limit, to the second, without tolerance', async () => {
    expect(await withClaims({ exp: NOW_S + 300 })).to.equal('accepted');
    expect(await withClaims({ exp: NOW_S + 301 })).to.equal('TOKEN_LIFETIME');
    expect(await withClaims({ exp: NOW_S + 301 }, { maxLifetimeSeconds: 301 })).to.equal('accepted');
  });

  it('holds times to the clock with 30 s of tolerance, to the millisecond', async () => {
    const times = { iat: NOW_S, exp: NOW_S + 60 };
    expect(await withClaims(times, {}, START + 60_000 + 29_999)).to.equal('accepted');
    expect(await withClaims(times, {}, START + 60_000 + 30_000)).to.equal('TOKEN_EXPIRED');
    expect(await withClaims(times, {}, START - 30_000)).to.equal('accepted');
    expect(await withClaims(times, {}, START - 30_001)).to.equal('TOKEN_NOT_YET_VALID');
    expect(await withClaims({ ...times, nbf: NOW_S + 30 })).to.equal('accepted');
    expect(await withClaims({ ...times, nbf: NOW_S + 31 })).to.equal('TOKEN_NOT_YET_VALID');
    expect(await withClaims(times, {}, Number.NaN)).to.equal('TOKEN_EXPIRED');
  });

  const audiences: [string, unknown, string][] = [
    ['another service', 'spiffe://acme.example/services/other', 'TOKEN_AUDIENCE'],
    ['ours and another', [AUDIENCE, 'other'], 'TOKEN_AUDIENCE'],
    ['ours twice', [AUDIENCE, AUDIENCE], 'TOKEN_AUDIENCE'],
    ['a nested array', [[AUDIENCE]], 'TOKEN_MALFORMED'],
    ['an empty array', [], 'TOKEN_MALFORMED'],
    ['a number', 1, 'TOKEN_MALFORMED'],
    ['an object', { 0: AUDIENCE }, 'TOKEN_MALFORMED'],
    ['a wildcard', '*', 'TOKEN_AUDIENCE'],
    ['ours with a slash', `${AUDIENCE}/`, 'TOKEN_AUDIENCE'],
    ['ours in capitals', AUDIENCE.toUpperCase(), 'TOKEN_AUDIENCE'],
    ['ours', AUDIENCE, 'accepted'],
    ['an array of ours', [AUDIENCE], 'accepted'],
  ];
  for (const [name, aud, expected] of audiences) {
    it(`answers ${expected} where aud is ${name}`, async () => {
      expect(await withClaims({ aud })).to.equal(expected);
    });
  }

  const confirmations: [string, unknown][] = [
    ['missing', undefined],
    ['null', null],
    ['empty', {}],
    ['text', FINGERPRINT],
    ['an array', [{ 'x5t#S256': FINGERPRINT }]],
    ['too short', { 'x5t#S256': FINGERPRINT.slice(1) }],
    ['too long', { 'x5t#S256': `${FINGERPRINT}A` }],
    ['padded', { 'x5t#S256': `${FINGERPRINT}=` }],
    ['of an array', { 'x5t#S256': [FINGERPRINT] }],
    ['hexadecimal', { 'x5t#S256': Buffer.from(FINGERPRINT, 'base64url').toString('hex') }],
    ['not canonical', { 'x5t#S256': `${b64(Buffer.alloc(32)).slice(0, 42)}B` }],
    ['SHA-1', { x5t: b64(Buffer.alloc(20)) }],
    ['with another method beside', { 'x5t#S256': FINGERPRINT, jkt: FINGERPRINT }],
  ];
  for (const [name, cnf] of confirmations) {
    it(`refuses cnf that is ${name}`, async () => {
      expect(await withClaims({ cnf })).to.equal('TOKEN_BINDING_MISSING');
    });
  }

  it('refuses another issuer, and a subject outside its bounds', async () => {
    expect(await withClaims({ iss: 'https://other.example' })).to.equal('TOKEN_ISSUER');
    expect(await withClaims({ iss: 'https://issuer.acme.example/' })).to.equal('TOKEN_ISSUER');
    for (const sub of [
      'spiffe://evil.example/agents/planner',
      'spiffe://acme.example',
      'spiffe://acme.example/',
      'spiffe://acme.example/agents//planner',
      'spiffe://acme.example/agents/../planner',
      'SPIFFE://acme.example/agents/planner',
      ' spiffe://acme.example/agents/planner',
      'spiffe://acme.example/agents/pl%61nner',
      'alice',
    ]) {
      expect(await withClaims({ sub }, { subjects: ['spiffe://acme.example/**', 'admins/**'] }), sub).to.equal(
        'TOKEN_SUBJECT',
      );
    }
    expect(await withClaims({ sub: 'admins/alice' }, { subjects: ['admins/*'] })).to.equal('accepted');
    expect(await withClaims({ sub: 'x\u0000y' }, { subjects: ['**'] })).to.equal('TOKEN_MALFORMED');
  });

  it('reads act: bounded, only sub, iss and act, only actors the issuer may name', async () => {
    const actors = { actors: ['spiffe://acme.example/gateways/*'] };
    const actor = (n: number, act?: unknown) => ({
      sub: `spiffe://acme.example/gateways/${n}`,
      ...(act ? { act } : {}),
    });
    expect(await withClaims({ act: actor(1) }, actors)).to.equal('accepted');
    expect(await withClaims({ act: actor(1) })).to.equal('DELEGATION_ACTOR');
    expect(await withClaims({ act: actor(1, { sub: 'spiffe://acme.example/other/1' }) }, actors)).to.equal(
      'DELEGATION_ACTOR',
    );
    expect(await withClaims({ act: actor(1, actor(2, actor(3, actor(4)))) }, actors)).to.equal('accepted');
    expect(await withClaims({ act: actor(1, actor(2, actor(3, actor(4, actor(5))))) }, actors)).to.equal(
      'DELEGATION_DEPTH',
    );
    for (const act of [
      'x',
      [],
      [actor(1)],
      {},
      { sub: 1 },
      { ...actor(1), aud: 'x' },
      { ...actor(1), iss: 1 },
      { ...actor(1), act: null },
    ]) {
      expect(await withClaims({ act }, actors), JSON.stringify(act)).to.equal('TOKEN_MALFORMED');
    }
    expect(await withClaims({ act: { ...actor(1), iss: 'https://x.example' } }, actors)).to.equal('accepted');
  });

  it('refuses malformed zerotrust entries and scope, and ignores other types', async () => {
    const good = { type: 'zerotrust', actions: ['tasks.task.read'], resources: ['projects/7/**'] };
    for (const details of [
      {},
      'x',
      [1],
      [null],
      [[good]],
      [{ actions: ['a'], resources: ['b'] }],
      [{ ...good, locations: [] }],
      [{ ...good, actions: [] }],
      [{ ...good, actions: 'tasks.task.read' }],
      [{ ...good, actions: ['*'] }],
      [{ ...good, actions: ['tasks.*.read'] }],
      [{ ...good, actions: ['Tasks.read'] }],
      [{ ...good, actions: [['tasks.task.read']] }],
      [{ ...good, resources: [] }],
      [{ ...good, resources: undefined }],
      [{ ...good, resources: [''] }],
      [{ ...good, resources: ['projects/**/tasks'] }],
      [{ ...good, resources: ['/projects'] }],
      [{ ...good, resources: ['projects/../x'] }],
      [good, { ...good, resources: ['a//b'] }],
      Array.from({ length: 129 }, () => ({ type: 'x' })),
    ]) {
      expect(await withClaims({ authorization_details: details }), JSON.stringify(details)).to.equal('TOKEN_MALFORMED');
    }
    expect(await withClaims({ authorization_details: [good, { type: 'payment', actions: 7 }] })).to.equal('accepted');
    for (const scope of [1, ['a'], ' a', 'a  b', 'a ', 'a\tb', 'a"b']) {
      expect(await withClaims({ scope }), JSON.stringify(scope)).to.equal('TOKEN_MALFORMED');
    }
    expect(await withClaims({ scope: 'openid tasks.task.read https://x/y' })).to.equal('accepted');
    expect(await withClaims({ authorization_details: undefined, scope: '' })).to.equal('accepted');
  });
});

describe('verifyToken, profile jwt-svid', () => {
  const svid = { profile: 'jwt-svid', binding: null } as const;
  const bare = { cnf: undefined, jti: undefined, iat: undefined, authorization_details: undefined };
  const svidToken = (claims: Record<string, unknown>, typ?: unknown) => makeToken(key, { ...bare, ...claims }, { typ });

  it('accepts typ JWT, JOSE or none, without jti, iat and cnf', async () => {
    for (const typ of ['JWT', 'JOSE', undefined]) expect(await reason(svidToken({}, typ), svid)).to.equal('accepted');
    for (const typ of ['at+jwt', '', 'jwt', 1]) {
      expect(await reason(svidToken({}, typ), svid), String(typ)).to.be.oneOf(['TOKEN_TYPE', 'TOKEN_MALFORMED']);
    }
  });

  it('counts what is left of life where there is no iat', async () => {
    expect(await reason(svidToken({ exp: NOW_S + 301 }), svid)).to.equal('TOKEN_LIFETIME');
    expect(await reason(svidToken({ exp: NOW_S + 301 }), svid, START + 1000)).to.equal('accepted');
    expect(await reason(svidToken({ iat: NOW_S, exp: NOW_S + 301 }), svid)).to.equal('TOKEN_LIFETIME');
  });

  it('refuses delegation, subjects that are no workload, and a cnf that cannot be checked', async () => {
    const actors = { ...svid, actors: ['spiffe://acme.example/**'] };
    expect(await reason(svidToken({ act: { sub: PLANNER } }), actors)).to.equal('TOKEN_MALFORMED');
    expect(await reason(svidToken({ sub: 'alice' }), svid)).to.equal('TOKEN_SUBJECT');
    expect(await reason(svidToken({ cnf: { jkt: FINGERPRINT } }), svid)).to.equal('TOKEN_BINDING_MISSING');
    expect(await reason(svidToken({ cnf: { 'x5t#S256': FINGERPRINT } }), svid)).to.equal('accepted');
    expect(await reason(svidToken({}), { profile: 'jwt-svid' })).to.equal('TOKEN_BINDING_MISSING');
  });
});
