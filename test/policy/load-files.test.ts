import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { create, fromBinary, toBinary } from '@bufbuild/protobuf';
import { WireType } from '@bufbuild/protobuf/wire';
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldDescriptorProtoSchema,
  type FileDescriptorSet,
  FileDescriptorSetSchema,
} from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import { loadPolicy, type PolicySource } from '#dist/policy/load.js';
import { loadProtos } from '#dist/policy/load-protos.js';
import {
  allSources,
  annotated,
  descriptorSet,
  type ProtoDir,
  type ProtoTexts,
  problemsOf,
  protoDir,
  servicesOf,
  tasksProto,
} from './fixtures.js';

const OPEN = annotated('authenticated: "x"');
const HEALTH = `syntax = "proto3"; package grpc.health.v1; message Ping {}
  service Health { rpc Check(Ping) returns (Ping); rpc Watch(Ping) returns (stream Ping); }`;

const dirs: ProtoDir[] = [];

async function dirOf(texts: ProtoTexts, withOptions = false): Promise<ProtoDir> {
  const dir = await protoDir(texts, withOptions);
  dirs.push(dir);
  return dir;
}

afterEach(() => Promise.all(dirs.splice(0).map((dir) => dir.remove())));

describe('loadPolicy: the source', () => {
  it('is exactly one of three', async () => {
    expect(await problemsOf(loadPolicy({} as PolicySource))).to.deep.equal([
      'source: none of descriptorSet, protos and services is given',
    ]);
    const two = { protos: [], services: [] } as PolicySource;
    expect((await problemsOf(loadPolicy(two))).join()).to.match(/more than one of/);
  });

  it('has a method in it', async () => {
    const dir = await dirOf({ 'a.proto': tasksProto('') });
    for (const source of [{ protos: [join(dir.path, 'a.proto')] }, { protos: [] }, { services: [] }]) {
      expect(await problemsOf(loadPolicy(source))).to.deep.equal(['source: there is no method in it']);
    }
  });
});

