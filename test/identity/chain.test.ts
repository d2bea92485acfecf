import { expect } from 'chai';
import { verifyChain } from '#dist/identity/chain.js';
import type { PeerRole } from '#dist/identity/leaf.js';
import { createKeyPair, type MintedCertificate, type MintOptions, mintCertificate } from '#dist/testing/index.js';
import { CA, ders, expectRefusal, HOUR, intermediate, LEAF, leaf, NOW, root, without } from './support.js';

type Certificates = MintedCertificate[];

function verify(chain: Certificates, roots: Certificates, role: PeerRole = 'client', now = NOW): Uint8Array[] {
  return verifyChain(ders(...chain), ders(...roots), { now, role });
}

describe('identity/chain', () => {
  const ca = root();
  const ica = intermediate(ca, 'ica');
  const honest = leaf(ica);

  it('returns the path from leaf to root', () => {
    expect(verify([honest, ica], [ca])).to.deep.equal(ders(honest, ica, ca));
    expect(verify([leaf(ca)], [ca])).to.have.length(2);
  });

  it('ends at an intermediate that is trusted itself', () => {
    expect(verify([honest, ica], [ica])).to.deep.equal(ders(honest, ica));
  });

  it('takes intermediates in any order and leaves out the needless', () => {
    const second = intermediate(ica, 'second');
    const end = leaf(second);
    const stranger = intermediate(root({ subject: { CN: 'other' } }), 'stranger');
    expect(verify([end, stranger, ica, second, ca], [ca])).to.deep.equal(ders(end, second, ica, ca));
  });

  it('ignores offered bytes that are no certificate', () => {
    const chain = [honest.der, Uint8Array.of(1, 2, 3), ica.der];
    expect(verifyChain(chain, [ca.der, Uint8Array.of(0)], { now: NOW, role: 'client' })).to.have.length(3);
  });

  for (const keyKind of ['P-384', 'Ed25519', 'RSA-2048'] as const) {
    it(`verifies signatures of ${keyKind} keys`, () => {
      const strong = root({ keyKind });
      expect(verify([leaf(strong)], [strong])).to.have.length(2);
    });
  }

  describe('refuses as PEER_UNTRUSTED', () => {
    const imposter = root();
    const cases: [string, Certificates, Certificates, RegExp][] = [
      [
        'a leaf of another CA',
        [leaf(root({ subject: { CN: 'other' } }))],
        [ca],
        /not issued by|no certificate of the chain/,
      ],
      ['a leaf of another CA of the same name', [leaf(imposter)], [ca], /key did not sign/],
      ['a leaf that signed itself', [mintCertificate(LEAF)], [ca], /no certificate of the chain/],
      ['a chain without its intermediate', [honest], [ca], /no certificate of the chain/],
      [
        'an offered root that is not trusted',
        [leaf(imposter), imposter],
        [root({ subject: { CN: 'else' } })],
        /no certificate/,
      ],
      ['everything where nothing is trusted', [honest, ica, ca], [], /no certificate of the chain/],
    ];
    for (const [name, chain, roots, about] of cases) {
      it(name, () => expectRefusal(() => verify(chain, roots), 'PEER_UNTRUSTED', about));
    }

    const authorities: [string, MintOptions, RegExp][] = [
      ['a leaf as issuer', LEAF, /no CA/],
      ['an issuer with CA:FALSE', { ...CA, ca: false }, /no CA/],
      ['an issuer without basicConstraints', without(CA, 'ca'), /no CA/],
      ['an issuer without keyCertSign', { ...CA, keyUsage: ['cRLSign'] }, /may not sign certificates/],
      ['an issuer of version 1', { version: 1 }, /version 1/],
      ['an issuer with a weak key', { ...CA, keyKind: 'RSA-1024' }, /RSA key of 1024/],
      ['an issuer on another curve', { ...CA, keyKind: 'secp256k1' }, /elliptic curve/],
      [
        'an issuer with an unknown critical extension',
        { ...CA, extensions: [{ oid: '1.2.3', critical: true, value: Uint8Array.of(5, 0) }] },
        /critical extension 1\.2\.3/,
      ],
      ['an issuer signed with SHA-1', { ...CA, hash: 'sha1' }, /weak or unknown algorithm/],
      ['an issuer for servers only', { ...CA, extendedKeyUsage: ['serverAuth'] }, /clientAuth/],
      ['an issuer for any purpose', { ...CA, extendedKeyUsage: ['2.5.29.37.0'] }, /clientAuth/],
    ];
    for (const [name, options, about] of authorities) {
      it(`${name}, as intermediate`, () => {
        const weak = mintCertificate({ ...options, issuer: ca, subject: { CN: 'weak' } });
        expectRefusal(() => verify([leaf(weak), weak], [ca]), 'PEER_UNTRUSTED', about);
      });
      if (name.includes('SHA-1')) continue;
      it(`${name}, as root`, () => {
        const weak = mintCertificate({ ...options, subject: { CN: 'weak' } });
        expectRefusal(() => verify([leaf(weak)], [weak]), 'PEER_UNTRUSTED', about);
      });
    }

    it('accepts authorities without keyUsage, and those with both purposes', () => {
      for (const options of [without(CA, 'keyUsage'), { ...CA, extendedKeyUsage: ['clientAuth', 'serverAuth'] }]) {
        const plain = mintCertificate({ ...options, issuer: ca, subject: { CN: 'plain' } });
        expect(verify([leaf(plain), plain], [ca])).to.have.length(3);
      }
    });
  });

  describe('validity', () => {
    it('refuses a leaf before and after its time, to the second', () => {
      const start = Math.floor(NOW / 1000) * 1000;
      const short = leaf(ca, { notBefore: start, notAfter: start + 10_000 });
      expectRefusal(() => verify([short], [ca], 'client', start - 1), 'PEER_EXPIRED', /the leaf is valid from/);
      expect(verify([short], [ca], 'client', start)).to.have.length(2);
      expect(verify([short], [ca], 'client', start + 10_000)).to.have.length(2);
      expectRefusal(() => verify([short], [ca], 'client', start + 10_001), 'PEER_EXPIRED', /the leaf is valid from/);
    });
    it('refuses an expired intermediate and an expired root', () => {
      const past = { notBefore: NOW - 2 * HOUR, notAfter: NOW - HOUR };
      const oldIca = intermediate(ca, 'old', past);
      expectRefusal(() => verify([leaf(oldIca), oldIca], [ca]), 'PEER_EXPIRED', /an authority of the path/);
      const oldRoot = root(past);
      expectRefusal(() => verify([leaf(oldRoot)], [oldRoot]), 'PEER_EXPIRED', /an authority of the path/);
    });
    it('refuses at a time that is no number', () => {
      expectRefusal(() => verify([honest, ica], [ca], 'client', Number.NaN), 'PEER_EXPIRED', /the leaf/);
    });
  });

  describe('purposes', () => {
    it('demands the purpose of the role where purposes are named', () => {
      const client = leaf(ca, { extendedKeyUsage: ['clientAuth'] });
      const server = leaf(ca, { extendedKeyUsage: ['serverAuth'] });
      const plain = mintCertificate({ ...without(LEAF, 'extendedKeyUsage'), issuer: ca });
      expect(verify([client], [ca], 'client')).to.have.length(2);
      expect(verify([server], [ca], 'server')).to.have.length(2);
      for (const role of ['client', 'server'] as const) expect(verify([plain], [ca], role)).to.have.length(2);
      expectRefusal(() => verify([client], [ca], 'server'), 'PEER_INVALID', /serverAuth/);
      expectRefusal(() => verify([server], [ca], 'client'), 'PEER_INVALID', /clientAuth/);
    });
    it('does not take anyExtendedKeyUsage for a purpose', () => {
      expectRefusal(
        () => verify([leaf(ca, { extendedKeyUsage: ['2.5.29.37.0'] })], [ca]),
        'PEER_INVALID',
        /clientAuth/,
      );
    });
  });

  describe('leaf rules', () => {
    it('needs no SPIFFE ID and no keyUsage', () => {
      const web = mintCertificate({ notBefore: NOW - HOUR, issuer: ca, dnsNames: ['acme.example'] });
      expect(verify([web], [ca])).to.have.length(2);
    });
    const refused: [string, MintOptions, RegExp][] = [
      ['a CA', { ...LEAF, ca: true }, /is a CA/],
      ['keyCertSign', { ...LEAF, keyUsage: ['digitalSignature', 'keyCertSign'] }, /keyCertSign/],
      ['version 1', { version: 1 }, /version 1/],
      ['name constraints', { ...LEAF, permittedNames: [{ uri: 'acme.example' }] }, /name constraints/],
    ];
    for (const [name, options, about] of refused) {
      it(`refuses: ${name}`, () => {
        expectRefusal(() => verify([mintCertificate({ ...options, issuer: ca })], [ca]), 'PEER_INVALID', about);
      });
    }
    it('refuses a trusted root in the place of the leaf', () => {
      expectRefusal(() => verify([ca], [ca]), 'PEER_INVALID', /is a CA/);
    });
    it('refuses an empty chain and one of 17', () => {
      expectRefusal(() => verify([], [ca]), 'PEER_MISSING', /no certificate/);
      expectRefusal(
        () =>
          verify(
            Array.from({ length: 17 }, () => honest),
            [ca],
          ),
        'PEER_INVALID',
        /17 certificates/,
      );
    });
  });

  describe('path length', () => {
    it('counts the intermediates below', () => {
      const limited = intermediate(ca, 'limited', { pathLength: 0 });
      expect(verify([leaf(limited), limited], [ca])).to.have.length(3);
      const below = intermediate(limited, 'below');
      expectRefusal(() => verify([leaf(below), below, limited], [ca]), 'PEER_UNTRUSTED', /path length 0/);
    });
    it('counts for roots too', () => {
      const limited = root({ pathLength: 0 });
      expect(verify([leaf(limited)], [limited])).to.have.length(2);
      const below = intermediate(limited, 'below');
      expectRefusal(() => verify([leaf(below), below], [limited]), 'PEER_UNTRUSTED', /path length 0/);
    });
    it('may increase below, and does not count the self-issued', () => {
      const one = intermediate(ca, 'one', { pathLength: 1 });
      const same = intermediate(one, 'one', { pathLength: 1 });
      const two = intermediate(same, 'two', { pathLength: 2 });
      expect(verify([leaf(two), two, same, one], [ca])).to.have.length(5);
    });
  });

  describe('several ways', () => {
    it('finds the right one of many CAs with one name and different keys', () => {
      const twins = Array.from({ length: 5 }, () => root());
      for (const twin of twins) expect(verify([leaf(twin)], twins)[1]).to.equal(twin.der);
    });

    it('finds the right one of two intermediates with one name', () => {
      const twins = [intermediate(ca, 'twin'), intermediate(ca, 'twin')] as const;
      expect(verify([leaf(twins[1]), ...twins], [ca])).to.have.length(3);
      expect(verify([leaf(twins[0]), ...twins], [ca])).to.have.length(3);
    });

    it('goes back from a cross-signed intermediate that leads nowhere', () => {
      const key = createKeyPair();
      const nowhere = root({ subject: { CN: 'nowhere' } });
      const wrong = mintCertificate({ ...CA, key, issuer: nowhere, subject: { CN: 'cross' } });
      const right = mintCertificate({ ...CA, key, issuer: ca, subject: { CN: 'cross' } });
      const end = leaf(right);
      expect(verify([end, wrong, nowhere, right], [ca])).to.deep.equal(ders(end, right, ca));
      expect(verify([end, right, wrong, nowhere], [ca])).to.deep.equal(ders(end, right, ca));
    });

    it('goes back from an expired cross certificate, and says so where there is no other', () => {
      const key = createKeyPair();
      const expired = mintCertificate({
        ...CA,
        key,
        issuer: ca,
        subject: { CN: 'cross' },
        notBefore: NOW - 2 * HOUR,
        notAfter: NOW - HOUR,
      });
      const valid = mintCertificate({ ...CA, key, issuer: ca, subject: { CN: 'cross' } });
      const end = leaf(valid);
      expect(verify([end, expired, valid], [ca])).to.deep.equal(ders(end, valid, ca));
      expectRefusal(() => verify([end, expired], [ca]), 'PEER_EXPIRED', /an authority/);
    });

    it('goes back from a path whose root forbids the name', () => {
      const key = createKeyPair();
      const strict = root({ subject: { CN: 'strict' }, excludedNames: [{ uri: 'acme.example' }] });
      const viaStrict = mintCertificate({ ...CA, key, issuer: strict, subject: { CN: 'cross' } });
      const viaOpen = mintCertificate({ ...CA, key, issuer: ca, subject: { CN: 'cross' } });
      const end = leaf(viaOpen);
      expect(verify([end, viaStrict, viaOpen], [strict, ca])).to.deep.equal(ders(end, viaOpen, ca));
      expectRefusal(() => verify([end, viaStrict], [strict]), 'PEER_UNTRUSTED', /excluded/);
    });

    it('is not led in circles', () => {
      const [a, b] = [createKeyPair(), createKeyPair()];
      const bySelf = {
        a: mintCertificate({ ...CA, key: a, subject: { CN: 'a' } }),
        b: mintCertificate({ ...CA, key: b, subject: { CN: 'b' } }),
      };
      const crossed = [
        mintCertificate({ ...CA, key: a, issuer: bySelf.b, subject: { CN: 'a' } }),
        mintCertificate({ ...CA, key: b, issuer: bySelf.a, subject: { CN: 'b' } }),
      ];
      const end = leaf(bySelf.a);
      expectRefusal(() => verify([end, ...crossed, bySelf.a, bySelf.b], [ca]), 'PEER_UNTRUSTED', /./);
      expect(verify([end, ...crossed], [bySelf.b])).to.have.length(3);
    });

    it('gives up on a maze in bounded time', () => {
      // Fifteen authorities that all have one name and all signed each other's: 15! ways, none of which ends.
      const keys = Array.from({ length: 15 }, () => createKeyPair());
      const heads = keys.map((key) => mintCertificate({ ...CA, key, subject: { CN: 'maze' } }));
      const first = heads[0] as MintedCertificate;
      const maze = keys.map((key, i) =>
        mintCertificate({ ...CA, key, issuer: heads[(i + 1) % 15] as MintedCertificate, subject: { CN: 'maze' } }),
      );
      expectRefusal(() => verify([leaf(first), ...maze], [ca]), 'PEER_UNTRUSTED', /./);
    });

    it('does not follow a path of more than 8', () => {
      const chain: MintedCertificate[] = [];
      let issuer = ca;
      for (let i = 0; i < 7; i++) {
        issuer = intermediate(issuer, `level ${i}`);
        chain.unshift(issuer);
      }
      expectRefusal(() => verify([leaf(issuer), ...chain], [ca]), 'PEER_UNTRUSTED', /./);
      const [, sixth] = chain;
      expect(verify([leaf(sixth as MintedCertificate), ...chain.slice(1)], [ca])).to.have.length(8);
    });
  });

  it('refuses a leaf that hides the PEM text of an honest one', () => {
    const value = Buffer.from(`\n${leaf(ca).pem}\n`);
    const forged = mintCertificate({
      ...LEAF,
      key: createKeyPair(),
      issuer: root(),
      uriNames: ['spiffe://acme.example/admin'],
      extensions: [{ oid: '1.2.3.4', value }],
    });
    expectRefusal(() => verify([forged], [ca]), 'PEER_INVALID', /hidden/);
  });

  it('refuses an intermediate that hides the PEM text of an honest one', () => {
    const value = Buffer.from(`\n${intermediate(ca, 'honest').pem}\n`);
    const forged = mintCertificate({
      ...CA,
      issuer: root(),
      subject: { CN: 'forged' },
      extensions: [{ oid: '1.2.3.4', value }],
    });
    expectRefusal(() => verify([leaf(forged), forged], [ca]), 'PEER_UNTRUSTED', /./);
  });
});
