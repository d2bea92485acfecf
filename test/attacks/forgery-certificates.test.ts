import { createServer } from 'node:tls';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import type { Reason } from 'grpc-zero-trust';
import {
  createFakeClock,
  createTestAuthority,
  type MintedCertificate,
  type MintOptions,
  mintCertificate,
  type TestAuthority,
} from 'grpc-zero-trust/testing';
import { expectRefused, served } from '../support/calls.js';
import { bearer, drain, type Fixture, rawClient, SERVER_ID, startFixture, unary } from '../support/fixture.js';
import { credentialsOf, failedHandshakes, handshake, visit, whoAmI } from '../support/impostor.js';
import { TaskClientClass } from '../support/tasks.js';

const PLANNER = 'spiffe://acme.example/agents/planner';
const HOUR = 3_600_000;

/** An honest leaf of the planner, from which each forgery differs in one thing. */
const LEAF: MintOptions = {
  ca: false,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: ['clientAuth', 'serverAuth'],
  uriNames: [PLANNER],
};

function without(name: keyof MintOptions): MintOptions {
  return Object.fromEntries(Object.entries(LEAF).filter(([key]) => key !== name));
}

describe('attacks: forged certificates', () => {
  let authority: TestAuthority;
  let partner: TestAuthority;
  let stranger: TestAuthority;
  let fixture: Fixture;
  let failures: string[];
  before(async () => {
    authority = await createTestAuthority({ trustDomain: 'acme.example' });
    partner = await createTestAuthority({ trustDomain: 'partner.example' });
    // Same trust domain, same names in its CA, another key.
    stranger = await createTestAuthority({ trustDomain: 'acme.example' });
    authority.federate(partner);
  });
  beforeEach(async () => {
    // One server each: a client that was refused tries again for a while, and its failures would count for the next.
    fixture = await startFixture({ authority });
    failures = failedHandshakes(fixture.server);
    // The control of every test here: the honest leaf, used in the same way.
    const honest = authority.mint(LEAF);
    const identity = served(await visit(fixture.address, credentialsOf(honest, authority), await tokenFor(honest)));
    expect(identity).to.deep.equal({ peer: PLANNER, subject: PLANNER, actors: [] });
    fixture.seen.calls.length = 0;
  });
  afterEach(() => fixture.close());

  /** A token as the issuer would bind it to this very certificate: nothing but the certificate is wrong. */
  const tokenFor = (minted: MintedCertificate): Promise<string> => fixture.token({ subject: PLANNER, boundTo: minted });

  describe('which TLS refuses', () => {
    const forgeries: [string, RegExp, () => MintedCertificate][] = [
      [
        'of another CA of the same name',
        /^(UNABLE_TO_(VERIFY_LEAF_SIGNATURE|GET_ISSUER_CERT_LOCALLY))$/,
        () => stranger.mint(LEAF),
      ],
      ['signed by itself', /^DEPTH_ZERO_SELF_SIGNED_CERT$/, () => mintCertificate(LEAF)],
      [
        'expired',
        /^CERT_HAS_EXPIRED$/,
        () => authority.mint({ ...LEAF, notBefore: Date.now() - 2 * HOUR, notAfter: Date.now() - 1_000 }),
      ],
      [
        'not yet valid',
        /^CERT_NOT_YET_VALID$/,
        () => authority.mint({ ...LEAF, notBefore: Date.now() + HOUR, notAfter: Date.now() + 2 * HOUR }),
      ],
      ['for servers only', /^INVALID_PURPOSE$/, () => authority.mint({ ...LEAF, extendedKeyUsage: ['serverAuth'] })],
      ['for e-mail', /^INVALID_PURPOSE$/, () => authority.mint({ ...LEAF, extendedKeyUsage: ['1.3.6.1.5.5.7.3.4'] })],
      ['for any purpose', /^INVALID_PURPOSE$/, () => authority.mint({ ...LEAF, extendedKeyUsage: ['2.5.29.37.0'] })],
      [
        'that may only sign certificates',
        /^INVALID_PURPOSE$/,
        () => authority.mint({ ...LEAF, keyUsage: ['keyCertSign'] }),
      ],
      [
        'with a critical extension nobody knows',
        /^(UNSPECIFIED|UNHANDLED_CRITICAL_EXTENSION)$/,
        () => authority.mint({ ...LEAF, extensions: [{ oid: '1.2.3.4', critical: true, value: Uint8Array.of(5, 0) }] }),
      ],
    ];
    for (const [name, failure, forge] of forgeries) {
      it(`a certificate ${name}`, async () => {
        const forged = forge();
        const { certificatePem: cert, privateKeyPem: key, bundlePem: ca } = credentialsOf(forged, authority);
        const outcome = await visit(fixture.address, credentialsOf(forged, authority), await tokenFor(forged));
        expect('error' in outcome && [outcome.error.code, outcome.reason]).to.deep.equal([14, null]);
        expect((await handshake(fixture.port, { ca, cert, key })).usable).to.equal(false);
        expect(failures).to.have.length.above(1);
        for (const one of failures) expect(one).to.match(failure);
        expect(fixture.seen.calls).to.deep.equal([]);
      });
    }

    it('a certificate issued by a workload that is no authority', async () => {
      const workload = authority.mint(LEAF);
      const forged = mintCertificate({ ...LEAF, issuer: workload });
      const credentials = credentialsOf(forged, authority, workload.pem);
      const outcome = await visit(fixture.address, credentials, await tokenFor(forged));
      expect('error' in outcome && [outcome.error.code, outcome.reason]).to.deep.equal([14, null]);
      expect(failures).to.have.length.above(0);
      // Node has no name for `invalid CA` in every version.
      for (const one of failures) expect(one).to.match(/^(UNSPECIFIED|INVALID_CA)$/);
      expect(fixture.seen.calls).to.deep.equal([]);
    });

    it('no certificate, and no TLS at all', async () => {
      const bare = grpc.credentials.createSsl(Buffer.from(authority.bundle()), null, null, {
        checkServerIdentity: () => undefined,
      });
      for (const credentials of [bare, grpc.credentials.createInsecure()]) {
        const client = new TaskClientClass(fixture.address, credentials, { 'grpc.use_local_subchannel_pool': 1 });
        const outcome = await whoAmI(client, credentials === bare ? await fixture.token() : undefined);
        expect('error' in outcome && [outcome.error.code, outcome.reason]).to.deep.equal([14, null]);
        client.close();
      }
      const { usable, error } = await handshake(fixture.port, { ca: authority.bundle() });
      expect([usable, error]).to.deep.equal([false, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED']);
      expect(fixture.seen.calls).to.deep.equal([]);
    });
  });

  describe('which TLS accepts and the guard refuses', () => {
    const another = 'spiffe://acme.example/agents/executor';
    const forgeries: [string, Reason, RegExp, () => MintedCertificate][] = [
      [
        "of a partner's CA that claims our trust domain",
        'PEER_UNTRUSTED',
        /no certificate of the chain was issued by a trusted authority/,
        () => partner.mint(LEAF),
      ],
      [
        'that claims a trust domain nobody federated',
        'PEER_UNTRUSTED',
        /no authority is trusted for elsewhere\.example/,
        () => authority.mint({ ...LEAF, uriNames: ['spiffe://elsewhere.example/agents/planner'] }),
      ],
      ['that is a CA', 'PEER_INVALID', /is a CA/, () => authority.mint({ ...LEAF, ca: true })],
      [
        'that may also sign certificates',
        'PEER_INVALID',
        /keyCertSign/,
        () => authority.mint({ ...LEAF, keyUsage: ['digitalSignature', 'keyCertSign'] }),
      ],
      [
        'that may also sign revocation lists',
        'PEER_INVALID',
        /cRLSign/,
        () => authority.mint({ ...LEAF, keyUsage: ['digitalSignature', 'cRLSign'] }),
      ],
      [
        'with two SPIFFE IDs',
        'PEER_INVALID',
        /2 URI SANs/,
        () => authority.mint({ ...LEAF, uriNames: [PLANNER, another] }),
      ],
      [
        'with a URI beside the SPIFFE ID',
        'PEER_INVALID',
        /2 URI SANs/,
        () => authority.mint({ ...LEAF, uriNames: ['https://acme.example/', PLANNER] }),
      ],
      ['without a SPIFFE ID', 'PEER_INVALID', /0 URI SANs/, () => authority.mint({ ...LEAF, uriNames: [] })],
      [
        'with a DNS name instead',
        'PEER_INVALID',
        /0 URI SANs/,
        () => authority.mint({ ...LEAF, uriNames: [], dnsNames: ['planner.acme.example'] }),
      ],
      [
        'whose SPIFFE ID has no path',
        'PEER_INVALID',
        /names a trust domain, not a workload/,
        () => authority.mint({ ...LEAF, uriNames: ['spiffe://acme.example'] }),
      ],
      [
        'whose SPIFFE ID ends in a slash',
        'PEER_INVALID',
        /empty segment/,
        () => authority.mint({ ...LEAF, uriNames: ['spiffe://acme.example/'] }),
      ],
      [
        'whose SPIFFE ID is relative',
        'PEER_INVALID',
        /relative segment/,
        () => authority.mint({ ...LEAF, uriNames: ['spiffe://acme.example/agents/../agents/planner'] }),
      ],
      [
        'whose SPIFFE ID is in upper case',
        'PEER_INVALID',
        /lower case/,
        () => authority.mint({ ...LEAF, uriNames: ['SPIFFE://acme.example/agents/planner'] }),
      ],
      ['of version 1', 'PEER_INVALID', /version 1/, () => authority.mint({ ...LEAF, version: 1 })],
      ['without key usage', 'PEER_INVALID', /no keyUsage/, () => authority.mint(without('keyUsage'))],
      [
        'with name constraints',
        'PEER_INVALID',
        /name constraints/,
        () => authority.mint({ ...LEAF, permittedNames: [{ uri: 'acme.example' }] }),
      ],
      ['with a short RSA key', 'PEER_INVALID', /1024 bits/, () => authority.mint({ ...LEAF, keyKind: 'RSA-1024' })],
    ];
    for (const [name, reason, detail, forge] of forgeries) {
      it(`a certificate ${name}`, async () => {
        const forged = forge();
        const token = await tokenFor(forged);
        const client = rawClient(fixture.address, credentialsOf(forged, authority));
        const event = await expectRefused(fixture, await whoAmI(client, token), reason);
        expect(event.detail).to.match(detail);
        // Nothing that the certificate claims, and nothing in the token, is recorded as fact.
        expect([event.peer, event.fingerprint, event.subject, event.tokenId]).to.deep.equal([null, null, null, null]);
        // No other call over this connection fares better: no token is read here.
        await expectRefused(fixture, await unary(client.Ping, client, {}), reason);
        await expectRefused(fixture, await drain(client.EchoBoth(bearer(token))), reason);
        client.close();
        expect(fixture.seen.calls).to.deep.equal([]);
      });
    }

    it('the certificate of another, sent along with the own one', async () => {
      const intruder = await authority.identity('agents/intruder');
      const victim = authority.mint(LEAF);
      const stuffed = { ...credentialsOf(victim, authority), privateKeyPem: intruder.privateKeyPem };
      const credentials = { ...stuffed, certificatePem: intruder.certificatePem + victim.pem };
      const event = await expectRefused(
        fixture,
        await visit(fixture.address, credentials, await tokenFor(victim)),
        'TOKEN_BINDING_MISMATCH',
      );
      expect([event.peer, fixture.seen.calls]).to.deep.equal([intruder.spiffeId, []]);
      const own = await authority.token({ audience: SERVER_ID, boundTo: intruder });
      expect(served(await visit(fixture.address, credentials, own)).peer).to.equal(intruder.spiffeId);
    });
  });

  describe('sessions', () => {
    it('cannot be resumed: neither without the key, nor with an expired certificate, nor past the verification', async () => {
      const { serverIdentity, planner } = fixture;
      const own = { ca: authority.bundle(), cert: planner.certificatePem, key: planner.privateKeyPem };
      const late = authority.mint({ ...LEAF, notBefore: Date.now() - 2 * HOUR, notAfter: Date.now() - 1_000 });
      const expired = { ca: authority.bundle(), cert: late.pem, key: late.privateKeyPem };
      const nothing = { ca: authority.bundle() };

      // The probe works: against a server that lets sessions be resumed it gets in with nothing in hand.
      const lax = createServer({
        cert: serverIdentity.certificatePem,
        key: serverIdentity.privateKeyPem,
        ca: authority.bundle(),
        requestCert: true,
        rejectUnauthorized: true,
        ALPNProtocols: ['h2'],
      });
      lax.on('secureConnection', (socket) =>
        socket.on('error', () => {}).write(Buffer.from('000000040000000000', 'hex')),
      );
      await new Promise<void>((resolve) => lax.listen(0, '127.0.0.1', resolve));
      const { port } = lax.address() as { port: number };
      const ticket = (await handshake(port, own)).sessions.at(-1);
      for (const options of [nothing, expired]) {
        const { usable, reused } = await handshake(port, { ...options, session: ticket });
        expect([usable, reused]).to.deep.equal([true, true]);
      }
      lax.close();

      for (const rotated of [false, true]) {
        if (rotated) await serverIdentity.renew();
        const first = await handshake(fixture.port, own);
        expect([first.usable, first.reused]).to.deep.equal([true, false]);
        expect(first.sessions).to.have.length.above(0);
        for (const session of first.sessions) {
          const again = await handshake(fixture.port, { ...own, session });
          expect([again.usable, again.reused], 'verified anew').to.deep.equal([true, false]);
          const keyless = await handshake(fixture.port, { ...nothing, session });
          expect([keyless.usable, keyless.error]).to.deep.equal([false, 'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED']);
          failures.length = 0;
          expect((await handshake(fixture.port, { ...expired, session })).usable).to.equal(false);
          expect(failures).to.deep.equal(['CERT_HAS_EXPIRED']);
        }
      }
    });

    it('are TLS 1.3 and HTTP/2, after a rotation too', async () => {
      const { planner, serverIdentity } = fixture;
      const own = { ca: authority.bundle(), cert: planner.certificatePem, key: planner.privateKeyPem };
      for (const rotated of [false, true]) {
        if (rotated) await serverIdentity.renew();
        const old = await handshake(fixture.port, { ...own, maxVersion: 'TLSv1.2' });
        expect([old.usable, old.error]).to.deep.equal([false, 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION']);
        const http1 = await handshake(fixture.port, { ...own, ALPNProtocols: ['http/1.1'] });
        expect([http1.usable, http1.error]).to.deep.equal([false, 'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL']);
        expect((await handshake(fixture.port, { ...own, ALPNProtocols: [] })).usable).to.equal(false);
        expect((await handshake(fixture.port, { ...own, maxVersion: 'TLSv1.3' })).usable).to.equal(true);
      }
    });
  });
});

describe('attacks: a certificate whose time passes while its connection is open', () => {
  const clock = createFakeClock(Date.now());
  let fixture: Fixture;
  beforeEach(async () => {
    await clock.set(Date.now());
    fixture = await startFixture({ clock });
  });
  afterEach(() => fixture.close());

  it('serves no further call, and its streams end', async () => {
    // The clock of the guard runs ahead; TLS, which looks at that of the machine, sees a certificate that is valid.
    const short = await fixture.authority.identity('agents/planner', { lifetimeSeconds: 120 });
    const token = (): Promise<string> => fixture.token({ boundTo: short });
    const client = fixture.raw(short);
    const stream = client.EchoBoth(bearer(await token()));
    const ended = drain(stream);
    stream.write({ data: Buffer.from('x') });
    await clock.advance(118_000);
    served(await whoAmI(client, await token()));
    served(await unary(client.Ping, client, {}));
    await clock.advance(3_000);
    await expectRefused(fixture, await whoAmI(client, await token()), 'PEER_EXPIRED');
    await expectRefused(fixture, await unary(client.Ping, client, {}), 'PEER_EXPIRED');
    const closed = await ended;
    expect([closed.reason, closed.status.code]).to.deep.equal(['PEER_EXPIRED', 16]);
    expect(fixture.seen.calls).to.deep.equal(['EchoBoth', 'WhoAmI', 'Ping']);
    expect(fixture.seen.cancelled).to.include('EchoBoth');
    served(await whoAmI(fixture.raw(fixture.planner), await fixture.token()));
  });

  it('nor does one whose intermediate authority expires before it', async () => {
    const { authority } = fixture;
    const intermediate = authority.mint({
      subject: { CN: 'an intermediate' },
      ca: true,
      keyUsage: ['keyCertSign'],
      notAfter: Date.now() + 60_000,
    });
    const leaf = mintCertificate({ ...LEAF, issuer: intermediate });
    const client = rawClient(fixture.address, credentialsOf(leaf, authority, intermediate.pem));
    served(await unary(client.Ping, client, {}));
    await clock.advance(61_000);
    const event = await expectRefused(fixture, await unary(client.Ping, client, {}), 'PEER_EXPIRED');
    expect([event.peer, fixture.seen.calls]).to.deep.equal([PLANNER, ['Ping']]);
    client.close();
  });
});