describe('loadPolicy: descriptor sets', function () {
  this.timeout(30_000);
  let bytes: Uint8Array;
  let set: () => FileDescriptorSet;

  before(async () => {
    const dir = await protoDir({ 'a.proto': tasksProto(OPEN) });
    bytes = await descriptorSet(dir);
    set = () => fromBinary(FileDescriptorSetSchema, bytes);
    await dir.remove();
  });

  const load = (changed: FileDescriptorSet) =>
    loadPolicy({ descriptorSet: toBinary(FileDescriptorSetSchema, changed) });
  const file = (of: FileDescriptorSet) => of.file.find(({ name }) => name === 'a.proto') ?? never();

  it('load from bytes and from a file', async () => {
    const dir = await dirOf({});
    const path = join(dir.path, 'api.binpb');
    await writeFile(path, bytes);
    const [fromFile, fromBytes] = [
      await loadPolicy({ descriptorSet: path }),
      await loadPolicy({ descriptorSet: bytes }),
    ];
    expect(fromFile.digest).to.equal(fromBytes.digest);
    expect((await load(set())).digest).to.equal(fromBytes.digest);
  });

  it('are refused by name when they cannot be read', async () => {
    const dir = await dirOf({ 'a.proto': tasksProto(OPEN) });
    const missing = join(dir.path, 'nothing.binpb');
    expect(await problemsOf(loadPolicy({ descriptorSet: missing }))).to.deep.equal([
      `${missing}: the file cannot be read (ENOENT)`,
    ]);
    const text = join(dir.path, 'a.proto');
    expect(await problemsOf(loadPolicy({ descriptorSet: text }))).to.deep.equal([
      `${text}: this is not a descriptor set`,
    ]);
  });

  it('are refused when empty, cut off or random', async () => {
    for (const descriptorSet of [
      new Uint8Array(),
      bytes.subarray(0, bytes.length - 9),
      new Uint8Array(64).fill(0xff),
    ]) {
      expect(await problemsOf(loadPolicy({ descriptorSet }))).to.deep.equal([
        'descriptorSet: this is not a descriptor set',
      ]);
    }
  });

  it('are refused without their imports', async () => {
    const changed = set();
    changed.file = changed.file.filter(({ name }) => name === 'a.proto');
    expect((await problemsOf(load(changed))).join()).to.equal(
      'descriptorSet: imports are missing: zerotrust/v1/options.proto',
    );
  });

  it('are refused with a file, or a name, in them twice', async () => {
    const again = set();
    again.file.push(file(set()));
    expect((await problemsOf(load(again))).join()).to.match(/a file is in the set twice/);
    const copy = set();
    copy.file.push({ ...file(set()), name: 'b.proto' });
    expect((await problemsOf(load(copy))).join()).to.match(/tasks\.v1\.\w+ is defined in two files/);
  });

  /** The set with these bytes as the annotation (length first, as in the encoding). */
  const withAnnotation = (data: readonly number[]): FileDescriptorSet => {
    const changed = set();
    const options = file(changed).service[0]?.method[0]?.options ?? never();
    options.$unknown = [{ no: 78025, wireType: WireType.LengthDelimited, data: Uint8Array.from(data) }];
    return changed;
  };

  it('are refused with an unknown field in an annotation, at any depth', async () => {
    expect((await load(withAnnotation([3, 0x12, 1, 0x41]))).rules.size).to.equal(1);
    // Field 99 (varint 1), at the top; field 9 in `delegation` (field 5).
    for (const [data, where] of [
      [[3, 0x98, 0x06, 1], 'field 99'],
      [[4, 0x2a, 2, 0x48, 1], 'delegation.field 9'],
      [[2, 0x30, 9], 'token_use = 9'],
    ] as const) {
      expect((await problemsOf(load(withAnnotation(data)))).join('\n')).to.include(
        `this version does not know: ${where}`,
      );
    }
  });

  it('are refused with an annotation that cannot be decoded', async () => {
    const problems = await problemsOf(load(withAnnotation([3, 0x12, 9, 0x41])));
    expect(problems.join('\n')).to.include('(zerotrust.v1.method) cannot be decoded');
  });

  it('are refused when our number is the number of another option', async () => {
    const extension = (name: string, number: number) =>
      create(FieldDescriptorProtoSchema, {
        name,
        number,
        label: FieldDescriptorProto_Label.OPTIONAL,
        type: FieldDescriptorProto_Type.STRING,
        extendee: '.google.protobuf.MethodOptions',
      });
    for (const [name, number, refused] of [
      ['other', 78025, true],
      ['other', 78026, false],
    ] as const) {
      const changed = set();
      const own = file(changed);
      own.dependency.push('google/protobuf/descriptor.proto');
      own.extension.push(extension(name, number));
      if (refused) {
        expect((await problemsOf(load(changed))).join()).to.match(/tasks\.v1\.other .*extension 78025/);
      } else expect((await load(changed)).rules.size).to.equal(1);
    }
  });

  it('are refused when built against options that are numbered otherwise', async () => {
    const changed = set();
    const options = changed.file.find(({ name }) => name === 'zerotrust/v1/options.proto') ?? never();
    const fields = options.messageType.find(({ name }) => name === 'MethodPolicy')?.field ?? never();
    const [authenticated, mtlsOnly] = [fields[1] ?? never(), fields[2] ?? never()];
    [authenticated.number, mtlsOnly.number] = [mtlsOnly.number, authenticated.number];
    expect((await problemsOf(load(changed))).join('\n')).to.match(/MethodPolicy\.authenticated .*field 3 is mtls_only/);
  });

  it('and generated services are refused when a service is given twice', async () => {
    const services = servicesOf(bytes);
    expect((await loadPolicy({ services })).rules.size).to.equal(1);
    expect((await problemsOf(loadPolicy({ services: [...services, ...services] }))).join()).to.match(
      /\/tasks\.v1\.Tasks\/Get .*defined twice/,
    );
  });
});

