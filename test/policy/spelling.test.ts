import { create, createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { expect } from 'chai';
import protobuf from 'protobufjs';
import { protobufEsName, protobufjsName, spellingsOf } from '#dist/policy/spelling.js';
import { compileTemplate, eachResource } from '#dist/policy/template.js';
import { modelOf } from './shapes.js';

const NAMES = [
  'project_id',
  'projectId',
  'my_part_1',
  'my_1_part',
  'a__b',
  'trailing_',
  '_leading',
  '__two',
  'Upper_Case',
  'UPPER_CASE',
  'x_1a',
  'constructor',
  'to_string',
  'value_of',
];

describe('policy/spelling', () => {
  for (const name of NAMES) {
    it(`${name} is spelled as protobuf-es and protobufjs spell it`, () => {
      const set = create(FileDescriptorSetSchema, {
        file: [
          create(FileDescriptorProtoSchema, {
            name: 'x.proto',
            syntax: 'proto3',
            messageType: [{ name: 'M', field: [{ name, number: 1, type: 9, label: 1 }] }],
          }),
        ],
      });
      expect(protobufEsName(name)).to.equal(createFileRegistry(set).getMessage('M')?.fields[0]?.localName);
      const { root } = protobuf.parse(`syntax = "proto3"; message M { string ${name} = 1; }`);
      expect(protobufjsName(name)).to.equal(root.lookupType('M').fieldsArray[0]?.name);
      expect(spellingsOf(name)[0]).to.equal(name);
    });
  }

  const problem = (proto: string, text: string): string | null => {
    const { root } = protobuf.parse(`syntax = "proto3"; ${proto}`, { keepCase: true });
    const compiled = compileTemplate(text, modelOf(root.resolveAll().lookupType('M')));
    return 'problem' in compiled ? compiled.problem : null;
  };

  it('refuses a template over a field that a loader could confuse with another', () => {
    const two = 'message M { string project_id = 1; string projectId = 2; string other = 3; }';
    expect(problem(two, 'p/{project_id}')).to.match(/'project_id' and 'projectId'/);
    expect(problem(two, 'p/{projectId}')).to.match(/'projectId' and 'project_id'/);
    expect(problem(two, 'p/{other}')).to.equal(null);
    const oneof = 'message M { string the_key = 1; oneof theKey { string a = 2; string b = 3; } }';
    expect(problem(oneof, 'p/{the_key}')).to.match(/'the_key' and 'theKey'/);
    expect(problem(oneof, 'p/{a}')).to.equal(null);
  });

  it('reads a oneof of protobuf-es under its own names', () => {
    const text = 'message M { oneof the_key_1 { string name_1 = 1; string other = 2; } }';
    const { root } = protobuf.parse(`syntax = "proto3"; ${text}`, { keepCase: true });
    const type = root.resolveAll().lookupType('M');
    const compiled = compileTemplate('n/{name_1}', modelOf(type));
    if ('problem' in compiled) throw new Error(compiled.problem);
    const set = create(FileDescriptorSetSchema, {
      file: [
        create(FileDescriptorProtoSchema, {
          name: 'x.proto',
          syntax: 'proto3',
          messageType: [
            {
              name: 'M',
              oneofDecl: [{ name: 'the_key_1' }],
              field: [
                { name: 'name_1', number: 1, type: 9, label: 1, oneofIndex: 0 },
                { name: 'other', number: 2, type: 9, label: 1, oneofIndex: 0 },
              ],
            },
          ],
        }),
      ],
    });
    const schema = createFileRegistry(set).getMessage('M');
    if (schema === undefined) throw new Error('no message');
    const named = (value: object): string[] | string => {
      const found: string[] = [];
      const bytes = type.encode(type.fromObject(value)).finish();
      const denial = eachResource(compiled, fromBinary(schema, bytes), (segments) => {
        found.push(segments.join('/'));
        return null;
      });
      return denial?.reason ?? found;
    };
    expect(named({ name_1: 'x' })).to.deep.equal(['n/x']);
    expect(named({ other: 'x' })).to.equal('RESOURCE_EMPTY');
  });
});
