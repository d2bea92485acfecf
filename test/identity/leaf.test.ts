import { expect } from 'chai';
import { peerIdentityOf } from '#dist/identity/leaf.js';
import { type MintOptions, mintCertificate } from '#dist/testing/index.js';
import { expectRefusal, ID, LEAF, leaf, root, without } from './support.js';

const NULL = Uint8Array.of(5, 0);
const UNKNOWN = '1.3.6.1.4.1.55738.666.1';

describe('identity/leaf', () => {
  const ca = root();

  it('reads the identity of an honest leaf', () => {
    const minted = leaf(ca, { serialNumber: '00d0a1', subject: { O: 'acme', CN: 'planner' } });
    const peer = peerIdentityOf(minted.der);
    expect(peer).to.include({
      spiffeId: ID,
      trustDomain: 'acme.example',
      fingerprint: minted.fingerprint,
      serialNumber: 'D0A1',
      issuer: 'CN=root',
    });
    expect(peer.notAfter - peer.notBefore).to.equal(3_660_000);
    expect(peer.fingerprint).to.match(/^[A-Za-z0-9_-]{43}$/);
    expect(peer).to.be.frozen;
  });

  const accepted: [string, MintOptions][] = [
    ['without basicConstraints', without(LEAF, 'ca')],
    ['without extKeyUsage', without(LEAF, 'extendedKeyUsage')],
    ['with further key usages', { ...LEAF, keyUsage: ['digitalSignature', 'keyEncipherment', 'keyAgreement'] }],
    ['with DNS and IP names beside', { ...LEAF, dnsNames: ['planner.acme.example'], ipNames: ['10.0.0.1'] }],
    ['with an unknown extension that is not critical', { ...LEAF, extensions: [{ oid: UNKNOWN, value: NULL }] }],
    ['with a P-384 key', { ...LEAF, keyKind: 'P-384' }],
    ['with an Ed25519 key', { ...LEAF, keyKind: 'Ed25519' }],
    ['with an RSA key of 2048 bits', { ...LEAF, keyKind: 'RSA-2048' }],
    ['valid until after 2050', { ...LEAF, notAfter: Date.UTC(2055, 0, 1) }],
  ];
  for (const [name, options] of accepted) {
    it(`accepts a leaf ${name}`, () => {
      expect(peerIdentityOf(mintCertificate({ issuer: ca, ...options }).der).spiffeId).to.equal(ID);
    });
  }

  const refused: [string, MintOptions, RegExp][] = [
    ['that is a CA', { ...LEAF, ca: true }, /is a CA/],
    ['with a path length', { ...LEAF, pathLength: 0 }, /path length/],
    ['that may sign certificates', { ...LEAF, keyUsage: ['digitalSignature', 'keyCertSign'] }, /keyCertSign/],
    ['that may sign revocation lists', { ...LEAF, keyUsage: ['digitalSignature', 'cRLSign'] }, /cRLSign/],
    ['without digitalSignature', { ...LEAF, keyUsage: ['keyEncipherment'] }, /lacks digitalSignature/],
    ['without keyUsage', without(LEAF, 'keyUsage'), /no keyUsage/],
    ['without a name', without(LEAF, 'uriNames'), /0 URI SANs/],
    ['with a DNS name only', { ...without(LEAF, 'uriNames'), dnsNames: ['acme.example'] }, /0 URI SANs/],
    ['with two URI SANs', { ...LEAF, uriNames: [ID, 'spiffe://acme.example/admin'] }, /2 URI SANs/],
    ['with one URI SAN twice', { ...LEAF, uriNames: [ID, ID] }, /2 URI SANs/],
    ['with a URI that is no SPIFFE ID', { ...LEAF, uriNames: ['https://acme.example/x'] }, /no SPIFFE ID/],
    ['with a NUL in its URI', { ...LEAF, uriNames: [`${ID}\0.evil`] }, /no SPIFFE ID/],
    ['without a path', { ...LEAF, uriNames: ['spiffe://acme.example'] }, /trust domain, not a workload/],
    ['of version 1', { ...LEAF, version: 1 }, /version 1/],
    ['with permitted names', { ...LEAF, permittedNames: [{ uri: 'acme.example' }] }, /name constraints/],
    ['with excluded names', { ...LEAF, excludedNames: [{ uri: 'x.example' }] }, /name constraints/],
    [
      'with an unknown critical extension',
      { ...LEAF, extensions: [{ oid: UNKNOWN, critical: true, value: NULL }] },
      /critical extension 1\.3\.6\.1\.4\.1\.55738\.666\.1/,
    ],
    [
      'with an unknown extension twice',
      {
        ...LEAF,
        extensions: [
          { oid: UNKNOWN, value: NULL },
          { oid: UNKNOWN, value: NULL },
        ],
      },
      /twice/,
    ],
    [
      'with keyUsage twice',
      { ...LEAF, extensions: [{ oid: '2.5.29.15', value: Uint8Array.of(3, 2, 7, 0x80) }] },
      /2\.5\.29\.15 twice/,
    ],
    [
      'with a malformed extension',
      { ...without(LEAF, 'ca'), extensions: [{ oid: '2.5.29.19', value: Uint8Array.of(0x30, 3, 1) }] },
      /beyond the end/,
    ],
    [
      'with bytes after the value of an extension',
      { ...without(LEAF, 'ca'), extensions: [{ oid: '2.5.29.19', value: Uint8Array.of(0x30, 0, 5, 0) }] },
      /after the end/,
    ],
    ['with an RSA key of 1024 bits', { ...LEAF, keyKind: 'RSA-1024' }, /RSA key of 1024 bits/],
    ['with a key on another curve', { ...LEAF, keyKind: 'secp256k1' }, /elliptic curve/],
    ['signed with SHA-1', { ...LEAF, hash: 'sha1' }, /weak or unknown algorithm/],
    ['with the serial number 0', { ...LEAF, serialNumber: '00' }, /serial number/],
    ['with a negative serial number', { ...LEAF, serialNumber: 'f0' }, /serial number/],
    ['with a serial number of 21 octets', { ...LEAF, serialNumber: '7f'.repeat(21) }, /serial number/],
  ];
  for (const [name, options, about] of refused) {
    it(`refuses a leaf ${name}`, () => {
      const minted = mintCertificate({ issuer: ca, ...options });
      expectRefusal(() => peerIdentityOf(minted.der), 'PEER_INVALID', about);
    });
  }

  it('refuses bytes after the end', () => {
    const minted = leaf(ca);
    expectRefusal(() => peerIdentityOf(Buffer.concat([minted.der, Uint8Array.of(0)])), 'PEER_INVALID', /after the end/);
    expectRefusal(() => peerIdentityOf(Buffer.concat([minted.der, minted.der])), 'PEER_INVALID', /after the end/);
  });

  it('refuses what is no certificate', () => {
    for (const bytes of [[], [0x30], [0x30, 0], [0x30, 0x80, 0, 0], [5, 0], [0x30, 0x84, 1, 0, 0, 0]]) {
      expectRefusal(() => peerIdentityOf(Uint8Array.from(bytes)), 'PEER_INVALID', /the leaf: /);
    }
    expectRefusal(() => peerIdentityOf(Buffer.from(leaf(ca).pem)), 'PEER_INVALID', /the leaf: /);
  });

  it('refuses a leaf in which the PEM text of another certificate is hidden', () => {
    const honest = leaf(ca);
    const value = Buffer.from(`\n${honest.pem}\n`);
    const forged = mintCertificate({ ...LEAF, extensions: [{ oid: UNKNOWN, value }] });
    expectRefusal(() => peerIdentityOf(forged.der), 'PEER_INVALID', /another one hidden in it/);
  });
});
