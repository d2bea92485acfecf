import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { ConfigurationError } from '#dist/errors.js';
import { fileTokens, TokenSourceError } from '#dist/token/file-tokens.js';
import { createTokenCache, type TokenCacheOptions } from '#dist/token/token-cache.js';
import type { TokenRequest } from '#dist/token/types.js';
import { fakeClock } from './clock.js';
import { AUDIENCE, FINGERPRINT, makeKey, makeToken, NOW_S, OTHER_FINGERPRINT, PLANNER } from './kit.js';

const key = makeKey('k1');
const svid = { spiffeId: PLANNER, fingerprint: FINGERPRINT };
const want = { audience: AUDIENCE, svid };
const METHOD = '/tasks.v1.Tasks/Get';
const turn = () => new Promise<void>((resolve) => setImmediate(resolve));

async function failure(promise: Promise<unknown>): Promise<Error> {
  return promise.then(
    () => expect.fail('it was expected to fail'),
    (error: Error) => error,
  );
}

/** A source that makes a token on demand; `answer` may be replaced by a test. */
function setUp(options: Partial<TokenCacheOptions> = {}) {
  const clock = fakeClock();
  const requests: TokenRequest[] = [];
  const made: string[] = [];
  const mint = (claims: Record<string, unknown> = {}) => {
    const seconds = Math.floor(clock.now() / 1000);
    const token = makeToken(key, { iat: seconds, exp: seconds + 300, ...claims });
    made.push(token);
    return token;
  };
  const state = { answer: (_: TokenRequest): string | Promise<string> => mint() };
  const source = {
    async getToken(request: TokenRequest) {
      requests.push(request);
      return state.answer(request);
    },
  };
  const cache = createTokenCache({ source, clock, random: () => 0.5, ...options });
  return { clock, requests, made, mint, state, cache, lane: cache.lane(want) };
}

