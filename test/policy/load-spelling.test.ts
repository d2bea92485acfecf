import { expect } from 'chai';
import { loadPolicy } from '#dist/policy/load.js';
import { allSources, annotated, plainRules, problemsOf, protoDir, rpc, tasksProto } from './fixtures.js';

const HEAD = 'syntax = "proto3"; import "zerotrust/v1/options.proto"; import "google/protobuf/descriptor.proto";';

/** A file of another package with one method. */
function inPackage(name: string, options: string, more = ''): string {
  return `${HEAD} package ${name}; ${more} message M { string a = 1; } service S { rpc Get(M) returns (M) { ${options} } }`;
}

const OTHER = 'extend google.protobuf.MethodOptions { string method = 50001; } ';

/** What `buf` accepts, loads with the same result from plain .proto files. Each stands in a package of its own. */
const GOOD: Readonly<Record<string, string>> = {
  absolute: inPackage('good.absolute', 'option (.zerotrust.v1.method) = { authenticated: "x" };'),
  qualified: inPackage('good.qualified', 'option (zerotrust.v1.method) = { authenticated: "x" };'),
  relative: inPackage('zerotrust.relative', 'option (v1.method) = { authenticated: "x" };'),
  simple: inPackage('zerotrust.v1.simple', 'option (method) = { authenticated: "x" };'),
  dotted: inPackage('good.dotted', 'option (zerotrust.v1.method).authenticated = "x";'),
  spaced: inPackage('good.spaced', 'option ( zerotrust.v1.method ) . authenticated = "x" ;'),
  commented: inPackage(
    'good.commented',
    'option/*a*/(zerotrust.v1.method)/*b*/=/*c*/{authenticated/*d*/:"x"//e\n"y"};',
  ),
  aggregateThenDotted: inPackage(
    'good.both',
    'option (zerotrust.v1.method) = { authenticated: "x" }; option (zerotrust.v1.method).callers = "spiffe://a.b/c";',
  ),
  dottedList: inPackage(
    'good.list',
    'option (zerotrust.v1.method).require = { permission: "a.b" }; option (zerotrust.v1.method).require = { permission: "a.c" };',
  ),
  oneInsteadOfList: inPackage('good.one', 'option (zerotrust.v1.method) = { require: { permission: "a.b" } };'),
  emptyList: inPackage('good.none', 'option (zerotrust.v1.method) = { authenticated: "x" callers: [] };'),
  separators: inPackage(
    'good.separators',
    'option (zerotrust.v1.method) = { authenticated: "x"; callers: "spiffe://a.b/c", callers: "spiffe://a.b/d"; };',
  ),
  numericEnum: inPackage('good.number', 'option (zerotrust.v1.method) = { authenticated: "x" token_use: 2 };'),
  numbers: inPackage(
    'good.numbers',
    'option (zerotrust.v1.method) = { authenticated: "x" max_token_age: { seconds: 0x3c nanos: 07 } };',
  ),
  shortBooleans: inPackage('good.bool', 'option (zerotrust.v1.method) = { authenticated: "x" audit { required: t } };'),
  besideAnother: inPackage(
    'good.beside',
    'option (good.beside.method) = "x"; option (zerotrust.v1.method) = { authenticated: "y" };',
    OTHER,
  ),
  shadowedPackage: inPackage('good.zerotrust', 'option (.zerotrust.v1.method) = { authenticated: "x" };'),
  text: inPackage(
    'good.text',
    'option (zerotrust.v1.method) = { authenticated: "caf\u00e9 \u65e5 // not a comment" };',
  ),
  commentTrap: inPackage(
    'good.comment',
    '/*/ option (zerotrust.v1.method) = { mtls_only: "x" }; /*/ option (zerotrust.v1.method) = { authenticated: "x" };',
  ),
  editions: `edition = "2023"; import "zerotrust/v1/options.proto"; package good.editions; message M { string a = 1; }
    service S { rpc Get(M) returns (M) { option (zerotrust.v1.method) = { authenticated: "x" }; } }`,
  proto2: `syntax = "proto2"; import "zerotrust/v1/options.proto"; package good.two;
    message M { required string a = 1; optional group G = 2 { optional string b = 1; } extensions 100 to 200; }
    extend M { optional string more = 100; }
    service S { rpc Get(M) returns (M) { option (zerotrust.v1.method) = { authenticated: "x" }; } }`,
};

