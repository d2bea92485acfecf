import { expect } from 'chai';
import { loadPolicy, type PolicySource } from '#dist/policy/load.js';
import { allSources, annotated, type ProtoDir, problemsOf, protoDir, rpc, tasksProto } from './fixtures.js';

/** A mistake, the nearest thing that is right, and what is said of the mistake. Values of the option, unless `raw`. */
interface Mistake {
  readonly bad: string;
  readonly good: string;
  readonly says: RegExp;
  readonly raw?: true;
}

const STREAM = (name: string, value: string) =>
  `rpc ${name}(Request) returns (stream Response) { option (zerotrust.v1.method) = { ${value} }; }\n`;

const MISTAKES: Readonly<Record<string, Mistake>> = {
  Unannotated: {
    raw: true,
    bad: 'rpc Unannotated(Request) returns (Response);\n',
    good: annotated('authenticated: "x"', 'Unannotated'),
    says: /the method has no annotation/,
  },
  NoneOfThree: { bad: 'callers: "spiffe://a.b/c"', good: 'authenticated: "x"', says: /none of require, authenticated/ },
  TwoOfThree: {
    bad: 'authenticated: "x" require { permission: "a.b" }',
    good: 'require { permission: "a.b" } require { permission: "a.c" }',
    says: /more than one of require and authenticated is set/,
  },
  BothReasons: {
    bad: 'authenticated: "x" mtls_only: "y" callers: "spiffe://a.b/c"',
    good: 'mtls_only: "y" callers: "spiffe://a.b/c"',
    says: /more than one of authenticated and mtls_only is set/,
  },
  EmptyReason: { bad: 'authenticated: ""', good: 'authenticated: "x"', says: /none of require, authenticated/ },
  BlankReason: { bad: 'authenticated: " \\t"', good: 'authenticated: " x"', says: /reason of authenticated is blank/ },
  BlankMtlsReason: {
    bad: 'mtls_only: " " callers: "spiffe://a.b/c"',
    good: 'mtls_only: "probes" callers: "spiffe://a.b/c"',
    says: /reason of mtls_only is blank/,
  },
  MtlsWithoutCallers: {
    bad: 'mtls_only: "x"',
    good: 'mtls_only: "x" callers: "spiffe://a.b/c"',
    says: /mtls_only needs callers/,
  },
  MtlsTokenUse: {
    bad: 'mtls_only: "x" callers: "spiffe://a.b/c" token_use: TOKEN_USE_REUSABLE',
    good: 'authenticated: "x" callers: "spiffe://a.b/c" token_use: TOKEN_USE_REUSABLE',
    says: /token_use is set although mtls_only reads no token/,
  },
  MtlsTokenAge: {
    bad: 'mtls_only: "x" callers: "spiffe://a.b/c" max_token_age { seconds: 1 }',
    good: 'authenticated: "x" callers: "spiffe://a.b/c" max_token_age { seconds: 1 }',
    says: /max_token_age is set although mtls_only reads no token/,
  },
  MtlsDelegation: {
    bad: 'mtls_only: "x" callers: "spiffe://a.b/c" delegation { mode: DELEGATION_MODE_FORBIDDEN }',
    good: 'authenticated: "x" delegation { mode: DELEGATION_MODE_FORBIDDEN }',
    says: /delegation is set although mtls_only reads no token/,
  },
  EmptyPermission: {
    bad: 'require { resource: "projects/{project_id}" }',
    good: 'require { permission: "a" resource: "projects/{project_id}" }',
    says: /"" is not a permission/,
  },
  BadPermission: {
    bad: 'require { permission: "Tasks.read" }',
    good: 'require { permission: "tasks.read" }',
    says: /"Tasks\.read" is not a permission/,
  },
  WildPermission: {
    bad: 'require { permission: "tasks.*" }',
    good: 'require { permission: "tasks.all" }',
    says: /"tasks\.\*" is not a permission/,
  },
  CallerNotSpiffe: {
    bad: 'authenticated: "x" callers: "agents/*"',
    good: 'authenticated: "x" callers: "spiffe://acme.example/agents/*"',
    says: /"agents\/\*" is not a SPIFFE ID pattern/,
  },
  CallerWildDomain: {
    bad: 'authenticated: "x" callers: "spiffe://*/agents"',
    good: 'authenticated: "x" callers: "spiffe://acme.example/**"',
    says: /"spiffe:\/\/\*\/agents" is not a SPIFFE ID pattern/,
  },
  CallerEmpty: {
    bad: 'authenticated: "x" callers: ""',
    good: 'authenticated: "x" callers: []',
    says: /"" is not a SPIFFE ID pattern/,
  },
  ZeroAge: {
    bad: 'authenticated: "x" max_token_age {}',
    good: 'authenticated: "x" max_token_age { nanos: 1000000 }',
    says: /max_token_age is not a positive duration/,
  },
  NegativeAge: {
    bad: 'authenticated: "x" max_token_age { seconds: -1 }',
    good: 'authenticated: "x" max_token_age { seconds: 1 }',
    says: /max_token_age is not a positive duration/,
  },
  TinyAge: {
    bad: 'authenticated: "x" max_token_age { nanos: 999999 }',
    good: 'authenticated: "x" max_token_age { nanos: 1000000 }',
    says: /max_token_age is not a positive duration/,
  },
  ImpossibleAge: {
    bad: 'authenticated: "x" max_token_age { seconds: 1 nanos: 1000000000 }',
    good: 'authenticated: "x" max_token_age { seconds: 1 nanos: 999999999 }',
    says: /max_token_age is not a positive duration/,
  },
  EndlessAge: {
    bad: 'authenticated: "x" max_token_age { seconds: 315576000001 }',
    good: 'authenticated: "x" max_token_age { seconds: 315576000000 }',
    says: /max_token_age is not a positive duration/,
  },
  ZeroStream: {
    raw: true,
    bad: STREAM('ZeroStream', 'authenticated: "x" stream { max_age { seconds: 0 } }'),
    good: STREAM('ZeroStream', 'authenticated: "x" stream { max_age { seconds: 1 } }'),
    says: /stream\.max_age is not a positive duration/,
  },
  UnaryStream: {
    bad: 'authenticated: "x" stream { max_age { seconds: 1 } }',
    good: 'authenticated: "x" stream {}',
    says: /stream\.max_age is set on a unary method/,
  },
  IfSet: {
    bad: 'require { permission: "a.b" if_set: "project_id" }',
    good: 'require { permission: "a.b" }',
    says: /require\.if_set is not supported yet/,
  },
  ResponseChecks: {
    bad: 'authenticated: "x" response { permission: "a.b" resource: "{name}" }',
    good: 'authenticated: "x" response: []',
    says: /response is not supported yet/,
  },
  MustBeUnset: {
    bad: 'authenticated: "x" must_be_unset: "project_id"',
    good: 'authenticated: "x"',
    says: /must_be_unset is not supported yet/,
  },
  DelegationDepth: {
    bad: 'authenticated: "x" delegation { mode: DELEGATION_MODE_ALLOWED max_depth: 0 }',
    good: 'authenticated: "x" delegation { mode: DELEGATION_MODE_ALLOWED }',
    says: /delegation\.max_depth is not supported yet/,
  },
  DelegationActors: {
    bad: 'authenticated: "x" delegation { mode: DELEGATION_MODE_ALLOWED actors: "spiffe://a.b/c" }',
    good: 'authenticated: "x" delegation { mode: DELEGATION_MODE_REQUIRED }',
    says: /delegation\.actors is not supported yet/,
  },
};