describe('createTokenCache', () => {
  it('obtains a token once for all who ask, and knows it afterwards', async () => {
    const { lane, cache, requests } = setUp();
    expect(cache.peek(want)).to.equal(null);
    const tokens = await Promise.all(Array.from({ length: 20 }, () => lane.get(METHOD)));
    expect(new Set(tokens).size).to.equal(1);
    expect(requests).to.deep.equal([{ audience: AUDIENCE, method: METHOD, refresh: false, svid }]);
    expect(cache.peek({ ...want })).to.equal(tokens[0]);
    expect(await lane.get(METHOD)).to.equal(tokens[0]);
    expect(requests).to.have.length(1);
  });

  it('keeps audiences, certificates and extras apart', async () => {
    const { cache, requests } = setUp();
    const wants = [want, { ...want, audience: 'other' }, { ...want, extra: 'delegated' }];
    const tokens = new Set<string>();
    for (const each of wants) tokens.add(await cache.lane(each).get(METHOD));
    expect(tokens.size).to.equal(3);
    expect(requests.map(({ audience }) => audience)).to.deep.equal([AUDIENCE, 'other', AUDIENCE]);
    expect(cache.peek({ ...want, svid: { ...svid, fingerprint: OTHER_FINGERPRINT } })).to.equal(null);
  });

  it('renews in the background at 80 % of life, using the old one meanwhile', async () => {
    const { clock, lane, requests, state, mint } = setUp();
    const first = await lane.get(METHOD);
    clock.advance(239_000);
    expect(lane.peek(METHOD)).to.equal(first);
    expect(requests).to.have.length(1);
    let arrive = (_: string) => {};
    state.answer = () => new Promise((resolve) => (arrive = resolve));
    clock.advance(1000);
    for (let i = 0; i < 5; i++) expect(lane.peek(METHOD)).to.equal(first);
    expect(requests).to.have.length(2);
    const second = mint();
    arrive(second);
    await turn();
    expect(lane.peek(METHOD)).to.equal(second);
  });

  it('uses the old token to its end while the source fails, then says why', async () => {
    const { clock, lane, requests, state } = setUp();
    const first = await lane.get(METHOD);
    state.answer = () => Promise.reject(new Error('down'));
    clock.advance(240_000);
    expect(lane.peek(METHOD)).to.equal(first);
    await turn();
    expect(lane.peek(METHOD), 'backing off').to.equal(first);
    expect(requests).to.have.length(2);
    clock.advance(54_999);
    expect(await lane.get(METHOD)).to.equal(first);
    await turn();
    clock.advance(1);
    expect(lane.peek(METHOD), '5 s before its end').to.equal(null);
    expect((await failure(lane.get(METHOD))).message).to.equal('down');
  });

  it('backs off after failures, twice as long each time, and remembers no error past that', async () => {
    const { clock, lane, requests, state } = setUp();
    state.answer = () => Promise.reject(new Error('down'));
    const waits: number[] = [];
    for (let i = 0; i < 10; i++) {
      await failure(lane.get(METHOD));
      const asked = requests.length;
      let waited = 0;
      while (requests.length === asked) {
        await failure(lane.get(METHOD));
        if (requests.length > asked) break;
        clock.advance(93.75);
        waited += 93.75;
      }
      waits.push(waited);
    }
    expect(waits.slice(0, 3)).to.deep.equal([187.5, 375, 750]);
    expect(Math.max(...waits)).to.be.at.most(30_000);
    state.answer = () => makeToken(key, { exp: NOW_S + 9000 });
    clock.advance(30_000);
    expect(await lane.get(METHOD)).to.be.a('string');
  });

  it('gives another token after a refusal, once for all who were refused, never the same', async () => {
    const { clock, lane, requests, state } = setUp();
    const first = await lane.get(METHOD);
    const others = await Promise.all(Array.from({ length: 10 }, () => lane.refresh(METHOD, first)));
    expect(new Set(others).size).to.equal(1);
    expect(others[0]).not.to.equal(first);
    expect(requests.map(({ refresh }) => refresh)).to.deep.equal([false, true]);
    expect(await lane.refresh(METHOD, first), 'late').to.equal(others[0]);
    expect(requests).to.have.length(2);
    state.answer = () => others[0] ?? '';
    const error = await failure(lane.refresh(METHOD, others[0] ?? ''));
    expect(error.message).to.contain('the token that was refused');
    expect(error.message).not.to.contain(others[0]);
    clock.advance(1000);
  });

  it('does not take the answer of a flight that set out before the refusal', async () => {
    const { clock, lane, requests, state, mint } = setUp();
    const first = await lane.get(METHOD);
    let arrive = (_: string) => {};
    state.answer = ({ refresh }) => (refresh ? mint() : new Promise((resolve) => (arrive = resolve)));
    clock.advance(240_000);
    lane.peek(METHOD);
    const refreshed = lane.refresh(METHOD, first);
    arrive(first);
    expect(await refreshed).not.to.equal(first);
    expect(requests.map(({ refresh }) => refresh)).to.deep.equal([false, false, true]);
    expect(lane.peek(METHOD)).to.equal(await refreshed);
  });

  it('gives single-use methods a token of their own each time', async () => {
    const { lane, state, requests } = setUp();
    const shared = await lane.get(METHOD);
    const fresh = await Promise.all([lane.getFresh(METHOD), lane.getFresh(METHOD)]);
    expect(new Set([shared, ...fresh]).size).to.equal(3);
    expect(requests.at(-1)?.refresh).to.equal(true);
    expect(lane.peek(METHOD)).to.equal(shared);
    state.answer = () => shared;
    expect((await failure(lane.getFresh(METHOD))).message).to.contain('twice');
    expect(await lane.get(METHOD)).to.equal(shared);
  });

  it('refuses a token bound to another certificate, naming both, and an expired one', async () => {
    const { lane, mint, made, state, clock } = setUp();
    state.answer = () => mint({ cnf: { 'x5t#S256': OTHER_FINGERPRINT } });
    const error = await failure(lane.get(METHOD));
    expect(error).to.be.instanceOf(TokenSourceError);
    expect(error.message).to.contain(FINGERPRINT).and.contain(OTHER_FINGERPRINT);
    expect(error.message).not.to.contain(made[0]);
    clock.advance(1000);
    state.answer = () => mint({ iat: 1, exp: 2 });
    expect((await failure(lane.get(METHOD))).message).to.contain('expired');
    clock.advance(1000);
    for (const nothing of ['', null, 7]) {
      state.answer = () => nothing as string;
      expect((await failure(lane.get(METHOD))).message).to.contain('no token');
      clock.advance(30_000);
    }
  });

  it('keeps an opaque token for half a minute only', async () => {
    const { lane, state, clock } = setUp();
    state.answer = () => 'opaque';
    expect(await lane.get(METHOD)).to.equal('opaque');
    clock.advance(20_000);
    expect(lane.peek(METHOD)).to.equal('opaque');
    clock.advance(8000);
    expect(lane.peek(METHOD)).to.equal(null);
  });

  it('gives up on a source that does not answer', async () => {
    const { lane, state, clock } = setUp({ timeoutSeconds: 3 });
    state.answer = () => new Promise(() => {});
    const pending = failure(lane.get(METHOD));
    await turn();
    clock.advance(3000);
    expect((await pending).message).to.contain('3000 ms');
  });

  it('drops what is bound to another certificate when it rotates, and bounds its size', async () => {
    const { cache, clock } = setUp({ maxKeys: 3 });
    const next = { ...want, svid: { ...svid, fingerprint: OTHER_FINGERPRINT } };
    await cache.lane(want).get(METHOD);
    cache.lane(next);
    cache.rotate(OTHER_FINGERPRINT);
    expect(cache.size).to.equal(1);
    expect(cache.peek(want)).to.equal(null);
    for (let i = 0; i < 10; i++) cache.lane({ ...want, extra: String(i) });
    expect(cache.size).to.equal(3);
    clock.advance(1);
    await cache.close();
    expect(() => cache.lane(want)).to.throw(TokenSourceError);
  });

  it('refuses options that make no sense', () => {
    expect(() => createTokenCache({ source: {} as never })).to.throw(ConfigurationError);
    expect(() => setUp({ maxKeys: 0 })).to.throw(ConfigurationError);
    expect(() => setUp({ timeoutSeconds: 0 })).to.throw(ConfigurationError);
  });
});

