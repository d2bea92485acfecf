import { expect } from 'chai';
import { createFakeClock, type FakeClock } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, served } from '../support/calls.js';
import { bearer, drain, type Fixture, startFixture, unary } from '../support/fixture.js';
import type { TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const OTHER = { project_id: '8', task_id: '1', title: 't' };
const METHODS = ['GetTask', 'PlannerOnly', 'OnBehalf', 'SyncTasks', 'PayTask'].map(
  (name) => `/fixture.v1.TaskService/${name}`,
);

describe('guard: shadow', () => {
  let fixture: Fixture;
  let clock: FakeClock;
  let client: TaskClient;
  beforeEach(async () => {
    clock = createFakeClock(Date.now());
    fixture = await startFixture({ clock, shadow: { methods: METHODS, until: new Date(clock.now() + 200_000) } });
    client = fixture.raw(fixture.planner);
  });
  afterEach(() => fixture.close());
  const get = (task: object, token: string) => unary(client.GetTask, client, task as typeof TASK, bearer(token));

  it('serves what would have been refused, and records why', async () => {
    const nothing = await fixture.token({ grants: [] });
    served(await get(TASK, nothing));
    served(await get(OTHER, await fixture.token()));
    served(await unary(client.OnBehalf, client, TASK, bearer(await fixture.token())));
    const executor = await fixture.authority.identity('agents/executor');
    const other = fixture.raw(executor);
    const theirs = await fixture.token({ subject: executor.spiffeId, boundTo: executor });
    served(await unary(other.PlannerOnly, other, {}, bearer(theirs)));
    served(await get(TASK, await fixture.token()));
    expect(decisions(fixture).map(({ outcome, reason, status }) => [outcome, reason, status])).to.deep.equal([
      ['shadow', 'PERMISSION_MISSING', 0],
      ['shadow', 'RESOURCE_NOT_GRANTED', 0],
      ['shadow', 'DELEGATION_REQUIRED', 0],
      ['shadow', 'CALLER_NOT_ALLOWED', 0],
      ['allowed', null, 0],
    ]);
  });

  it('is said at start, and shown while it lasts', async () => {
    const said = fixture.audit.events.find((e) => e.type === 'guard' && e.event === 'shadow');
    expect(said).to.have.nested.property('detail.methods', METHODS.join(' '));
    expect(fixture.guard.posture().shadow?.methods).to.deep.equal(METHODS);
    await clock.advance(200_000);
    expect(fixture.guard.posture().shadow).to.equal(null);
  });

  it('authenticates as ever, and uses single-use tokens up', async () => {
    const executor = await fixture.authority.identity('agents/executor');
    const thief = fixture.raw(executor);
    const token = await fixture.token();
    await expectRefused(fixture, await unary(thief.GetTask, thief, TASK, bearer(token)), 'TOKEN_BINDING_MISMATCH');
    await expectRefused(fixture, await unary(client.GetTask, client, TASK), 'TOKEN_MISSING');
    await expectRefused(fixture, await get(TASK, `${token.slice(0, -4)}AAAA`), 'TOKEN_SIGNATURE');
    const wrong = await fixture.token({ audience: 'spiffe://acme.example/services/other' });
    await expectRefused(fixture, await get(TASK, wrong), 'TOKEN_AUDIENCE');
    expect(fixture.seen.calls).to.deep.equal([]);
    const once = bearer(await fixture.token({ grants: [] }));
    served(await unary(client.PayTask, client, TASK, once));
    await expectRefused(fixture, await unary(client.PayTask, client, TASK, once), 'TOKEN_REPLAYED');
  });

  it('touches no other method', async () => {
    const nothing = bearer(await fixture.token({ grants: [] }));
    await expectRefused(fixture, await unary(client.Sweep, client, {}, nothing), 'PERMISSION_MISSING');
    const listed = await drain(client.ListTasks({ ...OTHER, count: 1 }, bearer(await fixture.token())));
    await expectRefused(fixture, listed, 'RESOURCE_NOT_GRANTED');
    expect(fixture.seen.calls).to.deep.equal([]);
    served(await get(OTHER, await fixture.token()));
  });

  it('ends by itself at the time that was set, for tokens that were seen before as well, and within a stream', async () => {
    const nothing = await fixture.token({ grants: [] });
    served(await get(TASK, nothing));
    const sync = client.SyncTasks(bearer(await fixture.token()));
    const ended = drain(sync);
    sync.write(OTHER);
    await new Promise((resolve) => sync.once('data', resolve));
    await clock.advance(199_999);
    served(await get(TASK, nothing));
    await clock.advance(1);
    await expectRefused(fixture, await get(TASK, nothing), 'PERMISSION_MISSING');
    await expectRefused(fixture, await get(OTHER, await fixture.token()), 'RESOURCE_NOT_GRANTED');
    sync.write(OTHER);
    await expectRefused(fixture, await ended, 'RESOURCE_NOT_GRANTED');
    served(await get(TASK, await fixture.token()));
  });
});