describe('loadPolicy: spellings', function () {
  this.timeout(30_000);

  it('reads every spelling that buf accepts as buf does', async () => {
    const files = Object.fromEntries(Object.entries(GOOD).map(([name, text]) => [`${name}.proto`, text]));
    const dir = await protoDir(files);
    try {
      const sources = await allSources(dir, Object.keys(files));
      const expected = await loadPolicy(sources.descriptorSet ?? never());
      expect(expected.rules.size).to.equal(Object.keys(GOOD).length);
      for (const source of Object.values(sources)) {
        const policy = await loadPolicy(source);
        expect(plainRules(policy)).to.deep.equal(plainRules(expected));
        expect(policy.digest).to.equal(expected.digest);
      }
    } finally {
      await dir.remove();
    }
  });

  it('leaves an option of another package that ends in .method alone, from every source', async () => {
    const dir = await protoDir({ 'a.proto': inPackage('acme.v1', 'option (v1.method) = "x";', OTHER) });
    try {
      for (const source of Object.values(await allSources(dir, ['a.proto']))) {
        const problems = await problemsOf(loadPolicy(source));
        expect(problems).to.have.length(1);
        expect(problems[0]).to.match(/\/acme\.v1\.S\/Get .*the method has no annotation/);
      }
    } finally {
      await dir.remove();
    }
  });

  const bad: readonly (readonly [string, string, RegExp])[] = [
    ['a misspelt field', annotated('authenticatd: "x"'), /\.authenticatd: there is no such field/],
    ['a field name in camel case', annotated('mtlsOnly: "x"'), /\.mtlsOnly: there is no such field/],
    [
      'a misspelt field deep inside',
      annotated('require { permision: "a.b" }'),
      /require\.permision: there is no such field/,
    ],
    ['an unknown enum value', annotated('authenticated: "x" token_use: ONCE'), /token_use: "ONCE" is not one of/],
    ['an unknown enum number', annotated('authenticated: "x" token_use: 7'), /token_use: 7 is not one of/],
    [
      'an enum value in quotes',
      annotated('authenticated: "x" token_use: "TOKEN_USE_SINGLE_USE"'),
      /token_use: .* is not one of/,
    ],
    ['a number for a string', annotated('authenticated: 5'), /authenticated: 5 is not a string/],
    ['a bare word for a string', annotated('authenticated: because'), /authenticated: "because" is not a string/],
    [
      'a string for a boolean',
      annotated('authenticated: "x" audit { required: "true" }'),
      /required: "true" is not true or false/,
    ],
    [
      'a string for a message',
      annotated('authenticated: "x" max_token_age: "60s"'),
      /max_token_age: "60s" is not a message/,
    ],
    [
      'a fraction of a second',
      annotated('authenticated: "x" max_token_age { seconds: 1.5 }'),
      /seconds: 1\.5 is not an exact integer/,
    ],
    [
      'a number beyond exactness',
      annotated('authenticated: "x" max_token_age { seconds: 9007199254740993 }'),
      /is not an exact integer/,
    ],
    [
      'a string set twice',
      annotated('authenticated: "x" authenticated: "y"'),
      /authenticated: the field is set more than once/,
    ],
    [
      'a string set twice, once empty',
      annotated('authenticated: "" authenticated: "y"'),
      /authenticated: the field is set more than once/,
    ],
    [
      'a message set twice',
      annotated('authenticated: "x" delegation {} delegation {}'),
      /delegation: the field is set more than once/,
    ],
    [
      'a singular field as a list',
      annotated('authenticated: "x" delegation: [{}]'),
      /delegation: the field is set more than once/,
    ],
    ['an extension inside the option', annotated('authenticated: "x" [a.b]: 1'), /\[a\.b\]: there is no such field/],
    [
      'the option twice',
      rpc('option (zerotrust.v1.method) = { authenticated: "x" }; option (zerotrust.v1.method) = {};'),
      /set more than once/,
    ],
    [
      'two spellings of the option',
      rpc(
        'option (zerotrust.v1.method).authenticated = "x"; option (.zerotrust.v1.method).callers = "spiffe://a.b/c";',
      ),
      /set more than once: \(zerotrust\.v1\.method\), \(\.zerotrust\.v1\.method\)/,
    ],
    [
      'a dotted field set twice',
      rpc('option (zerotrust.v1.method).authenticated = "x"; option (zerotrust.v1.method).authenticated = "y";'),
      /more than once/,
    ],
    [
      'a dotted name into nothing',
      rpc('option (zerotrust.v1.method).authenticated = "x"; option (zerotrust.v1.method).constructor = "y";'),
      /a name that the parser drops/,
    ],
    ['a dropped name', annotated('authenticated: "x" __proto__: "y"'), /a name that the parser drops/],
    [
      'a dotted name into a list',
      rpc(
        'option (zerotrust.v1.method).require = { permission: "a.b" }; option (zerotrust.v1.method).require = { permission: "a.c" }; option (zerotrust.v1.method).require.permission = "x.y";',
      ),
      /part of a list is set by name/,
    ],
    ['the option as a scalar', rpc('option (zerotrust.v1.method) = "x";'), /"x" is not a message/],
    ['a unicode escape', annotated('authenticated: "\\u0042"'), /an escape that is misread/],
    [
      'a unicode escape in a permission',
      annotated('require { permission: "a.\\u0062" }'),
      /permission: the string has an escape/,
    ],
    ['bytes of UTF-8 as escapes', annotated('authenticated: "\\xc3\\xa9"'), /an escape that is misread/],
    ['octal bytes of UTF-8', annotated('authenticated: "\\303\\251"'), /an escape that is misread/],
    ['angle brackets', annotated('require < permission: "a.b" >'), /a\.proto:\d+: this cannot be parsed/],
    ['a string over two lines', annotated('authenticated: "x\ny"'), /a string or comment that does not end/],
    [
      'our service option in an rpc',
      rpc('option (zerotrust.v1.service) = {}; option (zerotrust.v1.method).authenticated = "x";'),
      /does not belong here/,
    ],
    [
      'our service option in a file',
      `}\noption (zerotrust.v1.service) = {};\nservice Two {${annotated('authenticated: "x"')}`,
      /does not belong here/,
    ],
    [
      'our service option in a message',
      `}\nmessage Z { option (zerotrust.v1.service) = {}; }\nservice Two {${annotated('authenticated: "x"')}`,
      /does not belong here/,
    ],
    [
      'an option nobody defines',
      rpc('option (acme.method) = "x"; option (zerotrust.v1.method).authenticated = "x";'),
      /the option \(acme\.method\) is not defined/,
    ],
    [
      'a misspelt field option',
      `${annotated('authenticated: "x"')}}\nmessage Z { string a = 1 [(zerotrust.v1.field).sensitiv = true];`,
      /sensitiv: there is no such field/,
    ],
    [
      'a field option shadowed away',
      `${annotated('authenticated: "x"')}}\nmessage Z { message zerotrust {} string a = 1 [(zerotrust.v1.field).sensitive = true];`,
      /is not defined/,
    ],
  ];
  for (const [name, body, expected] of bad) {
    it(`refuses ${name}`, async () => {
      const dir = await protoDir({ 'a.proto': tasksProto(body) }, false);
      try {
        const problems = await problemsOf(loadPolicy({ protos: [`${dir.path}/a.proto`] }));
        expect(problems.join('\n')).to.match(expected);
      } finally {
        await dir.remove();
      }
    });
  }

  it('names the descriptor set as the way out where the parser fails', async () => {
    const dir = await protoDir({ 'a.proto': tasksProto(annotated('require < permission: "a.b" >')) });
    try {
      const sources = await allSources(dir, ['a.proto']);
      await loadPolicy(sources.protos ?? never()).then(never, (error: Error) => {
        expect(error.message).to.match(/a\.proto:\d+.*Use a descriptor set from `buf build`/);
      });
      expect((await loadPolicy(sources.descriptorSet ?? never())).rules.size).to.equal(1);
    } finally {
      await dir.remove();
    }
  });

  it('does not resolve our option without its import, nor in a package that shadows it', async () => {
    const dir = await protoDir(
      {
        'a.proto':
          'syntax = "proto3"; package a; message M {} service S { rpc Get(M) returns (M) { option (zerotrust.v1.method) = { authenticated: "x" }; } }',
        'b.proto': inPackage('acme.zerotrust', 'option (zerotrust.v1.method) = { authenticated: "x" };'),
      },
      false,
    );
    try {
      for (const file of ['a.proto', 'b.proto']) {
        const problems = await problemsOf(loadPolicy({ protos: [`${dir.path}/${file}`] }));
        expect(problems.join('\n'), file).to.match(/the option \(zerotrust\.v1\.method\) is not defined/);
      }
    } finally {
      await dir.remove();
    }
  });
});

function never(): never {
  throw new Error('not reached');
}