describe('fileTokens', () => {
  let directory: string;
  let path: string;
  const request = (refresh = false): TokenRequest => ({ audience: AUDIENCE, method: METHOD, refresh, svid });

  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'token-'));
    path = join(directory, 'token');
  });
  afterEach(() => rm(directory, { recursive: true }));

  it('reads the token, without white space, and follows the file', async () => {
    const source = fileTokens(path);
    await writeFile(path, 'a.b.c\n');
    expect(await source.getToken(request())).to.equal('a.b.c');
    expect((await failure(source.getToken(request(true)))).message).to.contain('still holds');
    await writeFile(path, ' d.e.f\r\n');
    expect(await source.getToken(request(true))).to.equal('d.e.f');
    await source.close();
    expect((await failure(source.getToken(request()))).message).to.contain('close()');
  });

  it('refuses what is no token, naming the file and nothing of its content', async () => {
    const source = fileTokens(path);
    expect((await failure(source.getToken(request()))).message)
      .to.contain(path)
      .and.contain('ENOENT');
    for (const content of [
      '',
      '\n',
      'secret canary',
      'canary\u0000',
      'canary'.repeat(2000),
      '-----BEGIN canary-----',
    ]) {
      await writeFile(path, content);
      const error = await failure(source.getToken(request()));
      expect(error).to.be.instanceOf(TokenSourceError);
      expect(error.message).to.contain(path).and.not.contain('canary');
    }
  });
});
