import { expect } from 'chai';
import { ConfigurationError, type DecisionEvent, type IssuerOptions } from 'grpc-zero-trust';
import { createTestAuthority, signJwt, type TestAuthority, type TestIdentity } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, served, until } from '../support/calls.js';
import { bearer, type Fixture, SERVER_ID, startFixture, unary } from '../support/fixture.js';
import { accepts, base64url, type Forgery, mould, refuses } from '../support/forge.js';
import { FLAG, FRAME, FrameConnection, frame, grpcMessage, headerBlock, requestHeaders } from '../support/frames.js';
import { whoAmI } from '../support/impostor.js';
import type { Identity } from '../support/tasks.js';

const WHO_AM_I = '/fixture.v1.TaskService/WhoAmI';

describe('attacks: identity smuggled in metadata', () => {
  let fixture: Fixture;
  let executor: TestIdentity;
  before(async () => {
    fixture = await startFixture({ sessions: true });
    executor = await fixture.authority.identity('agents/executor');
  });
  beforeEach(() => {
    fixture.seen.calls.length = 0;
  });
  after(() => fixture.close());

  /** What proxies and other systems write the identity of a caller into. */
  const smuggled = (): Record<string, string> => ({
    'x-forwarded-client-cert': `By=spiffe://acme.example/proxy;Hash=00;URI=${fixture.planner.spiffeId}`,
    'x-spiffe-id': fixture.planner.spiffeId,
    'x-client-cert': encodeURIComponent(fixture.planner.certificatePem),
    'x-ssl-client-verify': 'SUCCESS',
    'x-ssl-client-s-dn': 'CN=planner',
    'x-forwarded-for': '127.0.0.1',
    forwarded: 'for=127.0.0.1;by=proxy',
    'x-forwarded-authorization': 'Bearer x',
    'x-endpoint-api-userinfo': base64url(JSON.stringify({ id: fixture.planner.spiffeId })),
    'x-goog-iap-jwt-assertion': 'a.b.c',
    'x-auth-request-user': fixture.planner.spiffeId,
    'zerotrust-principal': fixture.planner.spiffeId,
    'zerotrust.principal': fixture.planner.spiffeId,
    'zerotrust-stream-id': 'x',
    'grpc-internal-principal': fixture.planner.spiffeId,
    cookie: 'session=1',
  });

  it('does not stand in for a token', async () => {
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    const elsewhere = {
      ...smuggled(),
      'x-authorization': `Bearer ${token}`,
      'proxy-authorization': `Bearer ${token}`,
      token,
    };
    const metadata = bearer('x', elsewhere);
    metadata.remove('authorization');
    metadata.set('authorization-bin', Buffer.from(`Bearer ${token}`));
    await expectRefused(fixture, await unary(client.WhoAmI, client, {}, metadata), 'TOKEN_MISSING');
    expect(fixture.seen.calls).to.deep.equal([]);
    served(await unary(client.WhoAmI, client, {}, bearer(token, smuggled())));
  });

  it('does not change who the caller is', async () => {
    const client = fixture.raw(executor);
    const own = await fixture.authority.token({ audience: SERVER_ID, boundTo: executor });
    const identity = served(await unary<object, Identity>(client.WhoAmI, client, {}, bearer(own, smuggled())));
    expect(identity).to.deep.equal({ peer: executor.spiffeId, subject: executor.spiffeId, actors: [] });
    const ping = served(await unary<object, Identity>(client.Ping, client, {}, bearer(own, smuggled())));
    expect(ping.peer).to.equal(executor.spiffeId);
    fixture.seen.calls.length = 0;
    const stolen = bearer(await fixture.token(), smuggled());
    await expectRefused(fixture, await unary(client.WhoAmI, client, {}, stolen), 'TOKEN_BINDING_MISMATCH');
    const event = await expectRefused(
      fixture,
      await unary(client.PlannerOnly, client, {}, bearer(own, smuggled())),
      'CALLER_NOT_ALLOWED',
    );
    expect([event.peer, fixture.seen.calls]).to.deep.equal([executor.spiffeId, []]);
    const planner = fixture.raw(fixture.planner);
    served(await unary(planner.PlannerOnly, planner, {}, bearer(await fixture.token())));
  });

  it('other schemes, and Bearer written in another way', async () => {
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    const values = [
      'Bearer',
      `Basic ${token}`,
      `DPoP ${token}`,
      `Token ${token}`,
      token,
      `Bearer  ${token}`,
      `Bearer,${token}`,
      `Bearer=${token}`,
      `Bearer ${token},`,
      `Bearer ${token}, Bearer ${token}`,
      `BearerBearer ${token}`,
      `Bearer Bearer ${token}`,
      'Basic cGxhbm5lcjpwYXNzd29yZA==',
    ];
    for (const value of values) {
      const metadata = bearer('x');
      metadata.set('authorization', value);
      await expectRefused(fixture, await unary(client.WhoAmI, client, {}, metadata), 'TOKEN_MALFORMED');
    }
    expect(fixture.seen.calls).to.deep.equal([]);
    const metadata = bearer('x');
    metadata.set('authorization', `bEaReR ${token}`);
    served(await unary(client.WhoAmI, client, {}, metadata));
  });
});

