import { expect } from 'chai';
import { hasPath, parseSpiffeId, quoted, readTrustDomain, trustDomainOf } from '#dist/identity/spiffe-id.js';
import { expectRefusal } from './support.js';

describe('identity/spiffe-id', () => {
  const good: [string, string][] = [
    ['spiffe://acme.example/agents/planner', 'acme.example'],
    ['spiffe://acme.example', 'acme.example'],
    ['spiffe://a/b', 'a'],
    ['spiffe://a_b-c.d/E.f_g-9', 'a_b-c.d'],
    ['spiffe://1.2.3.4/service', '1.2.3.4'],
    ['spiffe://td/...', 'td'],
    ['spiffe://td/.hidden/..a', 'td'],
    [`spiffe://${'t'.repeat(255)}/p`, 't'.repeat(255)],
    [`spiffe://td/${'p'.repeat(2048 - 12)}`, 'td'],
  ];
  for (const [text, trustDomain] of good) {
    it(`accepts ${text.slice(0, 60)}`, () => {
      const id = parseSpiffeId(text);
      expect(id).to.equal(text);
      expect(trustDomainOf(id)).to.equal(trustDomain);
      expect(hasPath(id)).to.equal(text.length > `spiffe://${trustDomain}`.length);
    });
  }

  const bad: [string, string][] = [
    ['empty', ''],
    ['no scheme', 'acme.example/x'],
    ['another scheme', 'https://acme.example/x'],
    ['scheme in upper case', 'SPIFFE://acme.example/x'],
    ['scheme in mixed case', 'Spiffe://acme.example/x'],
    ['one slash', 'spiffe:/acme.example/x'],
    ['three slashes', 'spiffe:///acme.example/x'],
    ['scheme only', 'spiffe://'],
    ['leading space', ' spiffe://acme.example/x'],
    ['trailing line feed', 'spiffe://acme.example/x\n'],
    ['line feed after the trust domain', 'spiffe://acme.example\n'],
    ['trust domain in upper case', 'spiffe://Acme.example/x'],
    ['port', 'spiffe://acme.example:443/x'],
    ['user information', 'spiffe://root@acme.example/x'],
    ['user and password', 'spiffe://a:b@acme.example/x'],
    ['IPv6 literal', 'spiffe://[::1]/x'],
    ['percent in the trust domain', 'spiffe://acme%2eexample/x'],
    ['wildcard in the trust domain', 'spiffe://*.example/x'],
    ['trust domain of 256', `spiffe://${'t'.repeat(256)}/x`],
    ['trailing slash without path', 'spiffe://acme.example/'],
    ['trailing slash', 'spiffe://acme.example/x/'],
    ['double slash', 'spiffe://acme.example/x//y'],
    ['single dot', 'spiffe://acme.example/./x'],
    ['double dot', 'spiffe://acme.example/x/../y'],
    ['double dot at the end', 'spiffe://acme.example/x/..'],
    ['query', 'spiffe://acme.example/x?y=1'],
    ['empty query', 'spiffe://acme.example/x?'],
    ['fragment', 'spiffe://acme.example/x#y'],
    ['percent in the path', 'spiffe://acme.example/x%2Fy'],
    ['backslash', 'spiffe://acme.example/x\\y'],
    ['wildcard', 'spiffe://acme.example/*'],
    ['space', 'spiffe://acme.example/x y'],
    ['tilde', 'spiffe://acme.example/~x'],
    ['colon', 'spiffe://acme.example/x:y'],
    ['plus', 'spiffe://acme.example/x+y'],
    ['NUL', 'spiffe://acme.example/x\0y'],
    ['umlaut', 'spiffe://acme.example/\u00fc'],
    ['full-width letter', 'spiffe://\uff41cme.example/x'],
    ['dotless i', 'spiffe://acm\u0131.example/x'],
    ['lone surrogate', 'spiffe://acme.example/\ud800'],
    ['2049 bytes', `spiffe://td/${'p'.repeat(2049 - 12)}`],
  ];
  for (const [name, text] of bad) {
    it(`refuses: ${name}`, () => {
      expectRefusal(() => parseSpiffeId(text), 'PEER_INVALID', /is no SPIFFE ID: it /);
    });
  }

  it('refuses what is not a text', () => {
    expectRefusal(() => parseSpiffeId(undefined as unknown as string), 'PEER_INVALID', /not a text/);
  });

  it('escapes and cuts foreign text in the detail', () => {
    expect(quoted('a\u202eb\nc\u0007')).to.equal('"a\\u202eb\\nc\\u0007"');
    expect(quoted('x'.repeat(5000))).to.have.length.below(160);
  });

  it('reads names of trust domains', () => {
    expect(readTrustDomain('acme.example')).to.equal('acme.example');
    for (const name of ['', 'spiffe://acme.example', 'Acme', 'a/b', 'a\n'])
      expect(readTrustDomain(name)).to.equal(null);
  });
});
