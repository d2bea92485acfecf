import { expect } from 'chai';
import type { Grant, PeerIdentity, Principal, ResourceInput } from '#dist/call.js';
import { createAuthorizer } from '#dist/policy/authorizer.js';
import { createPrincipal } from '#dist/policy/principal.js';
import { resource } from '#dist/policy/resource.js';
import type { MethodRule } from '#dist/policy/types.js';
import type { VerifiedToken } from '#dist/token/types.js';

const peer = { spiffeId: 'spiffe://acme.example/agents/a', trustDomain: 'acme.example' } as unknown as PeerIdentity;

function principal(...grants: Grant[]): Principal {
  return createPrincipal(peer, { subject: peer.spiffeId, actors: [], grants, claims: {} } as unknown as VerifiedToken);
}

const everything = principal({ actions: ['tasks.*'], resources: ['**'] });
const wide = principal({ actions: ['tasks.*'], resources: ['projects/**'] });
const scoped = principal({ actions: ['tasks.read'], resources: [] });

describe('policy/rights', () => {
  it('nobody holds what is not a permission', () => {
    expect(everything.can('tasks.read')).to.equal(true);
    for (const odd of [
      'tasks.*',
      'tasks.',
      'tasks',
      'tasks..read',
      'tasks.Read',
      '*',
      '',
      ' tasks.read',
      'tasks.read\n',
    ]) {
      expect(everything.can(odd), odd).to.equal(false);
      expect(everything.can(odd, ['projects', '7']), odd).to.equal(false);
    }
    for (const odd of [undefined, null, 7, {}, ['tasks.read'], Symbol('x')]) {
      expect(everything.can(odd as never), String(odd)).to.equal(false);
      expect(
        everything.filter(odd as never, [1], () => ['projects', '7']),
        String(odd),
      ).to.deep.equal([]);
    }
  });

  it('an item whose resource is missing is filtered out, whatever is held', () => {
    const missing = (): ResourceInput => undefined as unknown as ResourceInput;
    for (const who of [everything, scoped]) expect(who.filter('tasks.read', [1, 2], missing)).to.deep.equal([]);
    expect(everything.filter('tasks.read', [1, 2], (n) => ['n', String(n)])).to.deep.equal([1, 2]);
    expect(scoped.filter('tasks.read', [1], () => ['projects', '7'])).to.deep.equal([]);
    expect(scoped.can('tasks.read')).to.equal(true);
  });

  it('the resource tag takes text and whole numbers, and nothing that only turns into text', () => {
    const named = (value: unknown) => wide.can('tasks.read', resource`projects/${value as string}`);
    for (const sound of ['7', 7, 7n, -7, 'undefined', 'Ünï']) expect(named(sound), String(sound)).to.equal(true);
    const odd = [
      undefined,
      null,
      true,
      {},
      ['7'],
      Number.NaN,
      0.5,
      2 ** 53,
      Number.POSITIVE_INFINITY,
      Symbol('7'),
      '',
      '..',
    ];
    for (const one of odd) expect(named(one), String(one)).to.equal(false);
    expect(named({ toString: () => '7' })).to.equal(false);
    // An invalid escape leaves a tagged template without text.
    expect(wide.can('tasks.read', resource`projects/\u/${'7'}`)).to.equal(false);
    expect(wide.can('tasks.read', resource`projects/7`)).to.equal(true);
    for (const text of [resource``, resource`/`, resource`projects/`, resource`/projects/7`, resource`projects//7`]) {
      expect(everything.can('tasks.read', text)).to.equal(false);
    }
    expect(everything.can('tasks.read', resource`projects/*`)).to.equal(false);
    expect(everything.can('tasks.read', resource`projects/**`)).to.equal(false);
  });

  it('a check that names a resource without a prepared template is refused', () => {
    const rule = {
      mode: 'require',
      delegation: 'forbidden',
      checks: [{ permission: 'tasks.read', resource: 'projects/{id}', template: null }],
    } as unknown as MethodRule;
    const { message } = createAuthorizer();
    expect(message(rule, everything, { id: '7' })?.reason).to.equal('RESOURCE_INVALID');
    const onAll = {
      ...rule,
      checks: [{ permission: 'tasks.read', resource: null, template: null }],
    } as unknown as MethodRule;
    expect(message(onAll, everything, {})).to.equal(null);
  });
});
