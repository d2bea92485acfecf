import { expect } from 'chai';
import type { Grant, PeerIdentity, Principal } from '#dist/call.js';
import { parsePattern, parseSubjectPattern } from '#dist/pattern.js';
import { type CompiledCheck, createAuthorizer, decide } from '#dist/policy/authorizer.js';
import { sessionRules, withBuiltins } from '#dist/policy/builtin.js';
import { callerAllowed } from '#dist/policy/callers.js';
import { digestOf } from '#dist/policy/digest.js';
import { createPrincipal } from '#dist/policy/principal.js';
import { resource } from '#dist/policy/resource.js';
import type { MethodRule, Policy } from '#dist/policy/types.js';
import type { VerifiedToken } from '#dist/token/types.js';
import { template } from './shapes.js';

const peer = { spiffeId: 'spiffe://acme.example/agents/a', trustDomain: 'acme.example' } as unknown as PeerIdentity;

function principal(grants: readonly Grant[], actors: readonly { subject: string }[] = []): Principal {
  return createPrincipal(peer, {
    issuer: 'i',
    subject: peer.spiffeId,
    actors,
    grants,
    claims: {},
  } as unknown as VerifiedToken);
}

function rule(more: Partial<MethodRule> & { check?: [string, string | null] } = {}): MethodRule {
  const { check = ['tasks.task.read', 'projects/{project_id}'], ...own } = more;
  const [permission, text] = check;
  const checks: CompiledCheck[] = [{ permission, resource: text, template: text === null ? null : template(text) }];
  return {
    method: '/p.S/M',
    requestStream: false,
    responseStream: false,
    mode: 'require',
    because: null,
    checks,
    callers: [],
    delegation: 'forbidden',
    singleUse: false,
    maxTokenAgeMs: null,
    maxStreamAgeMs: null,
    audit: { level: 'all', required: false },
    ...own,
  };
}

const policyOf = (...rules: MethodRule[]): Policy => {
  const map = new Map(rules.map((one) => [one.method, one]));
  return { rules: map, digest: digestOf(map) };
};

const outcome = (rules: MethodRule, who: Principal, message?: object): string => {
  const decision = decide(policyOf(rules), who, { method: '/p.S/M', ...(message && { message }) });
  return decision.allowed ? 'allowed' : decision.reason;
};

