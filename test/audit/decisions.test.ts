import { X509Certificate } from 'node:crypto';
import type * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { type DecisionEvent, type MethodRule, type Policy, pinoAudit } from 'grpc-zero-trust';
import { decisions, served, until, upload } from '../support/calls.js';
import { bearer, drain, type Fixture, fixturePolicy, startFixture, unary } from '../support/fixture.js';
import type { Task, TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const GET = '/fixture.v1.TaskService/GetTask';
const SYNC = '/fixture.v1.TaskService/SyncTasks';

describe('audit: decisions over real sockets', () => {
  let fixture: Fixture;
  let client: TaskClient;
  const begin = async (options: Parameters<typeof startFixture>[0] = {}): Promise<void> => {
    fixture = await startFixture(options);
    client = fixture.raw(fixture.planner);
  };
  afterEach(() => fixture.close());
  const get = (task: object, metadata: grpc.Metadata) => unary(client.GetTask, client, task as Task, metadata);
  const ended = async (count: number): Promise<DecisionEvent[]> => {
    await until(() => decisions(fixture).length === count, `${count} records`);
    return decisions(fixture);
  };

  it('one record of a unary call, with every field', async () => {
    await begin();
    served(await get(TASK, bearer(await fixture.token({ claims: { jti: 'the-one' } }))));
    const [event, ...rest] = await ended(1);
    expect(rest).to.deep.equal([]);
    const { time, decisionId, latencyMs, ...fields } = event as DecisionEvent;
    const { planner, authority } = fixture;
    expect(fields).to.deep.equal({
      type: 'decision',
      phase: 'call',
      method: GET,
      outcome: 'allowed',
      reason: null,
      detail: null,
      peer: planner.spiffeId,
      fingerprint: planner.fingerprint,
      serialNumber: new X509Certificate(planner.certificatePem).serialNumber,
      issuer: authority.issuer,
      subject: planner.spiffeId,
      actors: [],
      tokenId: 'the-one',
      resources: [{ permission: 'tasks.task.read', resource: 'projects/7/tasks/1' }],
      messages: 1,
      status: 0,
    });
    expect(Math.abs(time - Date.now())).to.be.lessThan(10_000);
    expect([decisionId.length > 8, latencyMs >= 0]).to.deep.equal([true, true]);
  });

  it('a refused call has one too; what was not verified is not in it', async () => {
    await begin();
    const token = await fixture.token({ claims: { jti: 'never-believed' } });
    await get(TASK, bearer(`${token.slice(0, -4)}AAAA`));
    await get({ ...TASK, project_id: '8' }, bearer(token));
    const [unverified, verified] = await ended(2);
    expect(unverified).to.include({ phase: 'call', outcome: 'refused', reason: 'TOKEN_SIGNATURE', status: 16 });
    expect(unverified).to.include({ peer: fixture.planner.spiffeId, issuer: null, subject: null, tokenId: null });
    expect(verified).to.include({ reason: 'RESOURCE_NOT_GRANTED', status: 7, tokenId: 'never-believed', messages: 0 });
    expect(unverified?.decisionId).to.not.equal(verified?.decisionId);
    const text = JSON.stringify(fixture.audit.events);
    for (const secret of [token, ...token.split('.')]) expect(text.includes(secret)).to.equal(false);
  });

  it('a stream has two, opened and closed, under one id', async () => {
    await begin();
    const sync = client.SyncTasks(bearer(await fixture.token()));
    sync.write(TASK);
    sync.write(TASK);
    sync.end();
    await drain(sync);
    const [opened, closed] = await ended(2);
    expect(opened).to.include({ phase: 'opened', outcome: 'allowed', status: null, messages: 0 });
    expect(closed).to.include({ phase: 'closed', outcome: 'allowed', status: 0, messages: 2 });
    expect(opened?.decisionId).to.equal(closed?.decisionId);
    const refused = client.SyncTasks(bearer('none'));
    await drain(refused);
    expect((await ended(3)).at(-1)).to.include({ phase: 'call', outcome: 'refused', reason: 'TOKEN_MALFORMED' });
  });

  it('level refused writes down refusals only, unary or streaming', async () => {
    const policy = await fixturePolicy();
    const quiet = (method: string): [string, MethodRule] => [
      method,
      { ...(policy.rules.get(method) as MethodRule), audit: { level: 'refused', required: false } },
    ];
    const rules: Policy['rules'] = new Map([...policy.rules, quiet(GET), quiet(SYNC)]);
    await begin({ policy: { ...policy, rules } });
    const token = bearer(await fixture.token());
    served(await get(TASK, token));
    const sync = client.SyncTasks(token);
    sync.write(TASK);
    sync.end();
    await drain(sync);
    await get({ ...TASK, project_id: '8' }, token);
    const second = client.SyncTasks(token);
    second.write({ ...TASK, project_id: '8' });
    await drain(second);
    served(await unary(client.WhoAmI, client, {}, token));
    expect((await ended(3)).map(({ method, reason }) => [method.split('/')[2], reason])).to.deep.equal([
      ['GetTask', 'RESOURCE_NOT_GRANTED'],
      ['SyncTasks', 'RESOURCE_NOT_GRANTED'],
      ['WhoAmI', null],
    ]);
  });

  it('says how a call ended: by its handler, by its client, by its deadline', async () => {
    await begin();
    const token = bearer(await fixture.token());
    const failed = await unary(client.Echo, client, { behaviour: 'error' }, token);
    expect('error' in failed && failed.error.code).to.equal(9);
    expect((await ended(1)).at(-1)).to.include({ outcome: 'allowed', status: 9 });
    const held = client.Echo({ behaviour: 'hold' }, token, {}, () => {});
    held.on('error', () => {});
    await until(() => fixture.seen.calls.length === 2, 'the handler runs');
    held.cancel();
    expect((await ended(2)).at(-1)).to.include({ outcome: 'allowed', status: null, messages: 1 });
    const late = await unary(client.Echo, client, { behaviour: 'hold' }, token, { deadline: Date.now() + 100 });
    expect('error' in late && late.error.code).to.equal(4);
    expect((await ended(3)).at(-1)).to.include({ outcome: 'allowed', status: null, messages: 1 });
    const { call, ended: over } = upload(client.ImportTasks, client, token, [TASK]);
    await until(() => fixture.seen.messages.length === 1, 'the upload runs');
    call.cancel();
    await over;
    const last = (await ended(5)).at(-1);
    expect(last).to.include({ phase: 'closed', outcome: 'allowed', messages: 1 });
    // grpc-js shows the handler of a cancelled upload its end first, and it may have answered.
    expect(last?.status).to.be.oneOf([0, null]);
  });

  it('escapes control and bidirectional characters, and bounds what it holds', async () => {
    await begin();
    const everything = [{ actions: ['tasks.*'], resources: ['**'] }];
    const metadata = bearer(await fixture.token({ grants: everything }));
    served(await get({ ...TASK, task_id: 'a\u202eb\u2066c' }, metadata));
    served(await get({ ...TASK, task_id: 'x'.repeat(100_000) }, metadata));
    await get(TASK, bearer(await fixture.token({ claims: { iss: 'x\u202ey\n' } })));
    const events = await ended(3);
    const text = JSON.stringify(events);
    expect(/[\u202a-\u202e\u2066-\u2069]/.test(text)).to.equal(false);
    expect(events[0]?.resources[0]?.resource).to.equal('projects/7/tasks/a\\u202eb\\u2066c');
    expect(text.length).to.be.lessThan(10_000);
  });

  it('never shows a sensitive value: a keyed hash stands for it, the same for the same value', async () => {
    const policy = await fixturePolicy();
    const rule = withSecretTaskId(policy.rules.get(GET) as MethodRule);
    const rules: Policy['rules'] = new Map([...policy.rules, [GET, rule]]);
    await begin({ policy: { ...policy, rules } });
    const token = bearer(await fixture.token());
    for (const task_id of ['secret-1', 'secret-1', 'secret-2']) served(await get({ ...TASK, task_id }, token));
    await get({ project_id: '8', task_id: 'secret-1' }, token);
    const names = (await ended(4)).map((event) => event.resources[0]?.resource ?? '');
    expect(JSON.stringify(fixture.audit.events)).to.not.include('secret');
    for (const name of names) expect(name).to.match(/^projects\/[78]\/tasks\/hmac:[A-Za-z0-9_-]{22}$/);
    expect(names[0]).to.equal(names[1]);
    expect(names[0]).to.not.equal(names[2]);
    expect(names[3]?.split('/')[3]).to.equal(names[0]?.split('/')[3]);
  });

  it('the default sink takes the same events', async () => {
    const sink = pinoAudit({ destination: '/dev/null' });
    await begin({ sink });
    served(await get(TASK, bearer(await fixture.token())));
    expect(fixture.guard.posture().auditLost).to.equal(0);
    await sink.close();
  });
});

/** The rule with its task id marked sensitive, as `(zerotrust.v1.field) = { sensitive: true }` would. */
function withSecretTaskId(rule: MethodRule): MethodRule {
  type WithTemplate = { template: { placeholders: { path: string }[] } };
  const checks = (rule.checks as unknown as WithTemplate[]).map((check) => ({
    ...check,
    template: {
      ...check.template,
      sensitive: true,
      placeholders: check.template.placeholders.map((one) => ({ ...one, sensitive: one.path === 'task_id' })),
    },
  }));
  return { ...rule, checks: checks as unknown as MethodRule['checks'] };
}