describe('attacks: more than one authorization value', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await startFixture();
  });
  afterEach(() => fixture.close());

  /** Calls WhoAmI with these headers over a connection of its own, and returns its audit record. */
  async function call(...authorization: readonly string[]): Promise<DecisionEvent> {
    const before = decisions(fixture).length;
    const connection = await FrameConnection.open(fixture.port, fixture.planner);
    connection.acknowledge();
    const values = authorization.map((value): [string, string] => ['authorization', value]);
    connection.send(
      frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock(requestHeaders(WHO_AM_I, values))),
      frame(FRAME.data, FLAG.endStream, 1, grpcMessage()),
    );
    expect(await connection.outcome(1)).to.equal('trailers');
    await until(() => decisions(fixture).length > before, 'the record');
    connection.close();
    return decisions(fixture)[before] as DecisionEvent;
  }

  it('is refused, whichever comes first and even where all are good', async () => {
    const token = `Bearer ${await fixture.token()}`;
    const other = `Bearer ${await fixture.token()}`;
    expect((await call(token)).outcome).to.equal('allowed');
    fixture.seen.calls.length = 0;
    const sets = [
      [token, 'Bearer a.b.c'],
      ['Bearer a.b.c', token],
      [token, token],
      [token, other],
      [token, ''],
      ['', token],
      ['Basic eDp5', token],
      [token, 'Basic eDp5'],
      [token, token, token],
    ];
    for (const set of sets) {
      const { reason, status, detail } = await call(...set);
      expect([reason, status, detail]).to.deep.equal(['TOKEN_MALFORMED', 16, 'more than one authorization value']);
    }
    expect(fixture.seen.calls).to.deep.equal([]);
    expect((await call(other)).outcome).to.equal('allowed');
  });

  it('and so is one that is not ASCII, of which nothing is printed', async () => {
    const token = await fixture.token();
    const printed: string[] = [];
    const { write } = process.stderr;
    process.stderr.write = (chunk: string | Uint8Array) => printed.push(String(chunk)) > 0;
    try {
      for (const value of [`Bearer ${token}\u00ff`, `Bearer\u00a0${token}`, `\u00ef\u00bb\u00bfBearer ${token}`]) {
        expect((await call(value)).reason).to.equal('TOKEN_MALFORMED');
      }
    } finally {
      process.stderr.write = write;
    }
    expect(printed.filter((line) => line.includes(token.slice(0, 40)))).to.deep.equal([]);
    expect(fixture.seen.calls).to.deep.equal([]);
    expect((await call(`Bearer ${token}`)).outcome).to.equal('allowed');
  });
});

