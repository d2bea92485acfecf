import { gzipSync } from 'node:zlib';
import { expect } from 'chai';
import { decisions, served, until } from '../support/calls.js';
import { type Fixture, startFixture } from '../support/fixture.js';
import { FLAG, FRAME, FrameConnection, frame, grpcMessage, headerBlock, requestHeaders } from '../support/frames.js';
import { visit } from '../support/impostor.js';

type Header = [string, string];

const SERVICE = '/fixture.v1.TaskService';
const WHO_AM_I = `${SERVICE}/WhoAmI`;

describe('attacks: requests no client library sends', () => {
  let fixture: Fixture;
  let token: string;
  let connection: FrameConnection;
  before(async () => {
    fixture = await startFixture();
  });
  beforeEach(async () => {
    token = `Bearer ${await fixture.token()}`;
    connection = await FrameConnection.open(fixture.port, fixture.planner);
    connection.acknowledge();
    fixture.seen.calls.length = 0;
  });
  afterEach(async () => {
    connection.close();
    await until(() => fixture.guard.posture().connections === 0, 'the connection to be forgotten');
    expect(fixture.guard.posture().runningCalls).to.equal(0);
    expect(fixture.audit.events.filter((e) => e.type === 'guard' && e.event === 'internal-error')).to.deep.equal([]);
  });
  after(() => fixture.close());

  /** What was decided since `start`, as `outcome reason`. */
  const since = (start: number): string[] =>
    decisions(fixture)
      .slice(start)
      .map(({ outcome, reason }) => (reason === null ? outcome : `${outcome} ${reason}`));

  /** The honest request, over the connection of the attack where it still stands, or else over another. */
  async function honest(stream: number): Promise<void> {
    fixture.seen.calls.length = 0;
    const headers = requestHeaders(WHO_AM_I, [['authorization', token]]);
    if (connection.closed) served(await visit(fixture.address, fixture.planner, token.slice('Bearer '.length)));
    else expect(await connection.call(stream, headers)).to.equal('trailers');
    expect(fixture.seen.calls).to.deep.equal(['WhoAmI']);
  }

  const RESET = 'reset 1';
  const ANSWERED = 'trailers';
  const paths: Header[] = [
    [WHO_AM_I.slice(1), RESET],
    ['', RESET],
    ['*', RESET],
    [`${SERVICE}/Who AmI`, RESET],
    [`/${WHO_AM_I}`, ANSWERED],
    [`${SERVICE}//WhoAmI`, ANSWERED],
    [`${SERVICE}/./WhoAmI`, ANSWERED],
    [`/x/..${WHO_AM_I}`, ANSWERED],
    [WHO_AM_I.replace('/WhoAmI', '%2FWhoAmI'), ANSWERED],
    [`${SERVICE}/Who%41mI`, ANSWERED],
    [WHO_AM_I.toUpperCase(), ANSWERED],
    [`${SERVICE}/whoAmI`, ANSWERED],
    [`${WHO_AM_I}/`, ANSWERED],
    [`${WHO_AM_I}?x=1`, ANSWERED],
    [`${WHO_AM_I};x=1`, ANSWERED],
    [`https://localhost${WHO_AM_I}`, RESET],
    ['/__proto__', ANSWERED],
    ['/fixture.v1.TaskService/constructor', ANSWERED],
    ['/\u00ff\u00fe', ANSWERED],
  ];
  for (const [path, expected] of paths) {
    it(`the path ${JSON.stringify(path)} leads to no handler`, async () => {
      const start = decisions(fixture).length;
      expect(await connection.call(1, requestHeaders(path, [['authorization', token]]))).to.equal(expected);
      expect([fixture.seen.calls, since(start)]).to.deep.equal([[], []]);
      await honest(3);
    });
  }

  /** Each changes the honest request; with its token it is served or refused by HTTP/2, without one never served. */
  const changes: [string, 'served' | 'unanswered' | typeof RESET, (headers: Header[]) => Header[]][] = [
    ...['GET', 'PUT', 'post', 'PRI'].map((method): (typeof changes)[number] => [
      `the method ${method}`,
      'served',
      (headers) => headers.map((h) => (h[0] === ':method' ? [':method', method] : h)),
    ]),
    ['CONNECT', RESET, (headers) => headers.map((h) => (h[0] === ':method' ? [':method', 'CONNECT'] : h))],
    [
      'CONNECT without a path',
      'unanswered',
      (headers) => [[':method', 'CONNECT'], ...headers.filter(([name]) => !/^:(method|path|scheme)$/.test(name))],
    ],
    ...(
      [
        ['application/grpc+proto', 'served'],
        ['application/grpc-web', 'served'],
        ['APPLICATION/GRPC', 'unanswered'],
        ['application/json', 'unanswered'],
        ['', 'unanswered'],
      ] as const
    ).map(([type, expected]): (typeof changes)[number] => [
      `the content type ${JSON.stringify(type)}`,
      expected,
      (headers) => headers.map((h) => (h[0] === 'content-type' ? ['content-type', type] : h)),
    ]),
    ['no content type', 'unanswered', (headers) => headers.filter(([name]) => name !== 'content-type')],
    ...['evil.example', 'user@localhost', 'localhost:1'].map((host): (typeof changes)[number] => [
      `the authority ${host}`,
      'served',
      (headers) => headers.map((h) => (h[0] === ':authority' ? [':authority', host] : h)),
    ]),
    ['the scheme http', 'served', (headers) => headers.map((h) => (h[0] === ':scheme' ? [':scheme', 'http'] : h))],
    ['a host header beside the authority', 'served', (headers) => [...headers, ['host', 'evil.example']]],
    ['no te', 'served', (headers) => headers.filter(([name]) => name !== 'te')],
    ['two paths', RESET, (headers) => [[':path', `${SERVICE}/Ping`], ...headers]],
    ['two paths, one behind', RESET, (headers) => [...headers, [':path', `${SERVICE}/Ping`]]],
    ['an unknown pseudo-header', RESET, (headers) => [[':identity', 'x'], ...headers]],
    ['a header name in upper case', RESET, (headers) => [...headers, ['X-A', 'b']]],
    ['a header for one hop', RESET, (headers) => [...headers, ['connection', 'close']]],
    [
      'a line break in a value, which is dropped',
      'served',
      (headers) => [...headers, ['x-a', 'b\r\nauthorization: c']],
    ],
    ['a NUL in a value, which is dropped', 'served', (headers) => [...headers, ['x-a', 'b\u0000c']]],
    ...['0S', '1n', '-1S', '99999999H', '1S1S'].map((timeout): (typeof changes)[number] => [
      `the timeout ${timeout}`,
      'served',
      (headers) => [...headers, ['grpc-timeout', timeout]],
    ]),
  ];
  for (const [name, expected, change] of changes) {
    it(`${name}: never a way around the token`, async () => {
      const start = decisions(fixture).length;
      const ended = await connection.call(1, change(requestHeaders(WHO_AM_I)));
      expect(ended).to.equal(expected === RESET ? RESET : ANSWERED);
      expect(fixture.seen.calls).to.deep.equal([]);
      if (expected !== RESET) await connection.settled();
      expect(since(start)).to.deep.equal(expected === 'served' ? ['refused TOKEN_MISSING'] : []);
      await connection.call(3, change(requestHeaders(WHO_AM_I, [['authorization', token]])));
      if (!name.startsWith('the timeout'))
        expect(fixture.seen.calls).to.deep.equal(expected === 'served' ? ['WhoAmI'] : []);
      await honest(5);
    });
  }

  it('authorization in the trailers comes too late, and changes nothing where it came in time', async () => {
    const trailers = (stream: number, value: string): Buffer =>
      frame(FRAME.headers, FLAG.endHeaders | FLAG.endStream, stream, headerBlock([['authorization', value]]));
    const open = (stream: number, more: Header[]): Buffer =>
      frame(FRAME.headers, FLAG.endHeaders, stream, headerBlock(requestHeaders(WHO_AM_I, more)));
    const start = decisions(fixture).length;
    connection.send(open(1, []), frame(FRAME.data, 0, 1, grpcMessage()), trailers(1, token));
    expect(await connection.outcome(1)).to.equal(ANSWERED);
    expect([fixture.seen.calls, since(start)]).to.deep.equal([[], ['refused TOKEN_MISSING']]);
    connection.send(
      open(3, [['authorization', token]]),
      frame(FRAME.data, 0, 3, grpcMessage()),
      trailers(3, 'Bearer a.b.c'),
    );
    expect(await connection.outcome(3)).to.equal(ANSWERED);
    expect([fixture.seen.calls, since(start)]).to.deep.equal([['WhoAmI'], ['refused TOKEN_MISSING', 'allowed']]);
  });

  it('a second block of headers does not make another request of a stream', async () => {
    const headers = (more: Header[]): Buffer =>
      frame(FRAME.headers, FLAG.endHeaders, 1, headerBlock(requestHeaders(WHO_AM_I, more)));
    connection.send(
      headers([]),
      headers([['authorization', token]]),
      frame(FRAME.data, FLAG.endStream, 1, grpcMessage()),
    );
    expect(await connection.outcome(1)).to.match(/^(reset|goaway|trailers)/);
    expect(fixture.seen.calls).to.deep.equal([]);
    await honest(3);
  });

  it('messages that lie about their size, come twice, or grow when unpacked', async () => {
    const bomb = grpcMessage(gzipSync(Buffer.alloc(16 * 1024 * 1024)), true);
    const bodies: [string, Header[], Buffer[]][] = [
      ['a length of 4 GiB', [], [Buffer.from('00ffffffff', 'hex')]],
      ['cut off', [], [Buffer.from('0000000005', 'hex')]],
      ['two messages', [], [Buffer.concat([grpcMessage(), grpcMessage()])]],
      ['none', [], [Buffer.alloc(0)]],
      ['an unknown encoding', [['grpc-encoding', 'br']], [grpcMessage(Buffer.of(1), true)]],
      ['a gzip bomb', [['grpc-encoding', 'gzip']], [bomb.subarray(0, 16_000), bomb.subarray(16_000)]],
    ];
    let stream = 1;
    for (const [name, more, body] of bodies) {
      for (const authorized of [false, true]) {
        const own: Header[] = authorized ? [['authorization', token], ...more] : more;
        connection.send(frame(FRAME.headers, FLAG.endHeaders, stream, headerBlock(requestHeaders(WHO_AM_I, own))));
        for (const [i, part] of body.entries()) {
          connection.send(frame(FRAME.data, i === body.length - 1 ? FLAG.endStream : 0, stream, part));
        }
        expect(await connection.outcome(stream), name).to.match(/^(trailers|reset)/);
        stream += 2;
      }
    }
    expect(fixture.seen.calls).to.deep.equal([]);
    await honest(stream);
  });
});