describe('policy/authorizer', () => {
  const seven = [{ actions: ['tasks.task.read'], resources: ['projects/7'] }];
  const all = [{ actions: ['tasks.*'], resources: ['**'] }];
  const scope = [{ actions: ['tasks.task.read'], resources: [] }];

  const table: readonly [string, readonly Grant[], [string, string | null], object | undefined, string][] = [
    ['the very resource', seven, ['tasks.task.read', 'projects/{project_id}'], { project_id: '7' }, 'allowed'],
    [
      'another resource',
      seven,
      ['tasks.task.read', 'projects/{project_id}'],
      { project_id: '8' },
      'RESOURCE_NOT_GRANTED',
    ],
    ['no resource', seven, ['tasks.task.read', 'projects/{project_id}'], {}, 'RESOURCE_EMPTY'],
    [
      'a longer permission',
      seven,
      ['tasks.task.readx', 'projects/{project_id}'],
      { project_id: '7' },
      'PERMISSION_MISSING',
    ],
    ['a shorter permission', seven, ['tasks.task', 'projects/{project_id}'], { project_id: '7' }, 'PERMISSION_MISSING'],
    ['a wildcard action', all, ['tasks.task.read', 'projects/{project_id}'], { project_id: '7' }, 'allowed'],
    ['the prefix of a wildcard itself', all, ['tasks', null], undefined, 'PERMISSION_MISSING'],
    ['a neighbour of the prefix', all, ['tasksx.read', null], undefined, 'PERMISSION_MISSING'],
    [
      'a scope where a resource is named',
      scope,
      ['tasks.task.read', 'projects/{project_id}'],
      { project_id: '7' },
      'PERMISSION_MISSING',
    ],
    ['a scope where none is', scope, ['tasks.task.read', null], undefined, 'allowed'],
    ['a narrow grant where all is needed', seven, ['tasks.task.read', null], undefined, 'RESOURCE_NOT_GRANTED'],
    ['a wide grant where all is needed', all, ['tasks.task.read', null], undefined, 'allowed'],
    ['no grants', [], ['tasks.task.read', null], undefined, 'PERMISSION_MISSING'],
    [
      'a malformed pattern',
      [{ actions: ['tasks.*'], resources: ['projects//7'] }],
      ['tasks.task.read', 'projects/{project_id}'],
      { project_id: '7' },
      'PERMISSION_MISSING',
    ],
  ];
  for (const [name, grants, check, message, expected] of table) {
    it(`${name}: ${expected}`, () => expect(outcome(rule({ check }), principal(grants), message)).to.equal(expected));
  }

  it('needs every check to pass', () => {
    const both = {
      ...rule(),
      checks: [...rule().checks, ...rule({ check: ['tasks.task.write', 'projects/{project_id}'] }).checks],
    };
    expect(outcome(both, principal(seven), { project_id: '7' })).to.equal('PERMISSION_MISSING');
    expect(outcome(both, principal(all), { project_id: '7' })).to.equal('allowed');
  });

  it('holds delegation to what the method says', () => {
    const one = principal(all, [{ subject: 'spiffe://acme.example/agents/a' }]);
    const two = principal(all, [{ subject: 'x' }, { subject: 'y' }]);
    const check: [string, null] = ['tasks.task.read', null];
    expect(outcome(rule({ check }), one)).to.equal('DELEGATION_FORBIDDEN');
    expect(outcome(rule({ check, delegation: 'allowed' }), one)).to.equal('allowed');
    expect(outcome(rule({ check, delegation: 'allowed' }), principal(all))).to.equal('allowed');
    expect(outcome(rule({ check, delegation: 'allowed' }), two)).to.equal('DELEGATION_DEPTH');
    expect(outcome(rule({ check, delegation: 'required' }), principal(all))).to.equal('DELEGATION_REQUIRED');
    expect(outcome(rule({ check, delegation: 'required' }), one)).to.equal('allowed');
  });

  it('knows callers: own domain unless named, foreign domains only when named, every list must allow', () => {
    const own = 'acme.example' as never;
    const foreign = {
      spiffeId: 'spiffe://partner.example/x',
      trustDomain: 'partner.example',
    } as unknown as PeerIdentity;
    const list = (...texts: string[]) => texts.map((text) => parseSubjectPattern(text) ?? expect.fail(text));
    const reason = (callers: MethodRule['callers'], who: PeerIdentity) =>
      callerAllowed(rule({ callers }), who, own)?.reason ?? 'allowed';
    expect(reason([], peer)).to.equal('allowed');
    expect(reason([], foreign)).to.equal('CALLER_NOT_ALLOWED');
    expect(reason([list('spiffe://partner.example/*')], foreign)).to.equal('allowed');
    expect(reason([list('spiffe://partner.example/*')], peer)).to.equal('CALLER_NOT_ALLOWED');
    expect(reason([list('spiffe://acme.example/**'), list('spiffe://acme.example/agents/b')], peer)).to.equal(
      'CALLER_NOT_ALLOWED',
    );
    expect(reason([list('spiffe://acme.example/**'), list('spiffe://acme.example/agents/a')], peer)).to.equal(
      'allowed',
    );
  });

  it('denies a method without a rule, and one that needs a token to a principal without one', () => {
    const decision = decide(policyOf(), principal(all), { method: '/p.S/M' });
    expect(decision).to.include({ allowed: false, reason: 'METHOD_UNANNOTATED' });
    expect(outcome(rule(), createPrincipal(peer, null))).to.equal('TOKEN_MISSING');
    expect(outcome(rule({ mode: 'mtls_only', checks: [] }), createPrincipal(peer, null))).to.equal('allowed');
  });

  it('is what guards live calls', () => {
    const authorizer = createAuthorizer();
    expect(authorizer.message(rule(), principal(seven), { project_id: '8' })?.reason).to.equal('RESOURCE_NOT_GRANTED');
    expect(authorizer.message(rule(), principal(seven), { project_id: '7' })).to.equal(null);
  });
});