const KINDS = ['descriptorSet', 'protos', 'services'] as const;

function source(sources: Readonly<Record<string, PolicySource>>, kind: string): PolicySource {
  const found = sources[kind];
  if (found === undefined) throw new Error(`no source ${kind}`);
  return found;
}

describe('loadPolicy: mistakes', function () {
  this.timeout(30_000);
  const dirs: ProtoDir[] = [];
  let wrong: Readonly<Record<string, PolicySource>>;
  let right: Readonly<Record<string, PolicySource>>;

  const api = async (text: string) => {
    const dir = await protoDir({ 'tasks.proto': text });
    dirs.push(dir);
    return allSources(dir, ['tasks.proto']);
  };
  const all = (which: 'good' | 'bad') =>
    Object.entries(MISTAKES)
      .map(([name, mistake]) => (mistake.raw ? mistake[which] : annotated(mistake[which], name)))
      .join('');

  before(async () => {
    wrong = await api(tasksProto(`${annotated('authenticated: "x"', 'Fine')}${all('bad')}`));
    right = await api(tasksProto(all('good')));
  });
  after(() => Promise.all(dirs.map((dir) => dir.remove())));

  for (const kind of KINDS) {
    it(`lists every mistake in one error (${kind})`, async () => {
      const problems = await problemsOf(loadPolicy(source(wrong, kind)));
      for (const [name, { says }] of Object.entries(MISTAKES)) {
        const own = problems.filter((problem) => problem.startsWith(`/tasks.v1.Tasks/${name} (`));
        expect(own, `${name} (${kind})`).to.have.length(1);
        expect(own[0], name).to.match(says);
      }
      expect(problems).to.have.length(Object.keys(MISTAKES).length);
    });

    it(`accepts what stands beside each mistake (${kind})`, async () => {
      const policy = await loadPolicy(source(right, kind));
      expect([...policy.rules.keys()].sort()).to.deep.equal(
        Object.keys(MISTAKES)
          .map((name) => `/tasks.v1.Tasks/${name}`)
          .sort(),
      );
    });
  }

  it('says where each mistake stands, with its line', async () => {
    const text = tasksProto(all('bad'));
    const line = text.split('\n').findIndex((row) => row.includes('rpc BadPermission(')) + 1;
    for (const kind of ['descriptorSet', 'protos']) {
      const problems = await problemsOf(loadPolicy(source(await api(text), kind)));
      const own = problems.find((problem) => problem.includes('BadPermission'));
      expect(own, kind).to.include(`tasks.proto:${line})`);
    }
  });

  it('lists mistakes of reading and of meaning together', async () => {
    const body = annotated('authenticatd: "x"', 'A') + annotated('require { permission: "!" }', 'B') + rpc('', 'C');
    const dir = await protoDir({ 'a.proto': tasksProto(body) }, false);
    dirs.push(dir);
    const problems = (await problemsOf(loadPolicy({ protos: [`${dir.path}/a.proto`] }))).join('\n');
    expect(problems).to.match(/Tasks\/A .*no such field/);
    expect(problems).to.match(/Tasks\/B .*is not a permission/);
    expect(problems).to.match(/Tasks\/C .*has no annotation/);
  });

  describe('in the policy of a service', () => {
    const service = (value: string, method = 'authenticated: "x"') =>
      tasksProto(`option (zerotrust.v1.service) = { ${value} };\n${annotated(method)}`);

    it('are listed once, at the service', async () => {
      const bad = service('callers: ["nobody", "spiffe://a.b/c"] max_token_age { seconds: 0 }');
      for (const [kind, from] of Object.entries(await api(bad))) {
        const problems = await problemsOf(loadPolicy(from));
        expect(problems, kind).to.have.length(2);
        expect(problems[0]).to.match(/^tasks\.v1\.Tasks \(.*"nobody" is not a SPIFFE ID pattern/);
        expect(problems[1]).to.match(/^tasks\.v1\.Tasks \(.*max_token_age is not a positive duration/);
      }
    });

    it('callers of the service serve its mtls_only methods', async () => {
      for (const from of Object.values(await api(service('callers: "spiffe://a.b/c"', 'mtls_only: "x"')))) {
        expect((await loadPolicy(from)).rules.size).to.equal(1);
      }
    });

    it('its age does not hinder mtls_only methods, which read no token', async () => {
      const text = service('max_token_age { seconds: 5 }', 'mtls_only: "x" callers: "spiffe://a.b/c"');
      for (const from of Object.values(await api(text))) {
        expect((await loadPolicy(from)).rules.get('/tasks.v1.Tasks/Get')?.maxTokenAgeMs).to.equal(null);
      }
    });

    const audits: readonly (readonly [string, string, string])[] = [
      ['', '', 'all'],
      ['level: AUDIT_LEVEL_REFUSED', '', 'refused'],
      ['', 'level: AUDIT_LEVEL_REFUSED', 'refused'],
      ['level: AUDIT_LEVEL_ALL', 'level: AUDIT_LEVEL_REFUSED', 'all'],
      ['level: AUDIT_LEVEL_REFUSED', 'level: AUDIT_LEVEL_ALL', 'all'],
      ['required: true', 'required: false', 'all required'],
      ['required: false', 'required: true level: AUDIT_LEVEL_REFUSED', 'refused required'],
    ];
    for (const [ofService, ofMethod, expected] of audits) {
      it(`joins audit { ${ofService} } and audit { ${ofMethod} } to ${expected}`, async () => {
        const text = service(`audit { ${ofService} }`, `authenticated: "x" audit { ${ofMethod} }`);
        const dir = await protoDir({ 'a.proto': text }, false);
        dirs.push(dir);
        const rule = (await loadPolicy({ protos: [`${dir.path}/a.proto`] })).rules.get('/tasks.v1.Tasks/Get');
        expect(`${rule?.audit.level}${rule?.audit.required ? ' required' : ''}`).to.equal(expected);
      });
    }
  });
});
