import { expect } from 'chai';
import { decisions, served, until } from '../support/calls.js';
import { bearer, type Fixture, rawClient, startFixture, unary } from '../support/fixture.js';
import { FLAG, FRAME, type Frame, FrameConnection, frame, headerBlock, requestHeaders } from '../support/frames.js';
import { visit } from '../support/impostor.js';

const WHO_AM_I = '/fixture.v1.TaskService/WhoAmI';
const ECHO_BOTH = '/fixture.v1.TaskService/EchoBoth';
/** Of HTTP/2 (RFC 9113, section 7), as it is on the wire. */
const CANCEL = Buffer.from('00000008', 'hex');

/** One block of headers in as many frames as it takes. */
function blockFrames(block: Buffer, stream = 1): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length; at += 16_384) {
    const last = at + 16_384 >= block.length ? FLAG.endHeaders : 0;
    frames.push(frame(at === 0 ? FRAME.headers : FRAME.continuation, last, stream, block.subarray(at, at + 16_384)));
  }
  return frames;
}

/** A connection that honours nothing the server asks for but pings, until it says so. */
async function open(fixture: Fixture): Promise<FrameConnection> {
  const connection = await FrameConnection.open(fixture.port, fixture.planner);
  connection.answerPings();
  return connection;
}

/** Nothing of an attack is left: no call runs, no connection is remembered, every stream that was opened has ended. */
async function nothingLeft(fixture: Fixture): Promise<void> {
  await until(() => fixture.guard.posture().runningCalls === 0, 'every call to end');
  await until(() => fixture.guard.posture().connections === 0, 'every connection to be forgotten');
  const phases = decisions(fixture).map(({ phase, decisionId }) => ({ phase, decisionId }));
  const opened = phases.filter(({ phase }) => phase === 'opened').map(({ decisionId }) => decisionId);
  const closed = phases.filter(({ phase }) => phase === 'closed').map(({ decisionId }) => decisionId);
  expect([...closed].sort()).to.deep.equal([...opened].sort());
  expect(new Set(opened).size).to.equal(opened.length);
}

