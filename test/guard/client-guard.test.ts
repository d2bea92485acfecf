import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  type ClientGuard,
  ConfigurationError,
  createClientGuard,
  refusalOf,
  type ServerTarget,
  type TokenRequest,
} from 'grpc-zero-trust';
import { decisions, served, until, upload } from '../support/calls.js';
import { drain, type Fixture, fixturePolicy, GRANTS, SERVER_ID, startFixture, unary } from '../support/fixture.js';
import { type Identity, type Task, type TaskClient, TaskClientClass } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const get = (client: TaskClient, options?: grpc.CallOptions) =>
  unary<Task, Task>(client.GetTask, client, TASK, undefined, options);
const pay = (client: TaskClient) => unary<Task, Task>(client.PayTask, client, TASK);

describe('client guard', () => {
  let fixture: Fixture;
  let guards: ClientGuard[];
  let requests: TokenRequest[];
  /** What the source answers; honest unless a test says otherwise. */
  let answer: (request: TokenRequest) => Promise<string>;
  const honest = ({ audience, svid }: TokenRequest): Promise<string> =>
    fixture.authority.token({
      audience,
      subject: svid.spiffeId,
      boundTo: { fingerprint: svid.fingerprint },
      grants: GRANTS,
    });
  const make = async (options: Partial<Parameters<typeof createClientGuard>[0]> = {}): Promise<ClientGuard> => {
    const guard = await createClientGuard({
      identity: fixture.planner,
      tokens: {
        getToken: (request) => {
          requests.push(request);
          return answer(request);
        },
      },
      unsafeAllowTestAuthority: true,
      ...options,
    });
    guards.push(guard);
    return guard;
  };
  const clientOf = (guard: ClientGuard, target: ServerTarget = { server: SERVER_ID }): TaskClient =>
    guard.createClient(TaskClientClass, fixture.address, target);

  beforeEach(async () => {
    fixture = await startFixture();
    guards = [];
    requests = [];
    answer = honest;
  });
  afterEach(async () => {
    for (const guard of guards) await guard.close();
    await fixture.close();
  });

  it('sends calls of all four kinds with one token', async () => {
    const client = clientOf(await make());
    expect(served(await get(client)).title).to.equal('a task');
    const listed = await drain<Task>(client.ListTasks({ ...TASK, count: 3 }));
    expect([listed.messages.length, listed.status.code]).to.deep.equal([3, 0]);
    const imported = upload<Task, { count: number }>(client.ImportTasks, client, new grpc.Metadata(), [TASK, TASK]);
    imported.call.end();
    expect(served(await imported.ended)).to.deep.equal({ count: 2 });
    const sync = client.SyncTasks();
    sync.write(TASK);
    sync.end();
    expect((await drain<Task>(sync)).messages).to.deep.equal([TASK]);
    expect(requests).to.deep.equal([
      {
        audience: SERVER_ID,
        method: '/fixture.v1.TaskService/GetTask',
        refresh: false,
        svid: { spiffeId: fixture.planner.spiffeId, fingerprint: fixture.planner.fingerprint },
      },
    ]);
  });

  it('gets a token once for all calls that wait for it', async () => {
    const client = clientOf(await make());
    const outcomes = await Promise.all(Array.from({ length: 50 }, () => get(client)));
    for (const outcome of outcomes) served(outcome);
    expect(requests).to.have.length(1);
  });

  it('asks for the audience it was given', async () => {
    const client = clientOf(await make(), { server: SERVER_ID, audience: 'https://tasks.acme.example' });
    const outcome = await get(client);
    expect('reason' in outcome && outcome.reason).to.equal('TOKEN_AUDIENCE');
    expect(requests.map((request) => request.audience)).to.deep.equal(['https://tasks.acme.example']);
    served(await get(clientOf(await make())));
  });

  it('sends no token where it has no source', async () => {
    const client = clientOf(await make({ tokens: null }));
    const outcome = await get(client);
    expect('reason' in outcome && outcome.reason).to.equal('TOKEN_MISSING');
    expect(served(await unary<object, Identity>(client.Ping, client, {})).peer).to.equal(fixture.planner.spiffeId);
  });

  it('counts the deadline and a cancellation while it waits for a token', async () => {
    const client = clientOf(await make());
    let release: (token: string) => void = () => {};
    answer = () => new Promise((resolve) => (release = resolve));
    const late = await get(client, { deadline: Date.now() + 50 });
    expect('error' in late && late.error.code).to.equal(grpc.status.DEADLINE_EXCEEDED);
    const call = client.ListTasks({ ...TASK, count: 1 });
    const ended = drain(call);
    call.cancel();
    expect((await ended).status.code).to.equal(grpc.status.CANCELLED);
    const waiting = get(client);
    release(await fixture.token());
    served(await waiting);
    expect([fixture.seen.calls, requests.length]).to.deep.equal([['GetTask'], 1]);
    expect(decisions(fixture)).to.have.length(1);
  });

  it('fails the call when no token can be obtained, and says why without a token', async () => {
    const client = clientOf(await make());
    const sent = await fixture.token();
    for (const failing of [
      () => Promise.reject(new Error('the token endpoint answered 500')),
      () => {
        throw new Error('not ready');
      },
      () => Promise.resolve(''),
      () => Promise.resolve(undefined as unknown as string),
    ]) {
      answer = failing;
      const own = clientOf(await make());
      const outcome = await get(own);
      if (!('error' in outcome)) throw new Error('it was served');
      expect(outcome.error.code).to.equal(grpc.status.UNAVAILABLE);
      expect(outcome.error.details).to.match(/^No token could be obtained for this call: /);
    }
    answer = async () => sent;
    served(await get(client));
    expect(decisions(fixture)).to.have.length(1);
  });

  it('asks for a fresh token for each call of a single-use method that its policy knows', async () => {
    const client = clientOf(await make({ policy: await fixturePolicy() }));
    served(await get(client));
    for (let i = 0; i < 3; i++) served(await pay(client));
    served(await get(client));
    expect(requests.map(({ method, refresh }) => [method.split('/').at(-1), refresh])).to.deep.equal([
      ['GetTask', false],
      ['PayTask', true],
      ['PayTask', true],
      ['PayTask', true],
    ]);
    const unaware = clientOf(await make());
    served(await pay(unaware));
    const second = await pay(unaware);
    expect('reason' in second && second.reason).to.equal('TOKEN_REPLAYED');
  });

  it('tells a program why it was refused, by refusalOf', async () => {
    answer = ({ audience }) => fixture.authority.token({ audience, boundTo: fixture.planner, grants: [] });
    const outcome = await get(clientOf(await make()));
    if (!('error' in outcome)) throw new Error('it was served');
    const refusal = refusalOf(outcome.error);
    expect(refusal?.reason).to.equal('PERMISSION_MISSING');
    const [record] = decisions(fixture);
    expect(refusal?.decisionId).to.equal(record?.decisionId);
    expect(refusalOf({ metadata: new grpc.Metadata() })).to.equal(null);
  });

  it('a rotation moves calls to a new connection with a new token, while a stream finishes on the old one', async () => {
    const client = clientOf(await make());
    const sync = client.SyncTasks();
    const ended = drain<Task>(sync);
    sync.write(TASK);
    await until(() => fixture.seen.messages.length === 1, 'the stream runs');
    const old = fixture.planner.fingerprint;
    await fixture.planner.renew();
    served(await get(client));
    served(await get(client));
    expect(fixture.guard.posture().connections).to.equal(2);
    sync.write({ ...TASK, task_id: '2' });
    sync.end();
    const { messages, status } = await ended;
    expect([messages.length, status.code]).to.deep.equal([2, 0]);
    await until(() => fixture.guard.posture().connections === 1, 'the old connection is closed');
    const records = decisions(fixture);
    expect(records.filter((event) => event.outcome !== 'allowed')).to.deep.equal([]);
    expect(records.filter((event) => event.fingerprint === old).map((event) => event.phase)).to.deep.equal([
      'opened',
      'closed',
    ]);
    expect(requests.map((request) => request.svid.fingerprint)).to.deep.equal([old, fixture.planner.fingerprint]);
  });

  it('a rotation fails no call: neither one that waits for a token nor one that waits for a connection', async () => {
    const client = clientOf(await make());
    const releases: (() => void)[] = [];
    answer = async (request) => {
      await new Promise<void>((resolve) => releases.push(resolve));
      return honest(request);
    };
    const waiting = [get(client), get(client)];
    const sync = client.SyncTasks();
    sync.write(TASK);
    sync.end();
    const ended = drain<Task>(sync);
    await until(() => releases.length === 1, 'the source is asked');
    await fixture.planner.renew();
    await fixture.planner.renew();
    for (const release of releases.splice(0)) release();
    await until(() => releases.length > 0, 'the source is asked again');
    answer = honest;
    for (const release of releases.splice(0)) release();
    for (const outcome of await Promise.all(waiting)) served(outcome);
    expect((await ended).status.code).to.equal(0);
    // Now with a token at hand and no connection yet.
    for (let i = 0; i < 5; i++) {
      const calls = [get(client), get(client)];
      await fixture.planner.renew();
      for (const outcome of await Promise.all(calls)) served(outcome);
    }
    const used = new Set(decisions(fixture).map((event) => event.outcome));
    expect([...used]).to.deep.equal(['allowed']);
  });

  it('wakes who waits for the channel when it rotates', async () => {
    const client = clientOf(await make());
    await new Promise<void>((resolve, reject) => {
      client.waitForReady(Date.now() + 5_000, (error) => (error === undefined ? resolve() : reject(error)));
      void fixture.planner.renew();
    });
    served(await get(client));
  });

  it('gives credentials to a plain grpc-js client', async () => {
    const guard = await make({ policy: await fixturePolicy() });
    const client = new TaskClientClass(fixture.address, guard.credentialsFor({ server: SERVER_ID }));
    try {
      served(await get(client));
      served(await pay(client));
      served(await pay(client));
      expect((await drain(client.ListTasks({ ...TASK, count: 2 }))).messages).to.have.length(2);
      expect(requests).to.have.length(3);
      const forged = new grpc.Metadata();
      forged.set('authorization', 'Bearer of-somebody-else');
      const outcome = await unary<Task, Task>(client.GetTask, client, TASK, forged);
      expect('error' in outcome).to.equal(true);
    } finally {
      client.close();
    }
    const misled = new TaskClientClass(
      fixture.address,
      guard.credentialsFor({ server: 'spiffe://acme.example/services/other' }),
    );
    const outcome = await get(misled);
    expect('error' in outcome && outcome.error.code).to.equal(grpc.status.UNAVAILABLE);
    misled.close();
  });

  it('close() ends what it opened; afterwards it makes nothing', async () => {
    const guard = await make();
    const client = clientOf(guard);
    served(await get(client));
    await guard.close();
    await guard.close();
    await until(() => fixture.guard.posture().connections === 0, 'the connection is closed');
    expect(() => clientOf(guard)).to.throw(/has been closed/);
    expect(() => guard.credentialsFor({ server: SERVER_ID })).to.throw(/has been closed/);
    expect(() => client.GetTask(TASK, new grpc.Metadata(), {}, () => {})).to.throw(/has been closed/);
    expect(fixture.planner.current().svid.spiffeId).to.equal(fixture.planner.spiffeId);
  });

  it('close() while a call waits for its token ends the call and not the process', async () => {
    const guard = await make();
    const client = clientOf(guard);
    let release: (token: string) => void = () => {};
    answer = () => new Promise((resolve) => (release = resolve));
    const outcome = get(client);
    await until(() => requests.length === 1, 'the source is asked');
    await guard.close();
    release(await fixture.token());
    const ended = await outcome;
    expect('error' in ended && ended.error.code).to.equal(grpc.status.UNAVAILABLE);
    expect(decisions(fixture)).to.deep.equal([]);
  });

  it('refuses wrong options, all at once, and servers that are no SPIFFE ID', async () => {
    const wrong = { identity: fixture.planner, token: null, tokens: {} } as unknown as Parameters<
      typeof createClientGuard
    >[0];
    const error = await createClientGuard(wrong).then(
      () => null,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(ConfigurationError);
    expect((error as ConfigurationError).problems.map(({ place }) => place)).to.deep.equal([
      'token',
      'tokens',
      'identity (bundle of acme.example)',
    ]);
    const guard = await make();
    for (const server of [
      'tasks:50051',
      'spiffe://acme.example',
      'spiffe://acme.example/*',
      '',
    ] as `spiffe://${string}`[]) {
      expect(() => clientOf(guard, { server }), server).to.throw(ConfigurationError);
    }
  });
});
