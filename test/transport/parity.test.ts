import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { type Lab, startLab } from '../support/lab.js';
import { KINDS, type Kind } from '../support/observed.js';
import { type Observation, run, type Script } from '../support/parity.js';

const { status } = grpc;
const MiB = 1024 * 1024;
const STREAMS_UP: readonly Kind[] = ['EchoUp', 'EchoBoth'];
const STREAMS_DOWN: readonly Kind[] = ['EchoDown', 'EchoBoth'];
const ANSWERS_ONCE: readonly Kind[] = ['Echo', 'EchoUp'];

interface Case extends Omit<Script, 'kind'> {
  readonly title: string;
  /** Default: all four. */
  readonly kinds?: readonly Kind[];
  /** Status without a guard, so that a case does what its title says. */
  readonly code: grpc.status;
  /** Messages the client receives without a guard; default not looked at. */
  readonly messages?: number;
  /** Whether a handler must be reached; default true. */
  readonly reached?: boolean;
  /** Whether client and server race to end the call: the trailers are not compared then, nor what a client sees before. */
  readonly racy?: boolean;
}

const past = (): grpc.CallOptions => ({ deadline: Date.now() - 1 });
const soon = (): grpc.CallOptions => ({ deadline: Date.now() + 80 });

const CASES: readonly (Case & { readonly fresh?: () => Partial<Script> })[] = [
  { title: 'an echo', code: status.OK },
  { title: 'request metadata of every shape', code: status.OK, rich: true },
  {
    title: 'a deadline that is not reached',
    code: status.OK,
    fresh: () => ({ options: { deadline: Date.now() + 60_000 } }),
  },
  { title: 'initial metadata', behaviour: 'head', code: status.OK },
  { title: 'initial metadata twice', behaviour: 'head-twice', code: status.OK },
  { title: 'trailers beside success', behaviour: 'trailers', code: status.OK },
  {
    title: 'an error with details, trailers and google.rpc.Status',
    behaviour: 'fail',
    code: status.FAILED_PRECONDITION,
  },
  { title: 'an error after initial metadata or a message', behaviour: 'fail-late', code: status.FAILED_PRECONDITION },
  { title: 'an error without a code', behaviour: 'fail-plainly', code: status.UNKNOWN },
  { title: 'a handler that throws', behaviour: 'throw', code: status.UNKNOWN },
  { title: 'a handler that answers twice', behaviour: 'twice', kinds: ANSWERS_ONCE, code: status.FAILED_PRECONDITION },
  { title: 'an answer that cannot be serialized', behaviour: 'unserializable', code: status.INTERNAL, messages: 0 },

  { title: 'no request message', send: [], kinds: STREAMS_UP, code: status.OK },
  { title: 'no response message', behaviour: 'empty', kinds: STREAMS_DOWN, code: status.OK, messages: 0 },
  { title: 'an empty request message', send: [Buffer.alloc(0)], code: status.OK },
  {
    title: 'many messages, in order',
    send: Array.from({ length: 300 }, (_, i) => Buffer.from(`message ${i}`)),
    kinds: STREAMS_UP,
    code: status.OK,
  },
  {
    title: 'the server ending its half first',
    behaviour: 'early',
    kinds: STREAMS_UP,
    halfClose: false,
    code: status.OK,
    messages: 1,
  },
  {
    title: 'the server going on after the client ended its half',
    behaviour: 'after',
    kinds: ['EchoBoth'],
    code: status.OK,
    messages: 3,
  },

  { title: 'messages of 1 MiB', send: [Buffer.alloc(MiB, 'm')], code: status.OK },
  {
    title: 'a request of more than 4 MiB',
    send: [Buffer.alloc(4 * MiB + 1, 'x')],
    code: status.RESOURCE_EXHAUSTED,
    messages: 0,
    reached: false,
  },
  {
    title: 'an answer of more than 4 MiB',
    send: Array.from({ length: 5 }, () => Buffer.alloc(MiB, 'y')),
    kinds: ['EchoUp'],
    code: status.RESOURCE_EXHAUSTED,
  },
  {
    title: 'compressed messages',
    send: [Buffer.alloc(10_000, 'z')],
    metadata: { 'grpc-internal-encoding-request': 'gzip' },
    code: status.OK,
  },

  {
    title: 'a cancellation at once',
    behaviour: 'hold',
    cancel: 'at once',
    lost: true,
    code: status.CANCELLED,
    reached: false,
  },
  {
    title: 'a cancellation before the first message',
    behaviour: 'hold',
    cancel: 'entered',
    code: status.CANCELLED,
    messages: 0,
  },
  {
    title: 'a cancellation after the first message',
    cancel: 'first message',
    send: [Buffer.from('first')],
    kinds: STREAMS_UP,
    halfClose: false,
    code: status.CANCELLED,
  },
  {
    title: 'a cancellation after the first message',
    cancel: 'first message',
    behaviour: 'one',
    kinds: ['EchoDown'],
    code: status.CANCELLED,
    messages: 1,
  },
  {
    title: 'a deadline that has passed',
    behaviour: 'hold',
    fresh: () => ({ options: past() }),
    code: status.DEADLINE_EXCEEDED,
    messages: 0,
    reached: false,
    racy: true,
    lost: true,
  },
  {
    title: 'a deadline the handler does not keep',
    behaviour: 'hold',
    fresh: () => ({ options: soon() }),
    code: status.DEADLINE_EXCEEDED,
    messages: 0,
    racy: true,
  },
  {
    title: 'a deadline only the server watches',
    behaviour: 'hold',
    metadata: { 'grpc-timeout': '60m' },
    code: status.DEADLINE_EXCEEDED,
    messages: 0,
  },
  {
    title: 'a timeout that cannot be read',
    metadata: { 'grpc-timeout': 'soon' },
    behaviour: 'hold',
    code: status.INTERNAL,
    messages: 0,
    reached: false,
  },
];

function endOf({ client: { status: end, messages } }: Observation): unknown {
  return { code: end?.code, details: end?.details, messages };
}

describe('transport: parity with a server that has no guard', function () {
  this.timeout(30_000);
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab.close());

  /** Runs the script against every pair of client and server, and returns what all of them did. */
  async function same(make: () => Script, racy: boolean, lost: boolean): Promise<Observation> {
    const bare = await run(lab.bare, make());
    for (const target of lab.others) {
      const other = await run(target, make());
      if (racy) expect(endOf(other), target.name).to.deep.equal(endOf(bare));
      else expect(other, target.name).to.deep.equal(bare);
      if (other.server !== null && bare.server !== null && !lost) {
        expect(other.server, target.name).to.deep.equal(bare.server);
      }
    }
    return bare;
  }

  for (const { title, kinds = KINDS, code, messages, reached = true, racy = false, fresh, ...script } of CASES) {
    for (const kind of kinds) {
      it(`${kind}: ${title}`, async () => {
        const bare = await same(() => ({ ...script, ...fresh?.(), kind }), racy, script.lost === true);
        expect(bare.client.status?.code).to.equal(code);
        if (messages !== undefined) expect(bare.client.messages).to.have.length(messages);
        expect(bare.server !== null || !reached).to.equal(true);
      });
    }
  }
});