describe('attacks: one issuer in the place of another', () => {
  let partner: TestAuthority;
  let batch: TestAuthority;
  let fixture: Fixture;
  let job: TestIdentity;
  const trusted = (authority: TestAuthority, more: Partial<IssuerOptions>): IssuerOptions => ({
    issuer: authority.issuer,
    keys: authority.keys,
    subjects: ['spiffe://acme.example/batch/**'],
    actors: [],
    permits: [{ actions: ['tasks.*'], resources: ['**'] }],
    grants: 'authorization_details',
    ...more,
  });
  before(async () => {
    partner = await createTestAuthority({ trustDomain: 'partner.example' });
    batch = await createTestAuthority({ trustDomain: 'batch.example' });
    fixture = await startFixture({
      moreIssuers: [trusted(partner, { subjects: ['spiffe://partner.example/**'] }), trusted(batch, {})],
    });
    job = await fixture.authority.identity('batch/job');
  });
  after(() => fixture.close());

  const by = (
    issuer: TestAuthority,
    more: { claims?: object; header?: object; key?: TestAuthority } = {},
  ): Forgery[2] => {
    return ({ header, claims }) => {
      const { tokenKey } = more.key ?? issuer;
      return signJwt(
        tokenKey,
        { ...header, kid: tokenKey.id, ...more.header },
        { ...claims, iss: issuer.issuer, ...more.claims },
      );
    };
  };

  // The tables are read before anything is set up.
  refuses(
    () => fixture,
    [
      ['a subject of another trust domain', 'TOKEN_SUBJECT', (made) => by(partner)(made)],
      ['a subject outside the bounds within ours', 'TOKEN_SUBJECT', (made) => by(batch)(made)],
      [
        'a subject that only begins like the bounds',
        'TOKEN_SUBJECT',
        (made) => by(batch, { claims: { sub: 'spiffe://acme.example/batchx/job' } })(made),
      ],
      [
        'the bounds themselves',
        'TOKEN_SUBJECT',
        (made) => by(batch, { claims: { sub: 'spiffe://acme.example/batch' } })(made),
      ],
      [
        'a way out of the bounds',
        'TOKEN_SUBJECT',
        (made) => by(batch, { claims: { sub: 'spiffe://acme.example/batch/../agents/planner' } })(made),
      ],
      ['a subject that is no workload', 'TOKEN_SUBJECT', (made) => by(batch, { claims: { sub: 'alice' } })(made)],
      [
        'an actor, from an issuer that may name none',
        'DELEGATION_ACTOR',
        (made) =>
          by(batch, {
            claims: { sub: 'spiffe://acme.example/batch/job', act: { sub: made.fixture.planner.spiffeId } },
          })(made),
      ],
      [
        'our issuer, with the key and kid of the partner',
        'TOKEN_KEY_UNKNOWN',
        (made) => by(made.fixture.authority, { key: partner })(made),
      ],
      [
        'our issuer, with the key of the partner under our kid',
        'TOKEN_SIGNATURE',
        (made) => by(made.fixture.authority, { key: partner, header: { kid: made.key.id } })(made),
      ],
      [
        'the partner, with our key and kid',
        'TOKEN_KEY_UNKNOWN',
        (made) => by(partner, { key: made.fixture.authority })(made),
      ],
      [
        'the partner, with our key under its kid',
        'TOKEN_SIGNATURE',
        (made) => by(partner, { key: made.fixture.authority, header: { kid: partner.tokenKey.id } })(made),
      ],
      [
        'an issuer nobody configured, with our key',
        'TOKEN_ISSUER',
        ({ signed }) => signed({}, { iss: 'https://test-authority.elsewhere.example' }),
      ],
    ],
  );
  accepts(() => fixture, [['our own issuer', ({ honest }) => honest]]);

  it('within its bounds each of them is believed', async () => {
    const client = fixture.raw(job);
    const claims = { sub: job.spiffeId, cnf: { 'x5t#S256': job.fingerprint } };
    const made = await mould(fixture);
    expect(served(await whoAmI(client, await by(batch, { claims })(made))).subject).to.equal(job.spiffeId);
    const elsewhere = { ...claims, sub: 'spiffe://partner.example/batch/job' };
    // In its own bounds, but presented by someone else.
    await expectRefused(fixture, await whoAmI(client, await by(partner, { claims: elsewhere })(made)), 'TOKEN_SUBJECT');
    client.close();
  });

  it('one key for two issuers, or one issuer twice, is refused at start', async () => {
    const twice = [trusted(partner, { issuer: 'https://other.example' }), trusted(partner, {})];
    for (const moreIssuers of [twice, [trusted(batch, {}), trusted(batch, {})]]) {
      const started = await startFixture({ moreIssuers }).then(
        () => null,
        (error: unknown) => error,
      );
      expect(started).to.be.instanceOf(ConfigurationError);
      expect((started as Error).message).to.match(/is also a key of issuer|stands twice/);
    }
  });

  it('a key that was withdrawn is not known any more, not even for a token that was served before', async () => {
    const client = fixture.raw(fixture.planner);
    const old = await fixture.token();
    served(await whoAmI(client, old));
    await fixture.authority.rotate();
    served(await whoAmI(client, old));
    const fresh = await fixture.token();
    // Only the token key is withdrawn here; the certificates stay those of before.
    const keys = fixture.authority.keys as unknown as { replace(set: object): void };
    keys.replace({ keys: fixture.authority.jwks().keys.slice(0, 1) });
    await expectRefused(fixture, await whoAmI(client, old), 'TOKEN_KEY_UNKNOWN');
    served(await whoAmI(client, fresh));
    client.close();
  });
});
