import { expect } from 'chai';
import type { DecisionEvent } from 'grpc-zero-trust';
import { bearer, drain, errorInfoOf, type Fixture, type Outcome, startFixture, unary } from '../support/fixture.js';

const task = { project_id: '7', task_id: '1' };

/** Who a record names when the call was refused: what the signature of the token vouched for, and nothing else. */
describe('audit records of refused callers', () => {
  let fixture: Fixture;
  beforeEach(async () => {
    fixture = await startFixture();
  });
  afterEach(() => fixture.close());

  async function recordOf(outcome: Outcome<unknown>, reason: string): Promise<DecisionEvent> {
    const info = 'error' in outcome ? errorInfoOf(outcome.error) : null;
    expect(info?.reason).to.equal(reason);
    const event = await fixture.audit.waitFor((e) => e.type === 'decision' && e.decisionId === info?.decisionId);
    return event as DecisionEvent;
  }
  const named = ({ peer, issuer, subject, actors, tokenId }: DecisionEvent) => ({
    peer,
    issuer,
    subject,
    actors,
    tokenId,
  });

  it('of a stolen token it says who sent it and whose it is', async () => {
    const thief = await fixture.authority.identity('agents/thief');
    const client = fixture.raw(thief);
    const token = await fixture.token({ claims: { jti: 'stolen-1' } });
    const record = await recordOf(await unary(client.GetTask, client, task, bearer(token)), 'TOKEN_BINDING_MISMATCH');
    const { issuer } = fixture.authority;
    expect(named(record)).to.deep.equal({
      ...{ peer: thief.spiffeId, issuer, subject: fixture.planner.spiffeId, actors: [], tokenId: 'stolen-1' },
    });
  });

  it('where a right is missing it says whose rights were looked at, as for a call that is served', async () => {
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token({ grants: [], claims: { jti: 'poor-1' } });
    const record = await recordOf(await unary(client.GetTask, client, task, bearer(token)), 'PERMISSION_MISSING');
    expect(await unary(client.WhoAmI, client, {}, bearer(token))).to.have.property('ok');
    const served = await fixture.audit.waitFor((e) => e.type === 'decision' && e.outcome === 'allowed');
    expect(named(record)).to.deep.equal(named(served as DecisionEvent));
    expect(record.tokenId).to.equal('poor-1');
  });

  it('where delegation is refused it names the subject and through whom', async () => {
    const worker = await fixture.authority.identity('agents/worker');
    const client = fixture.raw(worker);
    const delegated = { boundTo: worker, subject: fixture.planner.spiffeId, actors: [worker.spiffeId] };
    const token = await fixture.token(delegated);
    expect(await unary(client.OnBehalf, client, task, bearer(token))).to.have.property('ok');
    const record = await recordOf(await unary(client.GetTask, client, task, bearer(token)), 'DELEGATION_FORBIDDEN');
    expect(record).to.deep.include({ subject: fixture.planner.spiffeId, actors: [worker.spiffeId] });
  });

  it('a token of a stream that was used before is named too', async () => {
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token({ claims: { jti: 'once-1' } });
    expect(await unary(client.PayTask, client, task, bearer(token))).to.have.property('ok');
    const outcome = await new Promise<Outcome<unknown>>((resolve) => {
      client
        .PayTasks(bearer(token), {}, (error, ok) => resolve(error ? { error, reason: null } : { ok }))
        .on('error', () => {});
    });
    expect((await recordOf(outcome, 'TOKEN_REPLAYED')).tokenId).to.equal('once-1');
  });

  it('a token whose signature does not hold names nobody', async () => {
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    const forged = `${token.slice(0, token.lastIndexOf('.'))}.${Buffer.alloc(64, 1).toString('base64url')}`;
    const record = await recordOf(await unary(client.GetTask, client, task, bearer(forged)), 'TOKEN_SIGNATURE');
    expect(named(record)).to.deep.equal({
      ...{ peer: fixture.planner.spiffeId, issuer: null, subject: null, actors: [], tokenId: null },
    });
    const listed = await drain(client.ListTasks({ ...task, count: 1 }, bearer(token)));
    expect(listed.status.code).to.equal(0);
  });
});