describe('attacks: floods on the wire', () => {
  let fixture: Fixture;
  let token: string;
  beforeEach(async () => {
    // Where nghttp2 has had enough, Node leaves the connection lying: it is closed for its silence.
    fixture = await startFixture({ sessions: true, limits: { silentConnectionMs: 1_000 } });
    token = await fixture.token();
  });
  afterEach(async () => {
    try {
      served(await visit(fixture.address, fixture.planner, token));
      await nothingLeft(fixture);
    } finally {
      await fixture.close();
    }
  });

  const deep = `{"sub":${'['.repeat(100_000)}${']'.repeat(100_000)}}`;
  const large: [string, () => readonly [string, string][]][] = [
    ['a header of 8 MiB', () => [['authorization', `Bearer ${'a'.repeat(8 * 1024 * 1024)}`]]],
    [
      'a token with JSON 100,000 deep',
      () => [['authorization', `Bearer ${token.split('.')[0]}.${Buffer.from(deep).toString('base64url')}.AAAA`]],
    ],
    [
      'a header over the limit by little',
      () => [
        ['x-large', 'a'.repeat(16_000)],
        ['authorization', 'Bearer a.b.c'],
      ],
    ],
    ['a thousand headers', () => Array.from({ length: 1_000 }, (_, i) => [`x-${i}`, '1'] as [string, string])],
    [
      'a thousand authorization values',
      () => Array.from({ length: 1_000 }, () => ['authorization', 'Bearer a.b.c'] as [string, string]),
    ],
  ];
  for (const [name, headers] of large) {
    for (const acknowledged of [true, false]) {
      it(`${name}, ${acknowledged ? 'after' : 'before'} the limits of the server were acknowledged`, async () => {
        const connection = await open(fixture);
        if (acknowledged) {
          connection.acknowledge();
          await connection.settled();
        }
        connection.send(...blockFrames(headerBlock(requestHeaders(WHO_AM_I, headers()))));
        const ended = await connection.outcome(1);
        // Below the limit of nghttp2, a server that was not acknowledged judges what it got; else HTTP/2 refuses.
        expect(ended).to.match(acknowledged ? /^(reset|goaway)/ : /^(reset|goaway|trailers)/);
        const seen = decisions(fixture).map(({ outcome }) => outcome);
        expect(seen.filter((outcome) => outcome === 'allowed')).to.deep.equal([]);
        expect(fixture.seen.calls).to.deep.equal([]);
        connection.close();
      });
    }
  }

  it('a small block that unpacks to 40 MB', async () => {
    const connection = await open(fixture);
    const name = Buffer.from('x-b');
    const value = Buffer.alloc(4_000, 0x61);
    // A literal that is put into the table (4,000 is 7f a1 1e), and then named ten thousand times by one byte.
    const literal = Buffer.concat([Buffer.of(0x40, name.length), name, Buffer.of(0x7f, 0xa1, 0x1e), value]);
    const block = Buffer.concat([headerBlock(requestHeaders(WHO_AM_I)), literal, Buffer.alloc(10_000, 0xbe)]);
    connection.send(...blockFrames(block));
    expect(await connection.outcome(1)).to.match(/^(reset|goaway)/);
    expect([fixture.seen.calls, decisions(fixture)]).to.deep.equal([[], []]);
    connection.close();
  });

  it('headers that never end', async () => {
    const connection = await open(fixture);
    const [first] = blockFrames(headerBlock(requestHeaders(WHO_AM_I)));
    const begun = Buffer.from(first ?? []);
    begun[4] = 0;
    connection.send(begun, ...Array.from({ length: 10_000 }, () => frame(FRAME.continuation, 0, 1)));
    expect(await connection.outcome(1)).to.match(/^(goaway|closed)/);
    connection.close();
  });

  it('settings and pings without end', async () => {
    for (const one of [frame(FRAME.settings, 0, 0), frame(FRAME.ping, 0, 0, Buffer.alloc(8))]) {
      const connection = await open(fixture);
      // Answers are not read, so that they pile up.
      connection.socket.pause();
      for (let i = 0; i < 200 && !connection.closed; i++) connection.send(...Array.from({ length: 100 }, () => one));
      connection.socket.resume();
      await Promise.race([connection.receive(({ type }) => type === FRAME.goaway), connection.settled()]);
      connection.close();
    }
  });

  it('rapid reset, of calls that are refused and of calls that are let in', async () => {
    for (const authorization of ['Bearer a.b.c', `Bearer ${token}`]) {
      const connection = await open(fixture);
      connection.acknowledge();
      const block = headerBlock(requestHeaders(ECHO_BOTH, [['authorization', authorization]]));
      for (let i = 0; i < 40 && !connection.closed; i++) {
        const burst = Array.from({ length: 100 }, (_, j) => {
          const stream = 1 + 2 * (100 * i + j);
          return [frame(FRAME.headers, FLAG.endHeaders, stream, block), frame(FRAME.reset, 0, stream, CANCEL)];
        });
        connection.send(...burst.flat());
        await until(() => fixture.guard.posture().runningCalls <= 200, 'calls that were reset to end');
      }
      const goaway = await connection.receive(({ type }) => type === FRAME.goaway);
      expect(goaway?.payload.readUInt32BE(4), 'the server ends the connection').to.be.oneOf([2, 11]);
      connection.close();
      await nothingLeft(fixture);
    }
  });

  it('a stream that is reset while its token is verified is neither opened nor kept', async () => {
    const connection = await open(fixture);
    connection.acknowledge();
    await connection.settled();
    for (let stream = 1; stream < 20; stream += 2) {
      // A new token each, so that each is verified anew.
      const block = headerBlock(requestHeaders(ECHO_BOTH, [['authorization', `Bearer ${await fixture.token()}`]]));
      connection.send(frame(FRAME.headers, FLAG.endHeaders, stream, block), frame(FRAME.reset, 0, stream, CANCEL));
    }
    await until(() => decisions(fixture).length >= 10, 'the records');
    expect(decisions(fixture).map(({ phase, status }) => [phase, status])).to.deep.equal(
      Array(10).fill(['call', null]),
    );
    expect(fixture.seen.calls).to.deep.equal([]);
    connection.close();
  });

  it('more streams at once than the server allows', async () => {
    const limited = await startFixture({ limits: { streamsPerConnection: 10 } });
    const connection = await open(limited);
    connection.acknowledge();
    await connection.settled();
    const more = [['authorization', `Bearer ${await limited.token()}`]] as [string, string][];
    const start = (stream: number): Buffer =>
      frame(FRAME.headers, FLAG.endHeaders, stream, headerBlock(requestHeaders(ECHO_BOTH, more)));
    for (let i = 0; i < 10; i++) connection.send(start(1 + 2 * i));
    await until(() => limited.seen.calls.length === 10, 'ten handlers');
    expect(connection.closed).to.equal(false);
    connection.send(start(21));
    // It was told the limit: Node ends the connection, and with it every stream.
    await nothingLeft(limited);
    expect(limited.seen.calls).to.have.length(10);
    expect(limited.seen.cancelled).to.have.length(10);
    connection.close();
    served(await visit(limited.address, limited.planner, await limited.token()));
    await limited.close();
  });
});