describe('policy/principal', () => {
  const who = principal([
    { actions: ['tasks.task.read'], resources: ['projects/7/tasks/**'] },
    { actions: ['tasks.admin'], resources: [] },
  ]);

  it('is frozen, down to its token', () => {
    expect(Object.isFrozen(who)).to.equal(true);
    expect(Object.isFrozen(who.token)).to.equal(true);
  });

  it('can() takes segments or the resource tag, and never throws', () => {
    expect(who.can('tasks.task.read', ['projects', '7', 'tasks', '1'])).to.equal(true);
    expect(who.can('tasks.task.read', resource`projects/${7}/tasks/${'1'}`)).to.equal(true);
    expect(who.can('tasks.task.read', ['projects', '8', 'tasks', '1'])).to.equal(false);
    expect(who.can('tasks.task.read', ['projects', '7', 'tasks'])).to.equal(false);
    expect(who.can('tasks.task.read')).to.equal(false);
    expect(who.can('tasks.admin')).to.equal(true);
    expect(who.can('tasks.admin', ['projects', '7'])).to.equal(false);
    for (const odd of [
      [],
      ['projects', '7', 'tasks', '..'],
      ['projects', '7', 'tasks', ''],
      ['projects/7/tasks/1'],
      'projects/7/tasks/1',
      null,
      7,
    ]) {
      expect(who.can('tasks.task.read', odd as never), JSON.stringify(odd)).to.equal(false);
    }
  });

  it('the resource tag holds each value to one segment', () => {
    expect(resource`projects/${'7'}/tasks/${'1'}`.segments).to.deep.equal(['projects', '7', 'tasks', '1']);
    expect(resource`${'projects'}/${'7'}`.segments).to.deep.equal(['projects', '7']);
    expect(who.can('tasks.task.read', resource`projects/${'7/tasks'}/${'1'}`)).to.equal(false);
    for (const odd of [
      resource`projects/p${'7'}/tasks/1`,
      resource`projects/${'7'}x/tasks/1`,
      resource`${'a'}${'b'}`,
    ]) {
      expect(odd.segments).to.deep.equal([]);
    }
  });

  it('filter() keeps what is held', () => {
    const items = [{ p: '7' }, { p: '8' }, { p: '' }, { p: '7' }];
    expect(who.filter('tasks.task.read', items, ({ p }) => ['projects', p, 'tasks', '1'])).to.deep.equal([
      { p: '7' },
      { p: '7' },
    ]);
  });
});

describe('policy/builtin', () => {
  it('gives vendor services the policy that is spelled, and no other', () => {
    const none = withBuiltins(policyOf(rule()), undefined);
    expect([...none.rules.keys()]).to.deep.equal(['/p.S/M']);
    const health = withBuiltins(policyOf(rule()), {
      health: { mtlsOnly: 'probes', callers: ['spiffe://acme.example/probes/*'] },
      reflection: 'deny',
    });
    expect(health.rules.get('/grpc.health.v1.Health/Check')).to.include({ mode: 'mtls_only', because: 'probes' });
    expect(health.rules.has('/grpc.reflection.v1.ServerReflection/ServerReflectionInfo')).to.equal(false);
    expect(health.digest).to.not.equal(none.digest);
    expect(sessionRules(none, '/x/Renew').rules.get('/x/Renew')).to.include({
      mode: 'authenticated',
      delegation: 'allowed',
    });
  });

  it('lists every mistake', () => {
    const wrong = {
      health: { mtlsOnly: ' ', callers: ['nobody'] },
      reflection: { mtlsOnly: 'x', callers: [] },
      wealth: 'deny',
    };
    expect(() => withBuiltins(policyOf(rule()), wrong as never)).to.throw(
      /4 problems[\s\S]*reason[\s\S]*'nobody'[\s\S]*nobody is named[\s\S]*no such vendor/,
    );
  });
});

describe('pattern', () => {
  it('agrees with a brute force over small worlds', () => {
    const words = ['a', 'b'];
    const paths: string[][] = [];
    const grow = (path: string[]): void => {
      if (path.length > 0) paths.push(path);
      if (path.length < 4) for (const word of words) grow([...path, word]);
    };
    grow([]);
    const brute = (pattern: string[], path: string[]): boolean => {
      const [head, ...rest] = pattern;
      if (head === undefined) return path.length === 0;
      if (head === '**') return path.length > 0;
      return path.length > 0 && (head === '*' || head === path[0]) && brute(rest, path.slice(1));
    };
    const heads = [
      ['a'],
      ['*'],
      ['a', 'b'],
      ['*', 'b'],
      ['a', '*'],
      ['**'],
      ['a', '**'],
      ['*', '**'],
      ['a', 'b', '**'],
    ];
    const grants = (pattern: string[]) => principal([{ actions: ['x.y'], resources: [pattern.join('/')] }]);
    for (const pattern of heads) {
      expect(parsePattern(pattern.join('/'))).to.not.equal(null);
      for (const path of paths)
        expect(grants(pattern).can('x.y', path), `${pattern} ${path}`).to.equal(brute(pattern, path));
    }
  });
});
