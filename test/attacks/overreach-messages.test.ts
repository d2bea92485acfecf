import * as grpc from '@grpc/grpc-js';
import * as loader from '@grpc/proto-loader';
import { expect } from 'chai';
import type { Grant } from 'grpc-zero-trust';
import { decisions, expectRefused, rawUnary, served, until, upload } from '../support/calls.js';
import { bearer, bind, drain, type Fixture, rawClient, startFixture, unary } from '../support/fixture.js';
import { INCLUDE_DIRS, PROTO, type Task, type TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const OTHER = { project_id: '8', task_id: '1', title: 't' };
const grant = (actions: string[], resources: string[]): Grant[] => [{ actions, resources }];

let fixture: Fixture;
let client: TaskClient;
beforeEach(async () => {
  fixture = await startFixture();
  client = fixture.raw(fixture.planner);
});
afterEach(() => fixture.close());

const nothingSeen = (): void => {
  expect([fixture.seen.calls, fixture.seen.messages]).to.deep.equal([[], []]);
};
const get = (request: object, metadata: grpc.Metadata) =>
  unary<Task, Task>(client.GetTask, client, request as Task, metadata);

describe('attacks: overreach, the resource a request names', () => {
  it('of another tenant, or beside the granted shape, is not granted', async () => {
    const token = bearer(await fixture.token());
    const event = await expectRefused(fixture, await get(OTHER, token), 'RESOURCE_NOT_GRANTED');
    expect(event.resources).to.deep.equal([{ permission: 'tasks.task.read', resource: 'projects/8/tasks/1' }]);
    for (const project_id of ['77', '07', ' 7', '7 ', '７', 'projects', '7\u200b', '+7']) {
      await expectRefused(fixture, await get({ ...TASK, project_id }, token), 'RESOURCE_NOT_GRANTED');
    }
    for (const resources of [
      ['projects/7'],
      ['projects/*'],
      ['projects/7/tasks'],
      ['projects/7/tasks/1/**'],
      ['*/7'],
    ]) {
      const narrow = bearer(await fixture.token({ grants: grant(['tasks.task.read'], resources) }));
      await expectRefused(fixture, await get(TASK, narrow), 'RESOURCE_NOT_GRANTED');
    }
    nothingSeen();
    served(await get(TASK, token));
    expect(decisions(fixture).at(-1)?.resources).to.deep.equal([
      { permission: 'tasks.task.read', resource: 'projects/7/tasks/1' },
    ]);
  });

  it('left empty never means all', async () => {
    const everything = bearer(await fixture.token({ grants: grant(['tasks.*'], ['**']) }));
    for (const request of [{}, { project_id: '7' }, { task_id: '1' }, { project_id: '', task_id: '1' }]) {
      await expectRefused(fixture, await get(request, everything), 'RESOURCE_EMPTY');
    }
    await expectRefused(fixture, await unary(client.GetTasks, client, { names: [] }, everything), 'RESOURCE_EMPTY');
    await expectRefused(fixture, await unary(client.GetByNumber, client, {}, everything), 'RESOURCE_EMPTY');
    nothingSeen();
    served(await get(TASK, everything));
  });

  it('with a wildcard, a step up, an escape or a separator in a field is refused, whatever is granted', async () => {
    const everything = bearer(await fixture.token({ grants: grant(['tasks.*'], ['**']) }));
    for (const task_id of [
      '*',
      '**',
      '1*',
      '..',
      '.',
      '-',
      '%2e%2e',
      '1%2F2',
      '%',
      '1/2',
      '/',
      '../../8/tasks/1',
      '1/',
      '\\',
      '1\\2',
      '\u0000',
      '1\n',
      '\u007f',
      '\u0085',
      '\ufffd',
      '\ud800',
    ]) {
      const outcome = await get({ ...TASK, task_id }, everything);
      expect('reason' in outcome ? outcome.reason : 'served', JSON.stringify(task_id)).to.equal('RESOURCE_INVALID');
    }
    await expectRefused(fixture, await get({ ...TASK, project_id: '7/tasks/1' }, everything), 'RESOURCE_INVALID');
    nothingSeen();
    for (const task_id of ['...', '1.2', 'a b', 'é', '--', '~', '名前', '__proto__']) {
      served(await get({ ...TASK, task_id }, everything));
    }
  });

  it('in the second element of a repeated field counts as much as in the first', async () => {
    const token = bearer(await fixture.token());
    for (const names of [
      [TASK, OTHER],
      [OTHER, TASK],
      [TASK, TASK, TASK, OTHER],
    ]) {
      await expectRefused(fixture, await unary(client.GetTasks, client, { names }, token), 'RESOURCE_NOT_GRANTED');
    }
    const hole = { names: [TASK, { project_id: '7', task_id: '' }] };
    await expectRefused(fixture, await unary(client.GetTasks, client, hole, token), 'RESOURCE_EMPTY');
    const star = { names: [TASK, { project_id: '7', task_id: '*' }] };
    await expectRefused(fixture, await unary(client.GetTasks, client, star, token), 'RESOURCE_INVALID');
    nothingSeen();
    served(await unary(client.GetTasks, client, { names: [TASK, { ...TASK, task_id: '2' }] }, token));
  });
});

describe('attacks: overreach, the second message of a stream', () => {
  for (const second of ['later', 'in one go'] as const) {
    it(`client-streaming, sent ${second}: the call ends before the handler sees it, and the handler is told`, async () => {
      const { call, ended } = upload<Task, { count: number }>(
        client.ImportTasks,
        client,
        bearer(await fixture.token()),
        [TASK],
      );
      if (second === 'later') await until(() => fixture.seen.messages.length === 1, 'the first message');
      call.write(OTHER);
      call.write(TASK);
      const event = await expectRefused(fixture, await ended, 'RESOURCE_NOT_GRANTED');
      expect([event.phase, event.messages]).to.deep.equal(['closed', 1]);
      await until(() => fixture.seen.cancelled.length > 0, 'the handler is told');
      expect(fixture.seen.cancelled).to.deep.equal(['ImportTasks']);
      expect(fixture.seen.messages).to.deep.equal([TASK]);

      const honest = upload<Task, { count: number }>(client.ImportTasks, client, bearer(await fixture.token()), [
        TASK,
        { ...TASK, task_id: '2' },
      ]);
      honest.call.end();
      expect(served(await honest.ended)).to.deep.equal({ count: 2 });
    });

    it(`bidirectional, sent ${second}: likewise`, async () => {
      const sync = client.SyncTasks(bearer(await fixture.token()));
      const ended = drain<Task>(sync);
      sync.write(TASK);
      if (second === 'later') await until(() => fixture.seen.messages.length === 1, 'the first message');
      sync.write(OTHER);
      sync.write(TASK);
      const event = await expectRefused(fixture, await ended, 'RESOURCE_NOT_GRANTED');
      expect([event.phase, event.messages]).to.deep.equal(['closed', 1]);
      await until(() => fixture.seen.cancelled.length > 0, 'the handler is told');
      expect(fixture.seen.messages).to.deep.equal([TASK]);

      const honest = client.SyncTasks(bearer(await fixture.token()));
      honest.write(TASK);
      honest.write({ ...TASK, task_id: '2' });
      honest.end();
      expect((await drain(honest)).messages).to.deep.equal([TASK, { ...TASK, task_id: '2' }]);
    });
  }
});

describe('attacks: overreach, bytes that can be read in two ways', () => {
  const PATH = '/fixture.v1.TaskService/GetByNumber';
  /** `by_number { number: n }` as field 1. */
  const byNumber = (n: bigint): number[] => {
    const number = [0x08, ...varint(n)];
    return [0x0a, number.length, ...number];
  };
  const BY_TEXT = [0x12, 1, 0x78];
  const varint = (n: bigint): number[] => {
    const bytes: number[] = [];
    for (let left = n; ; left >>= 7n) {
      if (left < 128n) return [...bytes, Number(left)];
      bytes.push(Number(left & 127n) | 128);
    }
  };
  const token = async (...resources: string[]) =>
    bearer(await fixture.token({ grants: grant(['tasks.task.read'], resources) }));
  const send = (to: TaskClient, bytes: number[], metadata: grpc.Metadata) =>
    rawUnary(to, PATH, Uint8Array.from(bytes), metadata);

  it('both members of a oneof are refused, in either order', async () => {
    const metadata = await token('projects/7');
    for (const bytes of [
      [...byNumber(7n), ...BY_TEXT],
      [...BY_TEXT, ...byNumber(7n)],
    ]) {
      await expectRefused(fixture, await send(client, bytes, metadata), 'RESOURCE_INVALID');
    }
    await expectRefused(fixture, await send(client, BY_TEXT, metadata), 'RESOURCE_EMPTY');
    nothingSeen();
    served(await send(client, byNumber(7n), metadata));
  });

  it('of a submessage sent twice, what is checked is what the handler gets', async () => {
    const metadata = await token('projects/7');
    await expectRefused(
      fixture,
      await send(client, [...byNumber(7n), ...byNumber(8n)], metadata),
      'RESOURCE_NOT_GRANTED',
    );
    nothingSeen();
    served(await send(client, [...byNumber(8n), ...byNumber(7n)], metadata));
    const [request] = fixture.seen.messages as [{ by_number: { number: string } }];
    expect(request.by_number.number).to.equal('7');
  });

  it('an int64 that its loader rounded names nothing', async () => {
    const definition = loader.loadSync(PROTO, { includeDirs: INCLUDE_DIRS, keepCase: true, longs: Number });
    const packages = grpc.loadPackageDefinition(definition) as unknown as {
      fixture: { v1: { TaskService: grpc.ServiceClientConstructor } };
    };
    const server = new grpc.Server({ interceptors: [fixture.guard.interceptor] });
    const got: unknown[] = [];
    server.addService(packages.fixture.v1.TaskService.service, {
      GetByNumber(call: grpc.ServerUnaryCall<object, object>, callback: grpc.sendUnaryData<object>) {
        got.push(call.request);
        callback(null, {});
      },
    });
    const rounding = rawClient(`127.0.0.1:${await bind(server, fixture.guard.credentials)}`, fixture.planner);
    try {
      const exact = 2n ** 53n + 1n;
      const metadata = await token(`projects/${exact}`, `projects/${2n ** 53n}`, 'projects/7');
      await expectRefused(fixture, await send(rounding, byNumber(exact), metadata), 'RESOURCE_INVALID');
      await expectRefused(fixture, await send(rounding, byNumber(2n ** 53n), metadata), 'RESOURCE_INVALID');
      expect(got).to.deep.equal([]);
      served(await send(rounding, byNumber(7n), metadata));
      // Where the loader keeps it exact, it is served as what it is.
      served(await send(client, byNumber(exact), metadata));
      const others = await token(`projects/${2n ** 53n}`);
      await expectRefused(fixture, await send(client, byNumber(exact), others), 'RESOURCE_NOT_GRANTED');
    } finally {
      rounding.close();
      server.forceShutdown();
    }
  });
});
