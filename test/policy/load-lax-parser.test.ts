import { join } from 'node:path';
import { expect } from 'chai';
import { loadPolicy } from '#dist/policy/load.js';
import { annotated, descriptorSet, type ProtoDir, problemsOf, protoDir, rpc, tasksProto } from './fixtures.js';

const ours = 'option (zerotrust.v1.method) = { authenticated: "x" };';

/** What the parser takes and `buf` does not, each beside the nearest thing that is right. */
const LAX: readonly [name: string, bad: string, good: string, says: RegExp][] = [
  [
    'our option without its parentheses',
    rpc(`${ours} option zerotrust.v1.method.token_use = TOKEN_USE_SINGLE_USE;`),
    rpc(`${ours} option (zerotrust.v1.method).token_use = TOKEN_USE_SINGLE_USE;`),
    /there is no option zerotrust/,
  ],
  [
    'one parenthesis too few',
    rpc(`${ours} option zerotrust.v1.method).token_use = TOKEN_USE_SINGLE_USE;`),
    rpc(`${ours} option (zerotrust.v1.method).token_use = TOKEN_USE_SINGLE_USE;`),
    /there is no option zerotrust/,
  ],
  [
    'a word before the name',
    rpc(`${ours} option deprecated (zerotrust.v1.method).token_use = TOKEN_USE_SINGLE_USE;`),
    rpc(`${ours} option deprecated = true; option (zerotrust.v1.method).token_use = TOKEN_USE_SINGLE_USE;`),
    /there is no option deprecated/,
  ],
  [
    'a standard option that does not exist',
    rpc(`${ours} option idempotency = NO_SIDE_EFFECTS;`),
    rpc(`${ours} option idempotency_level = NO_SIDE_EFFECTS;`),
    /there is no option idempotency$/,
  ],
  [
    'a field set twice by name',
    rpc(
      `${ours} option (zerotrust.v1.method).audit.required = false; option (zerotrust.v1.method).audit.required = true;`,
    ),
    rpc(`${ours} option (zerotrust.v1.method).audit.required = false; option (zerotrust.v1.method).audit.level = 2;`),
    /set twice, first to zero or false/,
  ],
  ...[
    ['token_use: 0 token_use: TOKEN_USE_SINGLE_USE', 'token_use: TOKEN_USE_SINGLE_USE'],
    ['audit { required: false, required: true }', 'audit { required: false level: AUDIT_LEVEL_ALL }'],
    ['delegation { mode: 0x0; mode: 2 }', 'delegation { mode: 2 }'],
    ['max_token_age { seconds: 00 seconds: 60 }', 'max_token_age { seconds: 60 nanos: 0 }'],
    ['max_token_age { seconds: 1 nanos: -0 nanos: 5 }', 'max_token_age { seconds: 1 nanos: 5 }'],
  ].map(([bad, good]): [string, string, string, RegExp] => [
    `a field set twice: ${bad}`,
    annotated(`authenticated: "x" ${bad}`),
    annotated(`authenticated: "x" ${good}`),
    /set twice, first to zero or false/,
  ]),
];

describe('loadPolicy: what the parser takes and protoc does not', () => {
  for (const [name, bad, good, says] of LAX) {
    it(`refuses ${name}`, async () => {
      const dirs: ProtoDir[] = [];
      const load = async (body: string) => {
        const dir = await protoDir({ 'tasks.proto': tasksProto(body) });
        dirs.push(dir);
        return { dir, policy: () => loadPolicy({ protos: [join(dir.path, 'tasks.proto')] }) };
      };
      try {
        const wrong = await load(bad);
        expect(await problemsOf(wrong.policy())).to.satisfy((all: string[]) => all.some((one) => says.test(one)));
        const refused = await descriptorSet(wrong.dir).then(
          () => false,
          () => true,
        );
        expect(refused, 'buf refuses it too').to.equal(true);
        const right = await load(good);
        const fromSet = await loadPolicy({ descriptorSet: await descriptorSet(right.dir) });
        expect((await right.policy()).digest).to.equal(fromSet.digest);
      } finally {
        for (const dir of dirs) await dir.remove();
      }
    });
  }

  it('one field in two messages is not set twice', async () => {
    const zero = 'authenticated: "x" max_token_age { seconds: 1 nanos: 0 }';
    const body = annotated(zero, 'A') + annotated(`${zero} audit { required: false }`, 'B');
    const shared =
      'message Two { string a = 1 [(zerotrust.v1.field).sensitive = false]; string b = 2 [(zerotrust.v1.field).sensitive = true]; }';
    const dir = await protoDir({ 'tasks.proto': tasksProto(body, shared) });
    try {
      expect((await loadPolicy({ protos: [join(dir.path, 'tasks.proto')] })).rules.size).to.equal(2);
    } finally {
      await dir.remove();
    }
  });
});
