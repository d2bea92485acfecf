import { expect } from 'chai';
import type { CompiledCheck } from '#dist/policy/compile.js';
import { loadPolicy } from '#dist/policy/load.js';
import { loadDescriptorSet } from '#dist/policy/load-descriptor-set.js';
import { loadProtos } from '#dist/policy/load-protos.js';
import type { MessageModel, ServiceModel } from '#dist/policy/schema.js';
import type { Policy } from '#dist/policy/types.js';
import {
  API,
  allSources,
  annotated,
  descriptorSet,
  type ProtoDir,
  plainRules,
  protoDir,
  tasksProto,
} from './fixtures.js';

const ENTRY = 'acme/tasks/v1/tasks.proto';
const KINDS = ['descriptorSet', 'protos', 'services'] as const;

describe('loadPolicy: one API, three sources', function () {
  this.timeout(30_000);
  let dir: ProtoDir;
  const policies = new Map<string, Policy>();

  before(async () => {
    dir = await protoDir(API);
    for (const [kind, source] of Object.entries(await allSources(dir, [ENTRY]))) {
      policies.set(kind, await loadPolicy(source));
    }
  });
  after(() => dir.remove());

  const policyFrom = (kind: string): Policy => {
    const policy = policies.get(kind);
    if (policy === undefined) throw new Error(`no policy from ${kind}`);
    return policy;
  };

  it('gives the same rules and the same digest', () => {
    const [first] = KINDS.map((kind) => policyFrom(kind));
    expect(policies.size).to.equal(3);
    for (const kind of KINDS) {
      expect(plainRules(policyFrom(kind)), kind).to.deep.equal(plainRules(first as Policy));
      expect(policyFrom(kind).digest, kind).to.equal(first?.digest);
    }
    expect(first?.digest).to.match(/^[A-Za-z0-9_-]{43}$/);
  });

  for (const kind of KINDS) {
    it(`reads everything the annotations say (${kind})`, () => {
      const { rules } = policyFrom(kind);
      expect([...rules.keys()].sort()).to.deep.equal([
        '/acme.tasks.v1.Probe/Ping',
        '/acme.tasks.v1.Tasks/Chat',
        '/acme.tasks.v1.Tasks/Get',
        '/acme.tasks.v1.Tasks/Put',
        '/acme.tasks.v1.Tasks/Watch',
      ]);
      const all = plainRules(policyFrom(kind));
      expect(all['/acme.tasks.v1.Tasks/Get']).to.deep.equal({
        method: '/acme.tasks.v1.Tasks/Get',
        requestStream: false,
        responseStream: false,
        mode: 'require',
        because: null,
        checks: [{ permission: 'tasks.task.read', resource: 'projects/{project_id}/tasks/{task_id}', templated: true }],
        callers: [['spiffe://acme.example/**'], ['spiffe://acme.example/agents/*', 'spiffe://other.example/x']],
        delegation: 'forbidden',
        singleUse: false,
        maxTokenAgeMs: 60_000,
        maxStreamAgeMs: null,
        audit: { level: 'all', required: true },
      });
      expect(all['/acme.tasks.v1.Tasks/Watch']).to.deep.include({
        requestStream: false,
        responseStream: true,
        checks: [
          { permission: 'tasks.task.read', resource: 'projects/{project_id}', templated: true },
          { permission: 'tasks.task.watch', resource: null, templated: false },
        ],
        delegation: 'allowed',
        maxStreamAgeMs: 3_600_000,
        maxTokenAgeMs: 120_500,
        audit: { level: 'refused', required: false },
      });
      expect(all['/acme.tasks.v1.Tasks/Put']).to.deep.include({
        requestStream: true,
        mode: 'authenticated',
        because: 'it\'s "safe" \\ A A \t ok',
        callers: [['spiffe://acme.example/**'], ['spiffe://a.example/a', 'spiffe://a.example/b']],
        delegation: 'required',
        singleUse: true,
      });
      expect(all['/acme.tasks.v1.Tasks/Chat']).to.deep.include({
        requestStream: true,
        responseStream: true,
        because: "written 'so'",
        singleUse: false,
      });
      expect(all['/acme.tasks.v1.Probe/Ping']).to.deep.include({
        mode: 'mtls_only',
        because: 'probes have no token',
        callers: [['spiffe://acme.example/probe']],
        maxTokenAgeMs: null,
        audit: { level: 'all', required: false },
      });
    });
  }

  it('sees the same shape of every request, field annotations included', async () => {
    const set = await loadDescriptorSet(await descriptorSet(dir));
    const protos = await loadProtos([`${dir.path}/${ENTRY}`], [dir.path]);
    const shapes = shapesOf(protos.services);
    expect(shapes).to.deep.equal(shapesOf(set.services));
    expect(shapes['acme.common.v1.Owner']).to.deep.include.members([
      {
        name: 'name',
        localName: 'name',
        number: 2,
        kind: 'string',
        repeated: false,
        oneof: null,
        message: null,
        enums: null,
        sensitive: true,
      },
      {
        name: 'deputies',
        localName: 'deputies',
        number: 4,
        kind: 'message',
        repeated: true,
        oneof: null,
        message: 'acme.common.v1.Owner',
        enums: null,
        sensitive: false,
      },
    ]);
    const selector = shapes['acme.tasks.v1.Selector'] ?? [];
    const kinds = Object.fromEntries(selector.map((field) => [field.name, `${field.kind} ${field.oneof}`]));
    expect(kinds).to.deep.include({
      id: 'string target',
      ref: 'message target',
      note: 'string null',
      owners: 'other null',
      raw: 'other null',
      counts: 'integer null',
    });
    expect(selector.find((field) => field.name === 'kind')?.enums).to.equal('0=KIND_UNSPECIFIED 1=KIND_A');
  });

  it('freezes what it gives', () => {
    for (const rule of policyFrom('protos').rules.values()) {
      for (const part of [rule, rule.checks, ...rule.checks, rule.callers, ...rule.callers, rule.audit]) {
        expect(Object.isFrozen(part)).to.equal(true);
      }
    }
    expect(Object.isFrozen(policyFrom('protos'))).to.equal(true);
  });

  it('leaves a compiled template in each check that names a resource', () => {
    const checks = policyFrom('services').rules.get('/acme.tasks.v1.Tasks/Get')?.checks as readonly CompiledCheck[];
    expect(checks[0]?.template?.text).to.equal('projects/{project_id}/tasks/{task_id}');
  });
});

