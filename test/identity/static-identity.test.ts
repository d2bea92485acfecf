import { createPrivateKey, createPublicKey } from 'node:crypto';
import { expect } from 'chai';
import { ConfigurationError } from '#dist/errors.js';
import { parseBundles, parseSvid } from '#dist/identity/material.js';
import { type StaticIdentityOptions, staticIdentity } from '#dist/identity/static-identity.js';
import { createFakeClock, createKeyPair, type MintedCertificate } from '#dist/testing/index.js';
import { HOUR, ID, intermediate, leaf, NOW, root } from './support.js';

const ca = root();
const ica = intermediate(ca, 'ica');

function options(certificate: MintedCertificate, more: Partial<StaticIdentityOptions> = {}): StaticIdentityOptions {
  return {
    certificate: certificate.pem,
    privateKey: certificate.privateKeyPem,
    bundles: { 'acme.example': ca.pem },
    ...more,
  };
}

async function problemsOf(given: StaticIdentityOptions): Promise<readonly string[]> {
  const error = await staticIdentity(given).then(
    () => expect.fail('it was accepted'),
    (reason: unknown) => reason,
  );
  expect(error).to.be.instanceOf(ConfigurationError);
  const { problems, message, stack } = error as ConfigurationError;
  // Neither a line of the key nor a cut of one may come out.
  for (const line of given.privateKey.split('\n')) {
    if (line.length > 8 && !line.startsWith('-')) expect(`${message}${stack}`).not.to.include(line.slice(0, 16));
  }
  return problems.map((problem) => `${problem.place}: ${problem.problem}`);
}

