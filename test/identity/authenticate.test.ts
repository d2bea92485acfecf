import { createHash } from 'node:crypto';
import { expect } from 'chai';
import type { TrustDomain } from '#dist/call.js';
import { type AuthenticatedPeer, authenticatePeer } from '#dist/identity/authenticate.js';
import { isTestAuthority } from '#dist/identity/test-mark.js';
import type { TrustBundles } from '#dist/identity/types.js';
import { createTestAuthority, type MintedCertificate } from '#dist/testing/index.js';
import { ders, expectDenial, HOUR, ID, intermediate, leaf, NOW, root } from './support.js';

const OPTIONS = { now: NOW, role: 'client' } as const;

function bundles(domains: Record<string, MintedCertificate[]>): TrustBundles {
  return new Map(Object.entries(domains).map(([name, roots]) => [name as TrustDomain, ders(...roots)]));
}

describe('identity/authenticate', () => {
  const acme = root({ subject: { CN: 'acme' } });
  const partner = root({ subject: { CN: 'partner' } });
  const trusted = bundles({ 'acme.example': [acme], 'partner.example': [partner] });

  it('authenticates a peer of each trusted domain', () => {
    const own = authenticatePeer(ders(leaf(acme)), trusted, OPTIONS) as AuthenticatedPeer;
    expect(own.peer.spiffeId).to.equal(ID);
    expect(own.root).to.equal(createHash('sha256').update(acme.der).digest('base64url'));
    expect(own.testAuthority).to.equal(false);
    const foreign = leaf(partner, { uriNames: ['spiffe://partner.example/billing'] });
    const other = authenticatePeer(ders(foreign), trusted, OPTIONS) as AuthenticatedPeer;
    expect(other.peer.trustDomain).to.equal('partner.example');
  });

  it("refuses another trusted domain's CA that claims ours", () => {
    expectDenial(
      authenticatePeer(ders(leaf(partner)), trusted, OPTIONS),
      'PEER_UNTRUSTED',
      /no certificate of the chain/,
    );
    const sameName = root({ subject: { CN: 'acme' } });
    const both = bundles({ 'acme.example': [acme], 'partner.example': [sameName] });
    expectDenial(authenticatePeer(ders(leaf(sameName)), both, OPTIONS), 'PEER_UNTRUSTED', /did not sign/);
    expect(authenticatePeer(ders(leaf(acme)), both, OPTIONS)).to.have.property('peer');
  });

  it("refuses our CA's leaf that claims another domain", () => {
    const claims = leaf(acme, { uriNames: ['spiffe://partner.example/billing'] });
    expectDenial(authenticatePeer(ders(claims), trusted, OPTIONS), 'PEER_UNTRUSTED', /./);
  });

  it('refuses a domain of which nothing is trusted', () => {
    const stranger = leaf(acme, { uriNames: ['spiffe://stranger.example/x'] });
    expectDenial(authenticatePeer(ders(stranger), trusted, OPTIONS), 'PEER_UNTRUSTED', /stranger\.example/);
    expectDenial(authenticatePeer(ders(leaf(acme)), new Map(), OPTIONS), 'PEER_UNTRUSTED', /acme\.example/);
  });

  it('says until when every certificate of the path is valid', () => {
    const end = Math.floor((NOW + 10 * 60_000) / 1000) * 1000;
    const ica = intermediate(acme, 'short', { notAfter: end });
    const peer = authenticatePeer(ders(leaf(ica), ica), trusted, OPTIONS) as AuthenticatedPeer;
    expect(peer.notAfter).to.equal(end);
    expect(peer.peer.notAfter).to.be.greaterThan(end);
  });

  it('answers every failure with a denial', () => {
    const expired = leaf(acme, { notBefore: NOW - 2 * HOUR, notAfter: NOW - HOUR });
    const future = leaf(acme, { notBefore: NOW + HOUR, notAfter: NOW + 2 * HOUR });
    expectDenial(authenticatePeer([], trusted, OPTIONS), 'PEER_MISSING', /no certificate/);
    expectDenial(authenticatePeer(ders(expired), trusted, OPTIONS), 'PEER_EXPIRED', /the leaf/);
    expectDenial(authenticatePeer(ders(future), trusted, OPTIONS), 'PEER_EXPIRED', /the leaf/);
    expectDenial(authenticatePeer(ders(leaf(acme, { ca: true })), trusted, OPTIONS), 'PEER_INVALID', /is a CA/);
    const server = leaf(acme, { extendedKeyUsage: ['serverAuth'] });
    expectDenial(authenticatePeer(ders(server), trusted, OPTIONS), 'PEER_INVALID', /clientAuth/);
    expect(authenticatePeer(ders(server), trusted, { ...OPTIONS, role: 'server' })).to.have.property('peer');
    for (const chain of [
      [new Uint8Array()],
      [Uint8Array.of(0x30)],
      ['x'],
      [null],
      null,
      7,
    ] as unknown as Uint8Array[][]) {
      expectDenial(authenticatePeer(chain, trusted, OPTIONS), 'PEER_INVALID', /./);
    }
  });

  it('recognises the authorities of the test kit', async () => {
    const authority = await createTestAuthority({ trustDomain: 'acme.example' });
    const identity = await authority.identity('agents/planner');
    const { svid, bundles: own } = identity.current();
    const peer = authenticatePeer(svid.chain, own, { ...OPTIONS, now: Date.now() }) as AuthenticatedPeer;
    expect(peer.testAuthority).to.equal(true);
    expect(isTestAuthority(authority.ca.der)).to.equal(true);
    expect(isTestAuthority(root({ subject: { O: 'grpc-zero-trust TEST ONLY' } }).der)).to.equal(true);
    expect(isTestAuthority(acme.der)).to.equal(false);
    expect(isTestAuthority(Uint8Array.of(1))).to.equal(false);
  });
});
