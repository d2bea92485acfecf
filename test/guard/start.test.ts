import { expect } from 'chai';
import {
  ConfigurationError,
  createClientGuard,
  createRevocations,
  createServerGuard,
  type MethodRule,
  type Policy,
  type ServerGuardOptions,
} from 'grpc-zero-trust';
import { createTestAuthority, recordingAudit, type TestAuthority, type TestIdentity } from 'grpc-zero-trust/testing';
import { grpcProblems, grpcVersion, isSupportedGrpc } from '#dist/transport/grpc-internals.js';
import { served } from '../support/calls.js';
import { fixturePolicy, startFixture, unary } from '../support/fixture.js';

describe('guard: start', () => {
  let authority: TestAuthority;
  let identity: TestIdentity;
  let policy: Policy;
  let honest: ServerGuardOptions;
  before(async () => {
    authority = await createTestAuthority({ trustDomain: 'acme.example' });
    identity = await authority.identity('services/tasks');
    policy = await fixturePolicy();
    honest = {
      identity,
      policy,
      tokens: {
        issuers: [
          {
            issuer: authority.issuer,
            keys: authority.keys,
            subjects: ['spiffe://acme.example/**'],
            permits: [{ actions: ['tasks.*'], resources: ['**'] }],
            grants: 'authorization_details',
          },
        ],
      },
      audit: recordingAudit(),
      unsafeAllowTestAuthority: true,
    };
  });

  /** The places of the problems; each problem says what is wrong and how it is mended. */
  const placesOf = async (change: object): Promise<string[]> => {
    const error: unknown = await createServerGuard({ ...honest, ...change }).then(
      async (guard) => {
        await guard.close();
        return null;
      },
      (thrown: unknown) => thrown,
    );
    if (!(error instanceof ConfigurationError)) throw new Error(`no ConfigurationError but ${String(error)}`);
    for (const { place, problem, remedy } of error.problems) {
      expect([place, problem, remedy].every((text) => text.length > 0)).to.equal(true);
      expect(error.message).to.include(`${place}: ${problem}. ${remedy}.`);
    }
    return error.problems.map(({ place }) => place);
  };
  const issuerWith = (change: object): object => ({
    tokens: { issuers: [{ ...honest.tokens?.issuers[0], ...change }] },
  });

  it('starts on honest options', async () => {
    const guard = await createServerGuard(honest);
    expect(guard.posture()).to.deep.include({
      spiffeId: 'spiffe://acme.example/services/tasks',
      audience: 'spiffe://acme.example/services/tasks',
      issuers: [authority.issuer],
      testAuthorityAllowed: true,
      connections: 0,
    });
    await guard.close();
    await guard.close();
  });

  it('names every wrong option at once', async () => {
    const places = await placesOf({
      tokens: undefined,
      tokenz: {},
      limits: { streamsPerConnection: 0, messageBytes: 1.5, nonesuch: 1, headerBytes: '8192' },
      shadow: { methods: ['fixture.v1.TaskService/GetTask', '/fixture.v1.TaskService/GetTsk'], until: 'tomorrow' },
    });
    expect(places).to.have.members([
      'tokenz',
      'tokens',
      'limits.streamsPerConnection',
      'limits.messageBytes',
      'limits.nonesuch',
      'limits.headerBytes',
      'shadow.until',
      'shadow.methods',
      'shadow.methods',
    ]);
  });

  it('null tokens only where no method reads one', async () => {
    const places = await placesOf({ tokens: null });
    expect(places).to.include('tokens (/fixture.v1.TaskService/GetTask)');
    expect(places).to.not.include('tokens (/fixture.v1.TaskService/Ping)');
    expect(places).to.have.length([...policy.rules.values()].filter((rule) => rule.mode !== 'mtls_only').length);
    const ping = '/fixture.v1.TaskService/Ping';
    const only: Policy = { ...policy, rules: new Map([[ping, policy.rules.get(ping) as MethodRule]]) };
    const guard = await createServerGuard({ ...honest, policy: only, tokens: null });
    expect(guard.posture()).to.include({ audience: null, methods: 1 });
    await guard.close();
  });

  it('the test kit is refused without its flag, by both guards', async () => {
    const { unsafeAllowTestAuthority: _flag, ...without } = honest;
    const error = await createServerGuard(without).then(
      () => null,
      (thrown: unknown) => thrown as ConfigurationError,
    );
    expect(error).to.be.instanceOf(ConfigurationError);
    expect(error?.message).to.include('unsafeAllowTestAuthority');
    const ours = await createClientGuard({ identity, tokens: null }).then(
      () => null,
      (thrown: unknown) => thrown as ConfigurationError,
    );
    expect(ours).to.be.instanceOf(ConfigurationError);
    expect(ours?.message).to.include('unsafeAllowTestAuthority');
    const guard = await createClientGuard({ identity, tokens: null, unsafeAllowTestAuthority: true });
    await guard.close();
  });

  it('the flag is audited', async () => {
    const fixture = await startFixture();
    const events = fixture.audit.events.map((event) => event.type === 'guard' && event.event);
    expect(events).to.include('unsafe-test-authority').and.include('started');
    const client = fixture.raw(fixture.planner);
    served(await unary(client.Ping, client, {}));
    await fixture.close();
  });

  it('issuers: audience wildcard, tolerance, duplicates, missing keys, grants, subjects', async () => {
    const issuers = honest.tokens?.issuers ?? [];
    expect(await placesOf({ tokens: { issuers, audience: '*' } })).to.include('audience');
    expect(await placesOf({ tokens: { issuers, clockToleranceSeconds: 31 } })).to.include('clockToleranceSeconds');
    for (const change of [
      { keys: { keys: [] } },
      { subjects: ['spiffe://*/**'] },
      { subjects: ['**/x'] },
      { grants: undefined },
      { permits: [{ actions: ['*'], resources: ['**'] }] },
      { algorithms: ['none'] },
      { algorithms: ['HS256'] },
      { binding: null },
      { maxLifetimeSeconds: 0 },
      { issuer: '' },
      { isuer: 'x' },
    ]) {
      expect(await placesOf(issuerWith(change)), JSON.stringify(change)).to.not.deep.equal([]);
    }
    expect(await placesOf({ tokens: { issuers: [...issuers, ...issuers] } })).to.not.deep.equal([]);
    expect(await placesOf({ tokens: { issuers: [] } })).to.not.deep.equal([]);
  });

  it('vendor services are opened by name, reason and callers only', async () => {
    expect(
      await placesOf({
        builtin: { helth: 'deny', health: { mtlsOnly: ' ', callers: [] }, channelz: { mtlsOnly: 'x', callers: ['*'] } },
      }),
    ).to.deep.equal(['builtin.helth', 'builtin.health.mtlsOnly', 'builtin.health.callers', 'builtin.channelz.callers']);
    const guard = await createServerGuard({
      ...honest,
      builtin: { health: { mtlsOnly: 'probes', callers: ['spiffe://acme.example/probes/*'] }, reflection: 'deny' },
    });
    expect(guard.policy.rules.get('/grpc.health.v1.Health/Check')?.mode).to.equal('mtls_only');
    expect(guard.policy.rules.has('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo')).to.equal(false);
    await guard.close();
  });

  it('an entry that names nothing revokes nothing', () => {
    const revocations = createRevocations();
    expect(() => revocations.revoke({ tokenId: '' })).to.throw(ConfigurationError);
    expect(revocations.epoch).to.equal(0);
  });

  it('versions of grpc-js that hand out unverified certificates are refused', () => {
    for (const version of ['1.14.5', '1.14.6', '1.15.0', '1.100.0', '1.14.6-beta.1']) {
      expect(isSupportedGrpc(version), version).to.equal(true);
    }
    for (const version of ['1.14.4', '1.14.5-beta.1', '1.9.99', '0.99.9', '2.0.0', '1.14', 'latest', '', null]) {
      expect(isSupportedGrpc(version), String(version)).to.equal(false);
      expect(grpcProblems(version).map(({ place }) => place)).to.deep.equal(['@grpc/grpc-js']);
    }
    expect([isSupportedGrpc(grpcVersion()), grpcProblems()]).to.deep.equal([true, []]);
  });
});
