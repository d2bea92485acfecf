import { expect } from 'chai';
import { verifyChain } from '#dist/identity/chain.js';
import type { MintOptions } from '#dist/testing/index.js';
import { ders, expectRefusal, intermediate, leaf, NOW, root } from './support.js';

type Constraints = Pick<MintOptions, 'permittedNames' | 'excludedNames'>;

function run(constraints: Constraints, names: MintOptions): () => Uint8Array[] {
  const ca = root(constraints);
  return () => verifyChain([leaf(ca, names).der], [ca.der], { now: NOW, role: 'client' });
}

const id = (trustDomain: string): MintOptions => ({ uriNames: [`spiffe://${trustDomain}/x`] });

describe('identity/name-constraints', () => {
  const permitted: [string, Constraints, MintOptions][] = [
    ['the host', { permittedNames: [{ uri: 'acme.example' }] }, id('acme.example')],
    ['the host in another case', { permittedNames: [{ uri: 'ACME.example' }] }, id('acme.example')],
    ['one of two hosts', { permittedNames: [{ uri: 'a.example' }, { uri: 'b.example' }] }, id('b.example')],
    ['a host below a dotted one', { permittedNames: [{ uri: '.example' }] }, id('a.b.example')],
    ['a host beside an excluded one', { excludedNames: [{ uri: 'evil.example' }] }, id('acme.example')],
    ['the host above an excluded dotted one', { excludedNames: [{ uri: '.acme.example' }] }, id('acme.example')],
    ['a host under a constraint on other kinds', { permittedNames: [{ dns: 'else.example' }] }, id('acme.example')],
    ['an e-mail constraint without e-mail names', { permittedNames: [{ email: 'acme.example' }] }, id('acme.example')],
    [
      'a DNS name below',
      { permittedNames: [{ dns: 'acme.example' }] },
      { dnsNames: ['a.b.acme.example', 'acme.example'] },
    ],
    ['an IP address within', { permittedNames: [{ ip: '10.0.0.0/8' }] }, { ipNames: ['10.9.9.9'] }],
    ['an IP address beside an excluded net', { excludedNames: [{ ip: '10.0.0.0/8' }] }, { ipNames: ['11.0.0.1'] }],
  ];
  for (const [name, constraints, names] of permitted) {
    it(`permits ${name}`, () => expect(run(constraints, names)()).to.have.length(2));
  }

  const refused: [string, Constraints, MintOptions, RegExp][] = [
    ['another host', { permittedNames: [{ uri: 'acme.example' }] }, id('evil.example'), /not permitted/],
    ['a host below an exact one', { permittedNames: [{ uri: 'acme.example' }] }, id('a.acme.example'), /not permitted/],
    [
      'a host that only ends alike',
      { permittedNames: [{ uri: '.acme.example' }] },
      id('evilacme.example'),
      /not permitted/,
    ],
    [
      'the host itself under a dotted one',
      { permittedNames: [{ uri: '.acme.example' }] },
      id('acme.example'),
      /not permitted/,
    ],
    ['an excluded host', { excludedNames: [{ uri: 'acme.example' }] }, id('acme.example'), /excluded/],
    ['an excluded host in another case', { excludedNames: [{ uri: 'Acme.Example' }] }, id('acme.example'), /excluded/],
    [
      'a permitted host that is excluded too',
      { permittedNames: [{ uri: 'a.example' }], excludedNames: [{ uri: '.example' }] },
      id('a.example'),
      /excluded/,
    ],
    [
      'any host under a malformed permitted one',
      { permittedNames: [{ uri: 'spiffe://acme.example' }] },
      id('acme.example'),
      /not permitted/,
    ],
    [
      'any host under a malformed excluded one',
      { excludedNames: [{ uri: 'spiffe://evil.example' }] },
      id('acme.example'),
      /excluded/,
    ],
    ['a URI without a host', { excludedNames: [{ uri: 'evil.example' }] }, { uriNames: ['urn:x'] }, /excluded/],
    [
      'a URI whose host hides behind user information',
      { excludedNames: [{ uri: 'evil.example' }] },
      { uriNames: ['https://good.example@evil.example/'] },
      /excluded/,
    ],
    [
      'a URI with an address for a host',
      { excludedNames: [{ uri: 'evil.example' }] },
      { uriNames: ['https://10.0.0.1/'] },
      /excluded/,
    ],
    [
      'another DNS name',
      { permittedNames: [{ dns: 'acme.example' }] },
      { dnsNames: ['evilacme.example'] },
      /not permitted/,
    ],
    [
      'a second DNS name',
      { permittedNames: [{ dns: 'acme.example' }] },
      { dnsNames: ['acme.example', 'evil.example'] },
      /not permitted/,
    ],
    [
      'a DNS name below an excluded one',
      { excludedNames: [{ dns: 'acme.example' }] },
      { dnsNames: ['a.acme.example'] },
      /excluded/,
    ],
    [
      'a wildcard above an excluded name',
      { excludedNames: [{ dns: 'a.acme.example' }] },
      { dnsNames: ['*.acme.example'] },
      /excluded/,
    ],
    ['an IP address outside', { permittedNames: [{ ip: '10.0.0.0/8' }] }, { ipNames: ['11.0.0.1'] }, /not permitted/],
    ['an IPv6 address under IPv4', { permittedNames: [{ ip: '10.0.0.0/8' }] }, { ipNames: ['::1'] }, /not permitted/],
    ['an excluded IP address', { excludedNames: [{ ip: '10.0.0.0/8' }] }, { ipNames: ['10.0.0.1'] }, /excluded/],
    [
      'an e-mail address in the subject under a constraint that is not processed',
      { permittedNames: [{ email: 'acme.example' }] },
      { subject: { '1.2.840.113549.1.9.1': 'x@acme.example' } },
      /not processed/,
    ],
  ];
  for (const [name, constraints, names, about] of refused) {
    it(`refuses ${name}`, () => expectRefusal(run(constraints, names), 'PEER_UNTRUSTED', about));
  }

  it('holds for every authority of the path, and for the intermediates too', () => {
    const ca = root({ permittedNames: [{ uri: 'acme.example' }] });
    const good = intermediate(ca, 'good', { uriNames: ['spiffe://acme.example'] });
    const bad = intermediate(ca, 'bad', { uriNames: ['spiffe://evil.example'] });
    const options = { now: NOW, role: 'client' } as const;
    expect(verifyChain(ders(leaf(good), good), [ca.der], options)).to.have.length(3);
    expectRefusal(() => verifyChain(ders(leaf(bad), bad), [ca.der], options), 'PEER_UNTRUSTED', /an intermediate/);
    const foreign = leaf(good, { uriNames: ['spiffe://evil.example/x'] });
    expectRefusal(() => verifyChain(ders(foreign, good), [ca.der], options), 'PEER_UNTRUSTED', /the leaf/);
  });
});