describe('identity/static-identity', () => {
  it('publishes one generation', async () => {
    const minted = leaf(ica);
    const source = await staticIdentity(options(minted, { certificate: minted.pem + ica.pem }));
    const { generation, svid, bundles } = source.current();
    expect(generation).to.equal(1);
    expect(svid).to.include({ spiffeId: ID, trustDomain: 'acme.example', fingerprint: minted.fingerprint });
    expect(svid.chain).to.deep.equal([minted.der, ica.der]);
    expect(svid.certificatePem).to.equal(minted.pem + ica.pem);
    expect(svid.privateKeyPem).to.equal(minted.privateKeyPem);
    expect([...bundles.keys()]).to.deep.equal(['acme.example']);
    await source.close();
    await source.close();
    expect(() => source.current()).to.throw(/after close/);
  });

  it('takes keys in SEC 1 and PKCS #1, and a key beside the certificate', async () => {
    const minted = leaf(ca);
    const sec1 = createPrivateKey(minted.privateKeyPem).export({ type: 'sec1', format: 'pem' }) as string;
    const both = minted.pem + sec1;
    const source = await staticIdentity(options(minted, { certificate: both, privateKey: both }));
    expect(source.current().svid.privateKeyPem).to.equal(minted.privateKeyPem);
    expect(source.current().svid.certificatePem).to.equal(minted.pem);
    const rsa = leaf(ca, { keyKind: 'RSA-2048' });
    const pkcs1 = createPrivateKey(rsa.privateKeyPem).export({ type: 'pkcs1', format: 'pem' }) as string;
    await staticIdentity(options(rsa, { privateKey: pkcs1 }));
  });

  it('takes text around the blocks, carriage returns, and bundles in several texts', async () => {
    const minted = leaf(ca);
    const other = root({ subject: { CN: 'partner' } });
    const source = await staticIdentity(
      options(minted, {
        certificate: `subject=CN=leaf\n${minted.pem}`.replaceAll('\n', '\r\n'),
        bundles: { 'acme.example': [ca.pem, ca.pem + other.pem], 'partner.example': other.pem },
      }),
    );
    expect(source.current().bundles.get(source.current().svid.trustDomain)).to.have.length(2);
  });

  it('takes certificates for one purpose only', async () => {
    for (const purpose of ['clientAuth', 'serverAuth']) {
      const source = await staticIdentity(options(leaf(ca, { extendedKeyUsage: [purpose] })));
      expect(source.current().generation).to.equal(1);
    }
  });

  it('uses the given clock', async () => {
    const past = leaf(ca, { notBefore: NOW - 4 * HOUR, notAfter: NOW - 3 * HOUR });
    const old = root({ notBefore: NOW - 9 * HOUR });
    expect(await problemsOf(options(past))).to.match(/^certificate: the leaf is valid from/);
    const timed = leaf(old, { notBefore: NOW - 4 * HOUR, notAfter: NOW - 3 * HOUR });
    const clock = createFakeClock(NOW - 3.5 * HOUR);
    await staticIdentity(options(timed, { bundles: { 'acme.example': old.pem }, clock }));
  });

  const minted = leaf(ca);
  const stranger = root({ subject: { CN: 'stranger' } });
  const wrong: [string, StaticIdentityOptions, RegExp][] = [
    [
      'the key of another pair',
      options(minted, { privateKey: leaf(ca).privateKeyPem }),
      /^privateKey: it is not the key of the certificate [\w-]{43}$/,
    ],
    ['no key', options(minted, { privateKey: '' }), /^privateKey: it holds 0 private keys$/],
    [
      'two keys',
      options(minted, { privateKey: minted.privateKeyPem.repeat(2) }),
      /^privateKey: it holds 2 private keys$/,
    ],
    [
      'a torn key',
      options(minted, { privateKey: minted.privateKeyPem.slice(0, 100) }),
      /^privateKey: it is not PEM, or is cut short$/,
    ],
    [
      'a key of which a line is missing',
      options(minted, { privateKey: minted.privateKeyPem.split('\n').toSpliced(1, 1).join('\n') }),
      /^privateKey: it cannot be read/,
    ],
    [
      'an encrypted key',
      options(minted, {
        privateKey: createPrivateKey(minted.privateKeyPem).export({
          type: 'pkcs8',
          format: 'pem',
          cipher: 'aes-256-cbc',
          passphrase: 'x',
        }) as string,
      }),
      /^privateKey: it cannot be read, or is encrypted$/,
    ],
    ['no certificate', options(minted, { certificate: 'nothing' }), /^certificate: it holds no certificate$/],
    [
      'a torn certificate',
      options(minted, { certificate: minted.pem.slice(0, -40) }),
      /^certificate: it is not PEM, or is cut short$/,
    ],
    [
      'a chain torn in the middle',
      options(minted, { certificate: minted.pem.slice(0, -40) + ica.pem }),
      /^certificate: it is not PEM, or is cut short$/,
    ],
    [
      'a public key in place of the certificate',
      options(minted, { certificate: createPublicKey(minted.pem).export({ type: 'spki', format: 'pem' }) as string }),
      /^certificate: it holds a PUBLIC KEY/,
    ],
    ['a CA as leaf', options(ca), /^certificate: the leaf is a CA/],
    ['a leaf without a SPIFFE ID', options(leaf(ca, { uriNames: [] })), /^certificate: the leaf has 0 URI SANs/],
    ['a leaf without its intermediate', options(leaf(ica)), /^certificate: no certificate of the chain was issued/],
    [
      'an expired leaf',
      options(leaf(ca, { notBefore: NOW - 2 * HOUR, notAfter: NOW - HOUR })),
      /^certificate: the leaf is valid from/,
    ],
    [
      'the bundle of another CA',
      options(minted, { bundles: { 'acme.example': stranger.pem } }),
      /^certificate: no certificate of the chain/,
    ],
    [
      'no bundle of the own domain',
      options(minted, { bundles: { 'partner.example': ca.pem } }),
      /^bundles: there is none for the own trust domain acme\.example$/,
    ],
    ['no bundle', options(minted, { bundles: {} }), /^bundles: there is none$/],
    [
      'a bundle that is empty',
      options(minted, { bundles: { 'acme.example': '' } }),
      /^bundles\["acme\.example"\]: it holds no usable authority$/,
    ],
    [
      'a leaf as authority',
      options(minted, { bundles: { 'acme.example': ca.pem + minted.pem } }),
      /an issuer that is no CA/,
    ],
    [
      'a private key in a bundle',
      options(minted, { bundles: { 'acme.example': ca.pem + ca.privateKeyPem } }),
      /it holds a PRIVATE KEY/,
    ],
    [
      'a bundle under a SPIFFE ID',
      options(minted, { bundles: { 'acme.example': ca.pem, 'spiffe://acme.example': ca.pem } }),
      /it is not the name of a trust domain/,
    ],
  ];
  for (const [name, given, about] of wrong) {
    it(`refuses ${name}`, async () => {
      const problems = await problemsOf(given);
      expect(
        problems.some((problem) => about.test(problem)),
        problems.join('\n'),
      ).to.equal(true);
    });
  }

  it('lists every problem at once', async () => {
    const problems = await problemsOf({
      certificate: ca.pem,
      privateKey: 'x',
      bundles: { Acme: ca.pem, 'b.example': 'x' },
    });
    expect(problems.map((problem) => problem.split(':')[0])).to.deep.equal([
      'privateKey',
      'certificate',
      'bundles["Acme"]',
      'bundles["b.example"]',
    ]);
  });

  it('offers its parts to other drivers', () => {
    expect(parseSvid(minted.pem, minted.privateKeyPem).spiffeId).to.equal(ID);
    expect(parseBundles({ 'acme.example': ca.pem }).size).to.equal(1);
    const pair = createKeyPair().privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
    expect(() => parseSvid(minted.pem, pair)).to.throw(ConfigurationError, /not the key of the certificate/);
  });
});
