import type * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { type ClaimResult, createReplayStore, type ReplayStore } from 'grpc-zero-trust';
import { createFakeClock, type TestIdentity } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, served, until, upload } from '../support/calls.js';
import { bearer, drain, type Fixture, startFixture, unary } from '../support/fixture.js';
import type { Identity, TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1' };

const get = (client: TaskClient, token: string) => unary(client.GetTask, client, TASK, bearer(token));
const pay = (client: TaskClient, token: string) => unary(client.PayTask, client, TASK, bearer(token));
const whoAmI = (client: TaskClient, metadata?: grpc.Metadata, options?: grpc.CallOptions) =>
  unary<object, Identity>(client.WhoAmI, client, {}, metadata, options);

describe('attacks: theft', () => {
  let fixture: Fixture;
  let executor: TestIdentity;
  beforeEach(async () => {
    fixture = await startFixture();
    executor = await fixture.authority.identity('agents/executor');
  });
  afterEach(() => fixture.close());

  it('a bound token is of no use under the certificate of another workload, on any kind of call', async () => {
    const stolen = await fixture.token();
    const thief = fixture.raw(executor);
    const event = await expectRefused(fixture, await get(thief, stolen), 'TOKEN_BINDING_MISMATCH');
    expect([event.peer, event.method]).to.deep.equal([executor.spiffeId, '/fixture.v1.TaskService/GetTask']);
    const listed = await drain(thief.ListTasks({ ...TASK, count: 3 }, bearer(stolen)));
    await expectRefused(fixture, listed, 'TOKEN_BINDING_MISMATCH');
    const imported = upload(thief.ImportTasks, thief, bearer(stolen), [TASK]);
    await expectRefused(fixture, await imported.ended, 'TOKEN_BINDING_MISMATCH');
    const sync = thief.SyncTasks(bearer(stolen));
    sync.write(TASK);
    await expectRefused(fixture, await drain(sync), 'TOKEN_BINDING_MISMATCH');
    expect([fixture.seen.calls, fixture.seen.messages, listed.messages]).to.deep.equal([[], [], []]);

    served(await get(fixture.raw(fixture.planner), stolen));
    expect(fixture.seen.calls).to.deep.equal(['GetTask']);
  });

  it('nor under another certificate of the very same identity, before or after a renewal', async () => {
    const token = await fixture.token();
    const second = await fixture.authority.identity('agents/planner');
    expect(second.spiffeId).to.equal(fixture.planner.spiffeId);
    await expectRefused(fixture, await get(fixture.raw(second), token), 'TOKEN_BINDING_MISMATCH');
    const before = fixture.raw(fixture.planner);
    served(await get(before, token));
    await fixture.planner.renew();
    await expectRefused(fixture, await get(fixture.raw(fixture.planner), token), 'TOKEN_BINDING_MISMATCH');
    const renewed = await fixture.token();
    await expectRefused(fixture, await get(before, renewed), 'TOKEN_BINDING_MISMATCH');
    served(await get(fixture.raw(fixture.planner), renewed));
  });

  it('a token that was just used by its holder does not become good for the next connection', async () => {
    const token = await fixture.token();
    const [holder, thief] = [fixture.raw(fixture.planner), fixture.raw(executor)];
    for (let i = 0; i < 3; i++) {
      served(await get(holder, token));
      await expectRefused(fixture, await get(thief, token), 'TOKEN_BINDING_MISMATCH');
    }
    expect(fixture.seen.calls).to.have.length(3);
  });

  it('a token without a binding is refused, and one whose binding is not exactly a thumbprint', async () => {
    const client = fixture.raw(fixture.planner);
    const good = fixture.planner.fingerprint;
    const hex = Buffer.from(good, 'base64url').toString('hex');
    const wrong: [string, unknown][] = [
      ['absent', undefined],
      ['null', null],
      ['text', good],
      ['empty object', {}],
      ['too short', { 'x5t#S256': good.slice(0, -2) }],
      ['too long', { 'x5t#S256': `${good}AA` }],
      ['padded', { 'x5t#S256': `${good}=` }],
      ['spaced', { 'x5t#S256': ` ${good}` }],
      ['array', { 'x5t#S256': [good] }],
      ['array around', [{ 'x5t#S256': good }]],
      ['hexadecimal', { 'x5t#S256': hex }],
      ['number', { 'x5t#S256': 1 }],
      ['SHA-1', { x5t: good }],
      ['another method of confirmation beside it', { 'x5t#S256': good, jkt: good }],
      ['of another case', { 'X5T#S256': good }],
    ];
    for (const [name, cnf] of wrong) {
      const outcome = await get(client, await fixture.token({ claims: { cnf } }));
      expect('reason' in outcome ? outcome.reason : 'served', name).to.equal('TOKEN_BINDING_MISSING');
    }
    await expectRefused(
      fixture,
      await get(client, await fixture.token({ claims: { cnf: undefined } })),
      'TOKEN_BINDING_MISSING',
    );
    expect(fixture.seen.calls).to.deep.equal([]);
    served(await get(client, await fixture.token({ claims: { cnf: { 'x5t#S256': good } } })));
  });

  it('is refused when the presenter is neither the subject nor the outermost actor', async () => {
    const { planner } = fixture;
    const alice = 'spiffe://acme.example/people/alice';
    const cases = {
      'bound to the thief, about its owner': { subject: planner.spiffeId, boundTo: executor },
      'the subject of a delegated token': { subject: executor.spiffeId, boundTo: executor, actors: [planner.spiffeId] },
      'an inner actor': { subject: alice, boundTo: executor, actors: [planner.spiffeId, executor.spiffeId] },
    };
    const client = fixture.raw(executor);
    for (const [name, options] of Object.entries(cases)) {
      const outcome = await whoAmI(client, bearer(await fixture.token(options)));
      expect('reason' in outcome ? outcome.reason : 'served', name).to.equal('TOKEN_SUBJECT');
      await expectRefused(fixture, outcome, 'TOKEN_SUBJECT');
    }
    expect(fixture.seen.calls).to.deep.equal([]);
    const own = await fixture.token({ subject: alice, boundTo: executor, actors: [executor.spiffeId] });
    expect(served(await whoAmI(client, bearer(own)))).to.deep.equal({
      peer: executor.spiffeId,
      subject: alice,
      actors: [executor.spiffeId],
    });
  });

  it('each of many concurrent calls carries the token of its own workload, while certificates rotate', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f'];
    const identities = await Promise.all(names.map((name) => fixture.authority.identity(`agents/${name}`)));
    const clients = await Promise.all(identities.map((identity) => fixture.client(identity)));
    const calls: Promise<void>[] = [];
    for (let round = 0; round < 40; round++) {
      for (const [index, client] of clients.entries()) {
        const { spiffeId } = identities[index] as TestIdentity;
        calls.push(
          whoAmI(client).then((outcome) => {
            expect(served(outcome)).to.deep.equal({ peer: spiffeId, subject: spiffeId, actors: [] });
          }),
        );
      }
      if (round % 10 === 5) {
        await calls.at(-1);
        await Promise.all(identities.map((identity) => identity.renew()));
      }
    }
    await Promise.all(calls);
    const events = decisions(fixture);
    expect(events).to.have.length(240);
    expect(events.filter((event) => event.outcome !== 'allowed' || event.peer !== event.subject)).to.deep.equal([]);
    expect(new Set(events.map((event) => event.fingerprint)).size).to.be.greaterThan(6);
  });
});