describe('loadPolicy: .proto files', () => {
  const shared = 'syntax = "proto3"; package shared; message Ref { string id = 1; }';
  const using = (path: string, type: string) => `syntax = "proto3"; package app; import "${path}";
    import "zerotrust/v1/options.proto"; import "google/protobuf/empty.proto"; import "google/protobuf/struct.proto";
    service S { rpc Get(${type}) returns (google.protobuf.Value) { option (zerotrust.v1.method).authenticated = "x"; } }`;

  it('need neither our options nor google/protobuf beside them', async () => {
    const dir = await dirOf({ 'a.proto': tasksProto(OPEN, 'import "google/protobuf/timestamp.proto";') });
    expect((await loadPolicy({ protos: [join(dir.path, 'a.proto')] })).rules.size).to.equal(1);
  });

  it('find imports in includeDirs, beside the importing file, and among our own', async () => {
    const dir = await dirOf({
      'inc/lib/shared.proto': shared,
      'src/shared.proto': shared,
      'src/included.proto': using('lib/shared.proto', 'shared.Ref'),
      'src/beside.proto': using('shared.proto', 'shared.Ref'),
      'src/deep/above.proto': using('../shared.proto', 'shared.Ref'),
      'src/own.proto': using('zerotrust/v1/session.proto', 'zerotrust.v1.RenewRequest'),
    });
    const includeDirs = [join(dir.path, 'inc')];
    for (const name of ['included', 'beside', 'deep/above', 'own']) {
      const { rules } = await loadPolicy({ protos: [join(dir.path, `src/${name}.proto`)], includeDirs });
      expect([...rules.keys()], name).to.include('/app.S/Get');
    }
    const named = await loadPolicy({
      protos: ['included.proto'],
      includeDirs: [...includeDirs, join(dir.path, 'src')],
    });
    expect(named.rules.size).to.equal(1);
  });

  it('are refused by name when one, or an import of one, is not there', async () => {
    const dir = await dirOf({ 'a.proto': using('lib/nothing.proto', 'shared.Ref') });
    const [entry, missing] = [join(dir.path, 'a.proto'), join(dir.path, 'b.proto')];
    expect(await problemsOf(loadPolicy({ protos: [missing, entry] }))).to.deep.equal([
      `${missing}: there is no such file`,
      `${entry}: the import "lib/nothing.proto" is not found`,
    ]);
  });

  it('are refused when they are not text, or not proto', async () => {
    const dir = await dirOf({ 'a.proto': 'syntax = "proto3"; message {', 'b.proto': '' });
    await writeFile(join(dir.path, 'b.proto'), Uint8Array.from([0xff, 0xfe, 0x00]));
    const problems = await problemsOf(
      loadPolicy({ protos: ['a.proto', 'b.proto'].map((name) => join(dir.path, name)) }),
    );
    expect(problems).to.have.length(2);
    expect(problems[0]).to.match(/a\.proto:1: this cannot be parsed/);
    expect(problems[1]).to.match(/b\.proto: the file cannot be read as UTF-8 text/);
  });

  it('mean what our options mean, whatever copy of them lies around', async () => {
    const copy = `syntax = "proto3"; package zerotrust.v1; import "google/protobuf/descriptor.proto";
      extend google.protobuf.MethodOptions { optional Open method = 78025; } message Open { bool everyone = 1; }`;
    const dir = await dirOf({
      'zerotrust/v1/options.proto': copy,
      'a.proto': tasksProto(annotated('everyone: true')),
      'b.proto': tasksProto(OPEN),
    });
    const load = (name: string) => loadPolicy({ protos: [join(dir.path, name)], includeDirs: [dir.path] });
    expect((await problemsOf(load('a.proto'))).join('\n')).to.match(/\.everyone: there is no such field/);
    expect((await load('b.proto')).rules.size).to.equal(1);
  });

  it('may be copies of ours among the files, or files that only share their name', async () => {
    const texts = {
      'a.proto': tasksProto(OPEN),
      'acme/zerotrust/v1/options.proto': tasksProto(OPEN, '').replaceAll('tasks.v1', 'acme.x'),
    };
    const dir = await dirOf(texts, true);
    const protos = ['zerotrust/v1/options.proto', ...Object.keys(texts)].map((name) => join(dir.path, name));
    const policy = await loadPolicy({ protos });
    expect([...policy.rules.keys()]).to.deep.equal(['/tasks.v1.Tasks/Get', '/acme.x.Tasks/Get']);
  });

  it('resolve types by scope and import, as protoc does', async () => {
    const head = 'syntax = "proto3"; package acme.app; import "zerotrust/v1/options.proto";';
    const body = 'service S { rpc Get(Ref) returns (Ref) { option (zerotrust.v1.method).authenticated = "x"; } }';
    const dir = await dirOf({
      'outer.proto': 'syntax = "proto3"; package acme; message Ref { string right = 1; }',
      // Of the inner package, but not imported by a.proto.
      'inner.proto': 'syntax = "proto3"; package acme.app; message Ref { string wrong = 1; }',
      'a.proto': `${head} import "outer.proto"; ${body}`,
      'b.proto': `${head} ${body}`,
    });
    const protos = (...names: string[]) => names.map((name) => join(dir.path, name));
    const { services, problems: none } = await loadProtos(protos('inner.proto', 'a.proto'), []);
    expect(none).to.deep.equal([]);
    expect([...(services[0]?.methods[0]?.input.fields.keys() ?? [])]).to.deep.equal(['right']);
    const problems = await problemsOf(loadPolicy({ protos: protos('inner.proto', 'outer.proto', 'b.proto') }));
    expect(problems.join('\n')).to.match(/\/acme\.app\.S\/Get .*the type Ref is not defined/);
  });

  it('are refused when two of them define one name, and may be named twice', async () => {
    const dir = await dirOf({ 'a.proto': tasksProto(OPEN), 'b.proto': tasksProto(OPEN) });
    const [a, b] = [join(dir.path, 'a.proto'), join(dir.path, 'b.proto')];
    expect((await problemsOf(loadPolicy({ protos: [a, b] }))).join('\n')).to.match(
      /tasks\.v1\.Tasks is also defined in/,
    );
    expect(
      (await loadPolicy({ protos: [a, a, join(dir.path, '../', dir.path.split('/').at(-1) ?? '', 'a.proto')] })).rules
        .size,
    ).to.equal(1);
  });
});