describe('attacks: connections that go silent', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await startFixture({ limits: { silentConnectionMs: 200 } });
  });
  afterEach(() => fixture.close());

  const zero = Buffer.alloc(3);
  /** After these Node neither reads from nor closes the connection by itself. */
  const breaches: [string, () => Buffer[]][] = [
    ['DATA on stream 0', () => [frame(FRAME.data, 0, 0, zero)]],
    ['a block of headers nobody can read', () => [frame(FRAME.headers, FLAG.endHeaders, 3, Buffer.alloc(9, 0xff))]],
    ['settings of the wrong size', () => [frame(FRAME.settings, 0, 0, Buffer.alloc(5))]],
    ['a frame over the limit', () => [frame(FRAME.data, 0, 1, Buffer.alloc(17_000))]],
    ['a window that overflows', () => [frame(FRAME.windowUpdate, 0, 0, Buffer.from('7fffffff', 'hex'))]],
    ['text', () => [Buffer.alloc(100, 'A')]],
    ['nothing at all', () => []],
  ];
  for (const [name, breach] of breaches) {
    it(`${name}: the call ends, is recorded, and the connection is closed`, async () => {
      const connection = await FrameConnection.open(fixture.port, fixture.planner);
      connection.acknowledge();
      const more = [['authorization', `Bearer ${await fixture.token()}`]] as [string, string][];
      connection.send(frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock(requestHeaders(ECHO_BOTH, more))));
      await until(() => fixture.seen.calls.length === 1, 'the handler');
      connection.send(...breach());
      await connection.ended();
      await nothingLeft(fixture);
      expect(fixture.seen.cancelled).to.deep.equal(['EchoBoth']);
      expect(decisions(fixture).map(({ phase }) => phase)).to.deep.equal(['opened', 'closed']);
    });

    it(`${name}, before any call: the connection is closed`, async () => {
      const connection = await FrameConnection.open(fixture.port, fixture.planner);
      connection.send(...breach());
      await connection.ended();
    });
  }

  it('one that answers is left alone, busy or idle', async () => {
    const connection = await FrameConnection.open(fixture.port, fixture.planner);
    connection.acknowledge();
    connection.answerPings();
    const client = rawClient(fixture.address, fixture.planner);
    const token = await fixture.token();
    served(await unary(client.WhoAmI, client, {}, bearer(token)));
    const pings = (): Frame[] => connection.frames.filter(({ type, flags }) => type === FRAME.ping && flags === 0);
    await until(() => pings().length >= 6, 'six pings, three times as long as silence may last');
    expect(connection.closed).to.equal(false);
    expect(await connection.call(1, requestHeaders(WHO_AM_I, [['authorization', `Bearer ${token}`]]))).to.equal(
      'trailers',
    );
    served(await unary(client.WhoAmI, client, {}, bearer(token)));
    expect(fixture.guard.posture().connections).to.equal(2);
    client.close();
    connection.close();
  });
});