describe('loadPolicy: the digest', () => {
  const digestOf = async (text: string): Promise<string> => {
    const dir = await protoDir({ 'a.proto': text }, false);
    try {
      return (await loadPolicy({ protos: [`${dir.path}/a.proto`] })).digest;
    } finally {
      await dir.remove();
    }
  };
  const two = (first: string, second: string) => tasksProto(annotated(first, 'A') + annotated(second, 'B'));

  it('stays when only order, comments and spelling change', async () => {
    const plain = await digestOf(two('authenticated: "x"', 'require { permission: "a.b" }'));
    const other = tasksProto(
      `${annotated('require: [{ permission: "a." "b" }]', 'B')} // later\n${annotated("authenticated: 'x'", 'A')}`,
    );
    expect(await digestOf(other)).to.equal(plain);
  });

  it('changes with every part of a rule', async () => {
    const values = [
      'authenticated: "x"',
      'authenticated: "y"',
      'require { permission: "a.b" }',
      'require { permission: "a.b" resource: "projects/{project_id}" }',
      'authenticated: "x" callers: "spiffe://a.example/b"',
      'authenticated: "x" delegation { mode: DELEGATION_MODE_ALLOWED }',
      'authenticated: "x" token_use: TOKEN_USE_SINGLE_USE',
      'authenticated: "x" max_token_age { seconds: 1 }',
      'authenticated: "x" audit { required: true }',
      'authenticated: "x" audit { level: AUDIT_LEVEL_REFUSED }',
    ];
    const digests = await Promise.all(values.map((value) => digestOf(tasksProto(annotated(value)))));
    expect(new Set(digests).size).to.equal(values.length);
  });
});

function shapesOf(services: readonly ServiceModel[]): Record<string, Record<string, unknown>[]> {
  const shapes: Record<string, Record<string, unknown>[]> = {};
  const visit = (message: MessageModel): void => {
    if (shapes[message.typeName] !== undefined) return;
    const fields = [...message.fields.values()];
    shapes[message.typeName] = fields.map(({ message: inner, enumNames, ...rest }) => ({
      ...rest,
      message: inner?.().typeName ?? null,
      enums: enumNames === null ? null : [...enumNames].map(([number, name]) => `${number}=${name}`).join(' '),
    }));
    for (const field of fields) if (field.message !== null) visit(field.message());
  };
  for (const service of services) for (const method of service.methods) visit(method.input);
  return shapes;
}
