import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { create, createFileRegistry, type DescMessage, fromBinary, type Message } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import * as loader from '@grpc/proto-loader';
import { expect } from 'chai';
import { PROTO, Request, resources } from './shapes.js';

type Decode = (bytes: Uint8Array) => object;

describe('policy/value', () => {
  const folder = mkdtempSync(join(tmpdir(), 'shapes-'));
  const decoders = new Map<string, Decode>();

  before(() => {
    const file = join(folder, 'shapes.proto');
    writeFileSync(file, `${PROTO}\nservice S { rpc M(Request) returns (Request); }`);
    for (const keepCase of [true, false]) {
      for (const longs of [String, Number, undefined]) {
        for (const enums of [String, undefined]) {
          for (const defaults of [true, false]) {
            for (const oneofs of [true, false]) {
              const options = { keepCase, defaults, oneofs, ...(longs && { longs }), ...(enums && { enums }) };
              const service = loader.loadSync(file, options)['shapes.S'] as loader.ServiceDefinition;
              const name = JSON.stringify({ ...options, longs: longs?.name, enums: enums?.name });
              const method = service['M'] as { requestDeserialize: (bytes: Buffer) => object };
              decoders.set(`proto-loader ${name}`, (bytes) => method.requestDeserialize(Buffer.from(bytes)));
            }
          }
        }
      }
    }
    decoders.set('protobufjs instances', (bytes) => Request.decode(bytes));
    const set = execFileSync('node_modules/.bin/buf', [
      'build',
      folder,
      '--as-file-descriptor-set',
      '-o',
      '-#format=binpb',
    ]);
    const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
    const schema = registry.getMessage('shapes.Request') as DescMessage;
    decoders.set('protobuf-es', (bytes) => fromBinary(schema, bytes) as Message);
    expect(create(schema)).to.be.an('object');
  });
  after(() => rmSync(folder, { recursive: true }));

  const cases: readonly [string, Record<string, unknown>, string, string | string[]][] = [
    ['a string', { project_id: '7' }, 'projects/{project_id}', ['projects/7']],
    ['an empty string', { project_id: '' }, 'projects/{project_id}', 'RESOURCE_EMPTY'],
    ['an unset string', { number: 1 }, 'projects/{project_id}', 'RESOURCE_EMPTY'],
    ['an int64', { big_number: 42 }, 'n/{big_number}', ['n/42']],
    ['a negative int64', { big_number: -42 }, 'n/{big_number}', ['n/-42']],
    ['a uint64', { unsigned_number: 4_000_000_000 }, 'n/{unsigned_number}', ['n/4000000000']],
    ['a zero', { number: 0 }, 'n/{number}', 'RESOURCE_EMPTY'],
    ['an enum', { tier: 1 }, 't/{tier}', ['t/TIER_GOLD']],
    ['an unspecified enum', { tier: 0, number: 1 }, 't/{tier}', 'RESOURCE_EMPTY'],
    ['an unknown enum value', { tier: 99 }, 't/{tier}', 'RESOURCE_INVALID'],
    ['a nested field', { inner: { the_id: 'x' } }, 'i/{inner.the_id}', ['i/x']],
    ['a missing message', { number: 1 }, 'i/{inner.the_id}', 'RESOURCE_EMPTY'],
    [
      'each of a repeated message',
      { project_id: '7', many_inner: [{ the_id: 'a' }, { the_id: 'b' }] },
      'p/{project_id}/i/{many_inner.the_id}',
      ['p/7/i/a', 'p/7/i/b'],
    ],
    ['an empty element', { many_inner: [{ the_id: 'a' }, {}] }, 'i/{many_inner.the_id}', 'RESOURCE_EMPTY'],
    ['no elements', { number: 1 }, 'i/{many_inner.the_id}', 'RESOURCE_EMPTY'],
    ['each of a repeated string', { names: ['a', 'b'] }, 'n/{names}', ['n/a', 'n/b']],
    ['a member of a oneof', { by_name: 'x' }, 'w/{by_name}', ['w/x']],
    ['a number in a oneof', { by_number: 5 }, 'w/{by_number}', ['w/5']],
    ['a message in a oneof', { by_inner: { the_id: 'x' } }, 'w/{by_inner.the_id}', ['w/x']],
    ['the other member of a oneof', { by_number: 5 }, 'w/{by_name}', 'RESOURCE_EMPTY'],
    ['a name with a digit', { my_part_1: 'x' }, 'd/{my_part_1}', ['d/x']],
    ['a name with two underscores', { a__b: 'x' }, 'd/{a__b}', ['d/x']],
    ['an optional field', { maybe: 'x' }, 'm/{maybe}', ['m/x']],
    ['an unset optional field', { number: 1 }, 'm/{maybe}', 'RESOURCE_EMPTY'],
    ...['a/b', '..', '.', '-', '*', '**', 'a%2Fb', 'a\\b', 'a\u0000', 'a\nb', '\ufffd'].map(
      (bad): [string, Record<string, unknown>, string, string] => [
        `the text ${JSON.stringify(bad)}`,
        { project_id: bad },
        'projects/{project_id}',
        'RESOURCE_INVALID',
      ],
    ),
  ];

  for (const [name, value, text, expected] of cases) {
    it(`${name}: ${text} gives ${JSON.stringify(expected)}, whatever made the object`, () => {
      const bytes = Request.encode(Request.fromObject(value)).finish();
      expect(decoders.size).to.be.greaterThan(40);
      for (const [loaderName, decode] of decoders) {
        expect(resources(text, decode(bytes)), loaderName).to.deep.equal(expected);
      }
    });
  }

  it('denies an int64 that a loader rounded, and reads the same exactly where it did not', () => {
    const bytes = Request.encode(Request.fromObject({ big_number: '9007199254740993' })).finish();
    for (const [name, decode] of decoders) {
      const rounded = name.includes('"longs":"Number"');
      expect(resources('n/{big_number}', decode(bytes)), name).to.deep.equal(
        rounded ? 'RESOURCE_INVALID' : ['n/9007199254740993'],
      );
    }
  });

  it('denies two members of one oneof where the loader lets both through, and never takes the wrong one', () => {
    const first = Request.encode(Request.fromObject({ by_name: 'mine' })).finish();
    const second = Request.encode(Request.fromObject({ by_number: 666 })).finish();
    const both = Buffer.concat([first, second]);
    let denied = 0;
    for (const [name, decode] of decoders) {
      const found = resources('w/{by_name}', decode(both));
      expect(found, name).to.be.oneOf(['RESOURCE_INVALID', 'RESOURCE_EMPTY']);
      if (found === 'RESOURCE_INVALID') denied += 1;
    }
    expect(denied).to.be.greaterThan(0);
  });

  it('reads own properties only, of known shapes only', () => {
    expect(resources('projects/{project_id}', Object.create({ project_id: '7' }))).to.equal('RESOURCE_EMPTY');
    expect(resources('projects/{project_id}', { array: ['7'], getProjectId: () => '7' })).to.equal('RESOURCE_INVALID');
    expect(resources('projects/{project_id}', { project_id: '7', projectId: '8' })).to.equal('RESOURCE_INVALID');
    expect(resources('projects/{project_id}', { project_id: '7', projectId: '7' })).to.deep.equal(['projects/7']);
    for (const odd of [null, undefined, 'text', 7])
      expect(resources('projects/{project_id}', odd)).to.equal('RESOURCE_INVALID');
    for (const odd of [7, true, ['7'], { toString: () => '7' }]) {
      expect(resources('projects/{project_id}', { project_id: odd })).to.equal('RESOURCE_INVALID');
    }
    expect(resources('i/{inner.the_id}', { inner: 'text' })).to.equal('RESOURCE_INVALID');
    expect(resources('i/{many_inner.the_id}', { many_inner: { 0: { the_id: 'a' }, length: 1 } })).to.equal(
      'RESOURCE_INVALID',
    );
    for (const odd of [0.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 53, '1e3', '0x1', '01', '-0', '١']) {
      expect(resources('n/{number}', { number: odd }), String(odd)).to.equal('RESOURCE_INVALID');
    }
  });
});
