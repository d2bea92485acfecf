import { expect } from 'chai';
import { bearer, drain, errorInfoOf, type Fixture, startFixture, unary } from '../support/fixture.js';

describe('server guard', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await startFixture();
  });
  afterEach(() => fixture.close());

  it('serves an honest unary call and tells the handler who is calling', async () => {
    const client = fixture.raw(fixture.planner);
    const outcome = await unary(client.WhoAmI, client, {}, bearer(await fixture.token()));
    expect(outcome).to.deep.equal({
      ok: { peer: fixture.planner.spiffeId, subject: fixture.planner.spiffeId, actors: [] },
    });
  });

  it('serves honest calls of all four kinds', async () => {
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    const task = { project_id: '7', task_id: '1', title: 't' };
    expect(await unary(client.GetTask, client, task, bearer(token))).to.have.property('ok');
    const listed = await drain(client.ListTasks({ ...task, count: 3 }, bearer(token)));
    expect([listed.messages.length, listed.status.code]).to.deep.equal([3, 0]);
    const imported = await new Promise((resolve) => {
      const call = client.ImportTasks(bearer(token), {}, (error, summary) => resolve(error ?? summary));
      call.write(task);
      call.write(task);
      call.end();
    });
    expect(imported).to.deep.equal({ count: 2 });
    const sync = client.SyncTasks(bearer(token));
    sync.write(task);
    sync.end();
    expect((await drain(sync)).messages).to.deep.equal([task]);
  });

  it('refuses a call without a token, with a reason, a constant sentence and a decision id that the audit record bears', async () => {
    const client = fixture.raw(fixture.planner);
    const outcome = await unary(client.WhoAmI, client, {});
    if (!('error' in outcome)) throw new Error('it was served');
    const info = errorInfoOf(outcome.error);
    expect(info).to.include({ reason: 'TOKEN_MISSING', domain: 'zerotrust' });
    expect(outcome.error.details).to.equal('A bearer token is required.');
    const event = await fixture.audit.waitFor((e) => e.type === 'decision' && e.decisionId === info?.decisionId);
    expect(event).to.include({
      outcome: 'refused',
      reason: 'TOKEN_MISSING',
      status: 16,
      peer: fixture.planner.spiffeId,
    });
    expect(fixture.seen.calls).to.deep.equal([]);
  });

  it('serves a guarded client', async () => {
    const client = await fixture.client();
    expect(await unary(client.GetTask, client, { project_id: '7', task_id: '1' })).to.have.property('ok');
  });
});