describe('attacks: replay', () => {
  let open: Fixture[] = [];
  const start = async (...options: Parameters<typeof startFixture>) => {
    const fixture = await startFixture(...options);
    open.push(fixture);
    return fixture;
  };
  afterEach(async () => {
    for (const fixture of open) await fixture.close();
    open = [];
  });

  it('a single-use token is used once, whichever connection, kind of call or order', async () => {
    const fixture = await start();
    const [client, again] = [fixture.raw(fixture.planner), fixture.raw(fixture.planner)];
    const token = await fixture.token();
    served(await pay(client, token));
    await expectRefused(fixture, await pay(client, token), 'TOKEN_REPLAYED');
    await expectRefused(fixture, await pay(again, token), 'TOKEN_REPLAYED');
    await expectRefused(fixture, await upload(client.PayTasks, client, bearer(token), [TASK]).ended, 'TOKEN_REPLAYED');
    const next = await fixture.token();
    const streamed = upload(client.PayTasks, client, bearer(next), [TASK]);
    streamed.call.end();
    expect(served(await streamed.ended)).to.deep.equal({ count: 1 });
    await expectRefused(fixture, await pay(client, next), 'TOKEN_REPLAYED');
    served(await get(client, next));
    expect(fixture.seen.calls).to.deep.equal(['PayTask', 'PayTasks', 'GetTask']);
  });

  it('twenty at once: one is served', async () => {
    const fixture = await start();
    const clients = [fixture.raw(fixture.planner), fixture.raw(fixture.planner)] as const;
    const token = await fixture.token();
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, i) => pay(clients[i % 2 === 0 ? 0 : 1], token)));
    const refused = outcomes.filter((outcome) => 'error' in outcome);
    expect([refused.length, fixture.seen.calls]).to.deep.equal([19, ['PayTask']]);
    for (const outcome of refused) await expectRefused(fixture, outcome, 'TOKEN_REPLAYED');
  });

  it('two guards that share a store share what was used', async () => {
    const replay = createReplayStore();
    const first = await start({ replay });
    const second = await start({ replay, authority: first.authority });
    const alone = await start({ authority: first.authority });
    const token = await first.token();
    const outcomes = await Promise.all(
      [first, second, first, second].map((fixture) => pay(fixture.raw(first.planner), token)),
    );
    expect(outcomes.filter((outcome) => 'ok' in outcome)).to.have.length(1);
    expect([...first.seen.calls, ...second.seen.calls]).to.deep.equal(['PayTask']);
    // What shares no store knows nothing of it: the default is of one process, as its documentation says.
    served(await pay(alone.raw(first.planner), token));
  });

  it('a full store refuses, and forgets nothing to make room', async () => {
    const clock = createFakeClock(Date.now());
    const replay = createReplayStore({ maxEntries: 1, clock });
    const fixture = await start({ replay, clock });
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    served(await pay(client, token));
    await expectRefused(fixture, await pay(client, await fixture.token()), 'STATE_UNAVAILABLE');
    await expectRefused(fixture, await pay(client, token), 'TOKEN_REPLAYED');
    expect(fixture.seen.calls).to.deep.equal(['PayTask']);
    await clock.advance(400_000);
    served(await pay(client, await fixture.token()));
    await expectRefused(fixture, await pay(client, token), 'TOKEN_EXPIRED');
  });

  it('who lacks the right leaves no trace in the store, and no peer can take the room of the others', async () => {
    const replay = createReplayStore({ maxEntries: 4, maxPerOwner: 2 });
    const fixture = await start({ replay });
    const executor = await fixture.authority.identity('agents/executor');
    const client = fixture.raw(executor);
    const token = (resources: string[], actions = ['tasks.task.pay']) =>
      fixture.token({ subject: executor.spiffeId, boundTo: executor, grants: [{ actions, resources }] });
    for (let i = 0; i < 8; i++) {
      const unpermitted = await token(['**'], ['tasks.task.read']);
      await expectRefused(fixture, await pay(client, unpermitted), 'PERMISSION_MISSING');
      const streamed = upload(client.PayTasks, client, bearer(unpermitted), [TASK]);
      await expectRefused(fixture, await streamed.ended, 'PERMISSION_MISSING');
      const elsewhere = await token(['projects/8/tasks/**']);
      await expectRefused(fixture, await pay(client, elsewhere), 'RESOURCE_NOT_GRANTED');
      await expectRefused(fixture, await get(client, elsewhere), 'PERMISSION_MISSING');
    }
    expect([replay.size, fixture.seen.calls]).to.deep.equal([0, []]);
    for (let i = 0; i < 2; i++) served(await pay(client, await token(['projects/7/tasks/**'])));
    await expectRefused(fixture, await pay(client, await token(['projects/7/tasks/**'])), 'STATE_UNAVAILABLE');
    served(await pay(fixture.raw(fixture.planner), await fixture.token()));
    expect(replay.size).to.equal(3);
  });

  it('a clock that is set back revives nothing', async () => {
    const clock = createFakeClock(Date.now());
    const began = clock.now();
    const fixture = await start({ clock, replay: createReplayStore({ clock }) });
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    const unused = await fixture.token();
    served(await pay(client, token));
    await clock.advance(400_000);
    served(await pay(client, await fixture.token()));
    await clock.set(began);
    await expectRefused(fixture, await pay(client, token), 'TOKEN_REPLAYED');
    // It cannot be told from one that was used and forgotten.
    await expectRefused(fixture, await pay(client, unused), 'TOKEN_REPLAYED');
    expect(fixture.seen.calls).to.deep.equal(['PayTask', 'PayTask']);
  });

  it('a store that is down refuses: rejecting, throwing, answering nonsense', async () => {
    let answer: () => ClaimResult | Promise<ClaimResult> = () => 'fresh';
    const replay: ReplayStore = { claim: () => answer() };
    const fixture = await start({ replay });
    const client = fixture.raw(fixture.planner);
    const down: (() => ClaimResult | Promise<ClaimResult>)[] = [
      () => Promise.reject(new Error('connection refused')),
      () => {
        throw new Error('not connected');
      },
      () => 'OK' as ClaimResult,
      () => undefined as unknown as ClaimResult,
      () => true as unknown as ClaimResult,
    ];
    for (const state of down) {
      answer = state;
      await expectRefused(fixture, await pay(client, await fixture.token()), 'STATE_UNAVAILABLE');
      const streamed = upload(client.PayTasks, client, bearer(await fixture.token()), [TASK]);
      await expectRefused(fixture, await streamed.ended, 'STATE_UNAVAILABLE');
    }
    expect(fixture.seen.calls).to.deep.equal([]);
    served(await get(client, await fixture.token()));
    answer = () => Promise.resolve('fresh');
    served(await pay(client, await fixture.token()));
  });

  it('a store that does not answer refuses in time, and its late answer changes nothing', async () => {
    const clock = createFakeClock(Date.now());
    const answers: ((result: ClaimResult) => void)[] = [];
    const replay: ReplayStore = { claim: () => new Promise((resolve) => answers.push(resolve)) };
    const fixture = await start({ replay, clock });
    const client = fixture.raw(fixture.planner);
    const calls = [
      pay(client, await fixture.token()),
      upload(client.PayTasks, client, bearer(await fixture.token()), [TASK]).ended,
    ];
    await until(() => answers.length === 2, 'both calls ask the store');
    await clock.advance(5_000);
    for (const call of calls) await expectRefused(fixture, await call, 'STATE_UNAVAILABLE');
    for (const answer of answers.splice(0)) answer('fresh');
    const honest = pay(client, await fixture.token());
    await until(() => answers.length === 1, 'the next call asks the store');
    for (const answer of answers) answer('fresh');
    served(await honest);
    expect(fixture.seen.calls).to.deep.equal(['PayTask']);
  });
});
