import { X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import { BasicConstraints, Certificate, SubjectAlternativeName } from '@peculiar/asn1-x509';
import { expect } from 'chai';
import { RefusalError } from '#dist/errors.js';
import { parseCertificate } from '#dist/identity/certificate.js';
import { verifyChain } from '#dist/identity/chain.js';
import { DerError } from '#dist/identity/der.js';
import { type MintedCertificate, mintCertificate } from '#dist/testing/index.js';
import { CA, intermediate, leaf, NOW, root } from './support.js';

/** A generator of numbers that are the same in every run. */
function numbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

describe('identity/certificate', () => {
  const ca = root();
  const corpus: [string, MintedCertificate][] = [
    ['a root', ca],
    ['an intermediate', intermediate(ca, 'ica', { pathLength: 3, permittedNames: [{ uri: 'acme.example' }] })],
    ['a leaf', leaf(ca, { dnsNames: ['a.example'], ipNames: ['10.1.2.3', '::1'] })],
    ['an RSA certificate', mintCertificate({ ...CA, keyKind: 'RSA-2048' })],
    ['an Ed25519 certificate', mintCertificate({ ...CA, keyKind: 'Ed25519' })],
    ['a version 1 certificate', mintCertificate({ version: 1 })],
    ['a long-lived one', mintCertificate({ notAfter: Date.UTC(2070, 5, 6, 7, 8, 9) })],
  ];

  for (const [name, { der }] of corpus) {
    it(`agrees with two other parsers on ${name}`, () => {
      const ours = parseCertificate(der);
      const node = new X509Certificate(der);
      const { tbsCertificate: tbs } = AsnConvert.parse(der, Certificate);
      expect(ours.version).to.equal(tbs.version + 1);
      expect(ours.serialNumber).to.equal(node.serialNumber);
      expect(ours.notBefore)
        .to.equal(Date.parse(node.validFrom))
        .and.to.equal(tbs.validity.notBefore.getTime().getTime());
      expect(ours.notAfter).to.equal(Date.parse(node.validTo)).and.to.equal(tbs.validity.notAfter.getTime().getTime());
      expect(Buffer.from(ours.issuer)).to.deep.equal(Buffer.from(AsnConvert.serialize(tbs.issuer)));
      expect(Buffer.from(ours.subject)).to.deep.equal(Buffer.from(AsnConvert.serialize(tbs.subject)));
      expect(Buffer.from(ours.publicKeyInfo)).to.deep.equal(node.publicKey.export({ type: 'spki', format: 'der' }));
      expect(ours.basicConstraints?.ca ?? false).to.equal(node.ca);
      const extension = (oid: string): ArrayBuffer | undefined =>
        tbs.extensions?.find((candidate) => candidate.extnID === oid)?.extnValue.buffer;
      const basic = extension('2.5.29.19');
      const pathLength = basic && AsnConvert.parse(basic, BasicConstraints).pathLenConstraint;
      expect(ours.basicConstraints?.pathLength ?? undefined).to.equal(pathLength);
      const names = extension('2.5.29.17');
      const uris = names === undefined ? [] : AsnConvert.parse(names, SubjectAlternativeName);
      expect(ours.names.filter((each) => each.kind === 'uri').map((each) => each.text)).to.deep.equal(
        uris.flatMap((each) => each.uniformResourceIdentifier ?? []),
      );
    });
  }

  it('verifies no leaf of which an octet was changed, and fails in foreseen ways only', () => {
    const honest = leaf(ca);
    expect(verifyChain([honest.der], [ca.der], { now: NOW, role: 'client' })).to.have.length(2);
    const random = numbers(42);
    const refusals = new Map<string, number>();
    for (let i = 0; i < 3000; i++) {
      const bytes = Uint8Array.from(honest.der);
      for (let n = random(3); n >= 0; n--) bytes[random(bytes.length)] = random(256);
      const changed = random(8) === 0 ? bytes.subarray(0, random(bytes.length)) : bytes;
      if (Buffer.compare(changed, honest.der) === 0) continue;
      try {
        verifyChain([changed], [ca.der], { now: NOW, role: 'client' });
        expect.fail(`verified: ${Buffer.from(changed).toString('hex')}`);
      } catch (error) {
        expect(error).to.be.instanceOf(RefusalError);
        const { reason } = error as RefusalError;
        refusals.set(reason, (refusals.get(reason) ?? 0) + 1);
      }
    }
    expect([...refusals.keys()].sort()).to.deep.equal(['PEER_INVALID', 'PEER_UNTRUSTED']);
  });

  it('refuses a certificate of more than 64 KiB before reading it', () => {
    const value = new Uint8Array(70_000);
    const large = mintCertificate({ extensions: [{ oid: '1.2.3.4', value }] });
    expect(() => parseCertificate(large.der)).to.throw(DerError, /65536 bytes/);
  });

  it('refuses inner and outer signature algorithms that differ', () => {
    const bytes = Uint8Array.from(ca.der);
    const oid = Buffer.from('06082a8648ce3d040302', 'hex');
    const outer = Buffer.from(bytes).lastIndexOf(oid);
    expect(outer).to.be.greaterThan(0);
    bytes[outer + oid.length - 1] = 3;
    expect(() => parseCertificate(bytes)).to.throw(DerError, /two different signature algorithms/);
  });
});
