import { expect } from 'chai';
import { decodeProtectedHeader, importJWK, type JWK, jwtVerify } from 'jose';
import { ConfigurationError, RefusalError } from '#dist/errors.js';
import { type AuthenticatedPeer, authenticatePeer } from '#dist/identity/authenticate.js';
import { identityProblems } from '#dist/identity/material.js';
import { staticIdentity } from '#dist/identity/static-identity.js';
import type { X509Context } from '#dist/identity/types.js';
import { createFakeClock, createTestAuthority, type TestAuthority } from '#dist/testing/index.js';
import { handshake } from './tls.js';

const START = Date.UTC(2030, 0, 1);

describe('testing/authority', () => {
  let authority: TestAuthority;
  beforeEach(async () => {
    authority = await createTestAuthority({ trustDomain: 'acme.example' });
  });

  it('refuses a malformed trust domain and a malformed path', async () => {
    const wrong = await createTestAuthority({ trustDomain: 'spiffe://acme' }).catch((error: unknown) => error);
    expect(wrong).to.be.instanceOf(ConfigurationError);
    expect(await authority.identity('/x').catch((error: unknown) => error)).to.be.instanceOf(RefusalError);
  });

  it('issues identities that verify', async () => {
    const planner = await authority.identity('agents/planner');
    expect(planner.spiffeId).to.equal('spiffe://acme.example/agents/planner');
    const { svid, bundles, generation } = planner.current();
    expect(generation).to.equal(1);
    expect(planner.certificatePem).to.equal(svid.certificatePem);
    expect(planner.privateKeyPem).to.equal(svid.privateKeyPem);
    expect(planner.fingerprint).to.equal(svid.fingerprint);
    expect(planner.bundlePem).to.equal(authority.bundle());
    expect(identityProblems(svid, bundles, Date.now())).to.deep.equal([]);
    for (const role of ['client', 'server'] as const) {
      const peer = authenticatePeer(svid.chain, bundles, { now: Date.now(), role }) as AuthenticatedPeer;
      expect(peer.peer.spiffeId).to.equal(planner.spiffeId);
    }
  });

  it('keeps to its clock and to the lifetimes it is told', async () => {
    const clock = createFakeClock(START);
    const timed = await createTestAuthority({ trustDomain: 'acme.example', clock });
    const svid = async (options?: object): Promise<[number, number]> => {
      const { notBefore, notAfter } = (await timed.identity('x', options)).current().svid;
      return [notBefore - START, notAfter - START];
    };
    expect(await svid()).to.deep.equal([-60_000, 3_600_000]);
    expect(await svid({ lifetimeSeconds: 30 })).to.deep.equal([-60_000, 30_000]);
    expect(await svid({ notBefore: START + 5000, notAfter: START + 9000 })).to.deep.equal([5000, 9000]);
    expect(await svid({ lifetimeSeconds: -10 })).to.deep.equal([-70_000, -10_000]);
  });

  it('issues identities that real TLS takes, in both roles', async () => {
    const [planner, tasks] = await Promise.all([
      authority.identity('agents/planner'),
      authority.identity('services/tasks'),
    ]);
    const seen = await handshake(planner, tasks);
    expect(seen.protocol).to.equal('TLSv1.3');
    expect(seen.clientSaw).to.deep.equal(tasks.current().svid.chain[0]);
    expect(seen.serverSaw).to.deep.equal(planner.current().svid.chain[0]);
  });

  it("issues identities that real TLS refuses when they are another authority's or expired", async () => {
    const tasks = await authority.identity('services/tasks');
    const stranger = await createTestAuthority({ trustDomain: 'acme.example' });
    const expired = await authority.identity('agents/old', { lifetimeSeconds: -5 });
    for (const client of [await stranger.identity('agents/planner'), expired]) {
      expect(await handshake(client, tasks).catch((error: unknown) => error)).to.be.instanceOf(Error);
    }
  });

  it('exports identities for other processes', async () => {
    const planner = await authority.identity('agents/planner');
    const source = await staticIdentity(
      JSON.parse(JSON.stringify(planner.export())) as ReturnType<typeof planner.export>,
    );
    expect(source.current().svid.fingerprint).to.equal(planner.fingerprint);
    const seen = await handshake(source, await authority.identity('services/tasks'));
    expect(seen.serverSaw).to.deep.equal(planner.current().svid.chain[0]);
  });

  describe('rotation', () => {
    it('adds a CA and a key, publishes bundles, and forgets', async () => {
      const planner = await authority.identity('agents/planner');
      const heard: X509Context[] = [];
      planner.onChange((context) => heard.push(context));
      let keyChanges = 0;
      authority.keys.onChange(() => keyChanges++);
      const [oldCa, oldKey, oldFingerprint] = [authority.ca.pem, authority.tokenKey.id, planner.fingerprint];

      await authority.rotate();
      expect(authority.bundle()).to.equal(authority.ca.pem + oldCa);
      expect(authority.jwks().keys.map((key) => key.kid)).to.deep.equal([authority.tokenKey.id, oldKey]);
      expect(authority.keys.current()).to.deep.equal(authority.jwks());
      expect(keyChanges).to.be.greaterThan(0);
      expect(heard).to.have.length(1);
      expect(heard[0]?.generation).to.equal(2);
      expect(heard[0]?.bundles.get(planner.current().svid.trustDomain)).to.have.length(2);
      expect(planner.fingerprint).to.equal(oldFingerprint);
      const fresh = await authority.identity('services/tasks');
      await handshake(planner, fresh);

      await planner.renew();
      expect(heard[1]?.svid.fingerprint).to.equal(planner.fingerprint).and.not.to.equal(oldFingerprint);
      await authority.forget();
      expect(authority.bundle()).to.equal(authority.ca.pem);
      expect(authority.jwks().keys).to.have.length(1);
      const { svid, bundles } = planner.current();
      expect(identityProblems(svid, bundles, Date.now())).to.deep.equal([]);
    });

    it('leaves what was not renewed without a path once it forgets', async () => {
      const planner = await authority.identity('agents/planner');
      await authority.rotate();
      await authority.forget();
      const { svid, bundles } = planner.current();
      expect(identityProblems(svid, bundles, Date.now())).to.have.length(1);
    });

    it('says nothing to identities that were closed', async () => {
      const planner = await authority.identity('agents/planner');
      let heard = 0;
      planner.onChange(() => heard++);
      await planner.close();
      await authority.rotate();
      await planner.renew();
      expect(heard).to.equal(0);
    });
  });

  it('federates one way, and follows the other authority', async () => {
    const partner = await createTestAuthority({ trustDomain: 'partner.example' });
    const [own, foreign] = [await authority.identity('x'), await partner.identity('y')];
    authority.federate(partner);
    const accepts = (): object =>
      authenticatePeer(foreign.current().svid.chain, own.current().bundles, { now: Date.now(), role: 'client' });
    expect(accepts()).to.have.property('peer');
    expect([...foreign.current().bundles.keys()]).to.deep.equal(['partner.example']);
    await partner.rotate();
    await foreign.renew();
    expect(accepts()).to.have.property('peer');
    expect(Object.keys(own.export().bundles)).to.deep.equal(['acme.example', 'partner.example']);
  });

  it('mints certificates that are refused for exactly what is wrong with them', async () => {
    const own = await authority.identity('x');
    const uriNames = ['spiffe://acme.example/forged'];
    const honest = { ca: false, keyUsage: ['digitalSignature'], uriNames } as const;
    const options = { now: Date.now(), role: 'client' } as const;
    const good = authority.mint(honest);
    expect(authenticatePeer([good.der], own.current().bundles, options)).to.have.property('peer');
    const bad = authority.mint({ ...honest, ca: true });
    expect(authenticatePeer([bad.der], own.current().bundles, options)).to.have.property('reason', 'PEER_INVALID');
  });

  describe('tokens', () => {
    const audience = 'spiffe://acme.example/services/tasks';
    const read = async (jwt: string): Promise<{ header: object; payload: Record<string, unknown> }> => {
      const { kid } = decodeProtectedHeader(jwt);
      const jwk = authority.jwks().keys.find((key) => key.kid === kid) as JWK;
      const { payload, protectedHeader } = await jwtVerify(jwt, await importJWK(jwk, 'ES256'), {
        currentDate: new Date(),
      });
      return { header: protectedHeader, payload };
    };

    it('are honest unless told otherwise', async () => {
      const planner = await authority.identity('agents/planner');
      const grants = [{ actions: ['tasks.*'], resources: ['**'] }];
      const jwt = await authority.token({ audience, boundTo: planner, grants, scope: ['a', 'b'] });
      const { header, payload } = await read(jwt);
      expect(header).to.deep.equal({ alg: 'ES256', typ: 'at+jwt', kid: authority.tokenKey.id });
      expect(payload).to.include({
        iss: 'https://test-authority.acme.example',
        sub: planner.spiffeId,
        aud: audience,
        scope: 'a b',
      });
      expect(payload.cnf).to.deep.equal({ 'x5t#S256': planner.fingerprint });
      expect(payload.authorization_details).to.deep.equal([
        { type: 'zerotrust', actions: ['tasks.*'], resources: ['**'] },
      ]);
      expect((payload.exp as number) - (payload.iat as number)).to.equal(300);
      expect(payload.jti).to.be.a('string').with.length.above(20);
      expect(payload).not.to.have.any.keys('act', 'nbf');
      const second = await read(await authority.token({ audience, boundTo: planner }));
      expect(second.payload.jti).not.to.equal(payload.jti);
    });

    it('carry actors, outermost first', async () => {
      const gateway = await authority.identity('gateway');
      const actors = [gateway.spiffeId, { subject: 'spiffe://acme.example/b', issuer: 'https://i.example' }];
      const { payload } = await read(await authority.token({ subject: 'users/7', audience, boundTo: gateway, actors }));
      expect(payload.sub).to.equal('users/7');
      expect(payload.act).to.deep.equal({
        sub: gateway.spiffeId,
        act: { sub: 'spiffe://acme.example/b', iss: 'https://i.example' },
      });
    });

    it('can be made wrong', async () => {
      const planner = await authority.identity('agents/planner');
      const jwt = await authority.token({
        audience,
        boundTo: planner,
        lifetimeSeconds: 9,
        claims: { jti: undefined, extra: 1, aud: ['x'] },
        header: { typ: undefined, crit: ['x'], kid: 'other' },
      });
      const [header, payload] = jwt.split('.').map((part) => Buffer.from(part, 'base64url').toString());
      expect(JSON.parse(header ?? '')).to.deep.equal({ alg: 'ES256', crit: ['x'], kid: 'other' });
      expect(JSON.parse(payload ?? ''))
        .to.include({ extra: 1 })
        .and.not.have.property('jti');
      expect(JSON.parse(payload ?? '').aud).to.deep.equal(['x']);
      const unbound = await read(await authority.token({ subject: 'x', audience, boundTo: null }));
      expect(unbound.payload).not.to.have.property('cnf');
    });

    it('need a subject', async () => {
      const error = await authority.token({ audience, boundTo: null }).catch((reason: unknown) => reason);
      expect(error).to.be.instanceOf(Error);
    });

    it('verify under a rotated key until it is forgotten, and keys carry the mark', async () => {
      const planner = await authority.identity('agents/planner');
      const jwt = await authority.token({ audience, boundTo: planner });
      await authority.rotate();
      expect((await read(jwt)).payload.sub).to.equal(planner.spiffeId);
      for (const key of authority.jwks().keys)
        expect(key).to.include({ zerotrust_test: true }).and.not.have.property('d');
      await authority.forget();
      expect(authority.jwks().keys.map((key) => key.kid)).not.to.include(decodeProtectedHeader(jwt).kid);
    });
  });
});