describe('loadPolicy: vendor services', function () {
  this.timeout(30_000);

  it('are skipped while unannotated, from every source', async () => {
    const dir = await dirOf({ 'a.proto': tasksProto(OPEN), 'grpc/health.proto': HEALTH }, true);
    for (const source of Object.values(await allSources(dir, ['a.proto', 'grpc/health.proto']))) {
      expect([...(await loadPolicy(source)).rules.keys()]).to.deep.equal(['/tasks.v1.Tasks/Get']);
    }
  });

  it('are an API like any other once annotated, and total', async () => {
    const half = HEALTH.replace('package', 'import "zerotrust/v1/options.proto"; package').replace(
      'returns (Ping);',
      'returns (Ping) { option (zerotrust.v1.method).authenticated = "x"; }',
    );
    const dir = await dirOf({ 'health.proto': half });
    const problems = await problemsOf(loadPolicy({ protos: [join(dir.path, 'health.proto')] }));
    expect(problems).to.have.length(1);
    expect(problems[0]).to.match(/^\/grpc\.health\.v1\.Health\/Watch .*no annotation/);
  });

  it('do not lend their exemption to services that merely look like them', async () => {
    const dir = await dirOf({ 'health.proto': HEALTH.replace('grpc.health.v1', 'acme.grpc.health.v1') });
    expect(await problemsOf(loadPolicy({ protos: [join(dir.path, 'health.proto')] }))).to.have.length(2);
  });
});

function never(): never {
  throw new Error('not reached');
}
