import { expect } from 'chai';
import { ConfigurationError } from '#dist/errors.js';
import { type BuiltinPolicies, withBuiltins } from '#dist/policy/builtin.js';
import { digestOf } from '#dist/policy/digest.js';
import type { MethodRule, Policy } from '#dist/policy/types.js';

const CHECK = '/grpc.health.v1.Health/Check';

function policyOf(...methods: string[]): Policy {
  const rules = new Map(
    methods.map((method): [string, MethodRule] => [
      method,
      {
        method,
        requestStream: false,
        responseStream: false,
        mode: 'authenticated',
        because: 'said so',
        checks: [],
        callers: [],
        delegation: 'forbidden',
        singleUse: false,
        maxTokenAgeMs: null,
        maxStreamAgeMs: null,
        audit: { level: 'all', required: false },
      },
    ]),
  );
  return { rules, digest: digestOf(rules) };
}

const spelled = { mtlsOnly: 'probes', callers: ['spiffe://acme.example/probes/*'] };

function problems(builtin: unknown, policy = policyOf('/p.S/M')): string[] {
  try {
    withBuiltins(policy, builtin as BuiltinPolicies);
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems.map(({ place, problem }) => `${place}: ${problem}`);
    throw error;
  }
  return [];
}

describe('policy/builtin, told twice', () => {
  it('deny takes away what an annotation allows', () => {
    const annotated = policyOf('/p.S/M', CHECK);
    expect([...withBuiltins(annotated, { health: 'deny' }).rules.keys()]).to.deep.equal(['/p.S/M']);
    expect(withBuiltins(annotated, {}).rules.has(CHECK)).to.equal(true);
    expect(withBuiltins(policyOf('/p.S/M'), { health: spelled }).rules.has(CHECK)).to.equal(true);
  });

  it('an annotation and a policy for the same method are a mistake', () => {
    expect(problems({ health: spelled }, policyOf('/p.S/M', CHECK))).to.deep.equal([
      `builtin.health: ${CHECK} has an annotation too`,
    ]);
    expect(problems({ channelz: spelled }, policyOf('/p.S/M', CHECK))).to.deep.equal([]);
  });

  it('what is no policy is a mistake, not a crash', () => {
    for (const odd of [null, 7, 'allow', true]) expect(problems({ health: odd }), String(odd)).to.have.length(1);
    expect(problems({ health: { ...spelled, authenticated: 'x' } })).to.deep.equal([
      'builtin.health.authenticated: there is no such member',
    ]);
    expect(problems({ health: { ...spelled, callers: [42, null, 'users/*', 'spiffe://*/x'] } })).to.have.length(4);
    expect(problems({ health: { ...spelled, callers: 'spiffe://acme.example/**' } })).to.have.length(1);
    expect(problems({ health: spelled, reflection: 'deny', channelz: undefined })).to.deep.equal([]);
  });

  it('never changes the policy it is given', () => {
    const policy = policyOf('/p.S/M', CHECK);
    withBuiltins(policy, { health: 'deny' });
    expect(policy.rules.has(CHECK)).to.equal(true);
  });
});
