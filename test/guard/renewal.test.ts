import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { createFakeClock, type FakeClock } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, rawUnary, served, until, upload } from '../support/calls.js';
import { bearer, drain, type Fixture, GRANTS, startFixture, unary } from '../support/fixture.js';
import type { Task, TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const RENEW = '/zerotrust.v1.SessionService/Renew';
const SECOND = 1_000;

/** `RenewRequest { stream_id: id }`, by hand. */
const request = (id: string): Buffer => Buffer.concat([Buffer.from([0x0a, id.length]), Buffer.from(id)]);

describe('guard: renewing streams', () => {
  let fixture: Fixture;
  let clock: FakeClock;
  let client: TaskClient;
  beforeEach(async () => {
    clock = createFakeClock(Math.floor(Date.now() / 1000) * 1000);
    fixture = await startFixture({ clock, sessions: true });
    client = fixture.raw(fixture.planner);
  });
  afterEach(() => fixture.close());

  const open = async (token: string) => {
    const sync = client.SyncTasks(bearer(token));
    const messages: Task[] = [];
    sync.on('data', (message: Task) => messages.push(message));
    const ended = drain<Task>(sync);
    sync.write(TASK);
    const [metadata] = (await once(sync, 'metadata')) as [grpc.Metadata];
    const id = String(metadata.get('zerotrust-stream-id')[0]);
    await until(() => messages.length === 1, 'the first echo');
    return {
      id,
      ended,
      end: () => sync.end(),
      echo: async (task: Task) => {
        const before = messages.length;
        sync.write(task);
        await until(() => messages.length > before || fixture.seen.cancelled.length > 0, 'an echo or the end');
        return messages.length > before;
      },
    };
  };
  const renew = (id: string, token: string, over = client) => rawUnary(over, RENEW, request(id), bearer(token));
  const renewals = () => fixture.audit.events.filter((e) => e.type === 'guard' && e.event === 'stream-renewed');

  it('its holder renews it with a fresh token; then it lives as long as that one', async () => {
    const stream = await open(await fixture.token({ lifetimeSeconds: 100 }));
    await clock.advance(90 * SECOND);
    const answer = served(await renew(stream.id, await fixture.token({ lifetimeSeconds: 100 })));
    // RenewResponse { expires_at { seconds } }: a message as field 1, a varint as its field 1.
    expect([answer[0], answer[2]]).to.deep.equal([0x0a, 0x08]);
    expect(renewals()).to.have.length(1);
    await clock.advance(129 * SECOND);
    expect(await stream.echo(TASK)).to.equal(true);
    await clock.advance(SECOND);
    await expectRefused(fixture, await stream.ended, 'TOKEN_EXPIRED');
  });

  it('no other call renews it', async () => {
    const stream = await open(await fixture.token({ lifetimeSeconds: 100 }));
    await clock.advance(90 * SECOND);
    served(await unary(client.GetTask, client, TASK, bearer(await fixture.token())));
    await clock.advance(40 * SECOND);
    await expectRefused(fixture, await stream.ended, 'TOKEN_EXPIRED');
  });

  it('another holder does not, though the connection is the same', async () => {
    const stream = await open(await fixture.token({ lifetimeSeconds: 100, claims: { txn: 'a', client_id: 'c' } }));
    const alice = 'spiffe://acme.example/people/alice';
    const { planner } = fixture;
    const claims = { txn: 'a', client_id: 'c' };
    for (const options of [
      { subject: alice, actors: [planner.spiffeId], claims },
      { actors: [planner.spiffeId], claims },
      { claims: { ...claims, txn: 'b' } },
      { claims: { txn: 'a' } },
      { claims: { ...claims, client_id: 'd' } },
    ]) {
      await expectRefused(fixture, await renew(stream.id, await fixture.token(options)), 'TOKEN_SUBJECT');
    }
    expect(renewals()).to.deep.equal([]);
    served(await renew(stream.id, await fixture.token({ claims })));
    stream.end();
    expect((await stream.ended).status.code).to.equal(0);
  });

  it('nor another connection, of the same identity or of another', async () => {
    const stream = await open(await fixture.token({ lifetimeSeconds: 100 }));
    const executor = await fixture.authority.identity('agents/executor');
    const same = fixture.raw(fixture.planner);
    const other = fixture.raw(executor);
    const theirs = await fixture.token({ subject: executor.spiffeId, boundTo: executor });
    await expectRefused(fixture, await renew(stream.id, await fixture.token(), same), 'RESOURCE_NOT_GRANTED');
    await expectRefused(fixture, await renew(stream.id, theirs, other), 'RESOURCE_NOT_GRANTED');
    await expectRefused(fixture, await renew(stream.id, theirs), 'TOKEN_BINDING_MISMATCH');
    for (const id of ['', 'x', `${stream.id}0`]) {
      await expectRefused(fixture, await renew(id, await fixture.token()), 'RESOURCE_NOT_GRANTED');
    }
    await clock.advance(130 * SECOND);
    await expectRefused(fixture, await stream.ended, 'TOKEN_EXPIRED');
    await expectRefused(fixture, await renew(stream.id, await fixture.token()), 'RESOURCE_NOT_GRANTED');
  });

  it('leaves it the rights that both tokens grant', async () => {
    const grants = (...resources: string[]) => [{ actions: ['tasks.task.write'], resources }];
    const stream = await open(await fixture.token({ grants: grants('projects/7/tasks/1', 'projects/7/tasks/2') }));
    served(await renew(stream.id, await fixture.token({ grants: grants('projects/7/tasks/1', 'projects/7/tasks/3') })));
    expect(await stream.echo(TASK)).to.equal(true);
    expect(await stream.echo({ ...TASK, task_id: '3' })).to.equal(false);
    await expectRefused(fixture, await stream.ended, 'RESOURCE_NOT_GRANTED');
    const second = await open(await fixture.token({ grants: grants('projects/7/tasks/1', 'projects/7/tasks/2') }));
    served(await renew(second.id, await fixture.token({ grants: grants('projects/7/tasks/1') })));
    served(await renew(second.id, await fixture.token({ grants: grants('projects/**') })));
    fixture.seen.cancelled.splice(0);
    expect(await second.echo({ ...TASK, task_id: '2' })).to.equal(false);
    await expectRefused(fixture, await second.ended, 'RESOURCE_NOT_GRANTED');
  });

  it('is refused to a token without the right, or that is no good; the stream goes on with the one it has', async () => {
    const stream = await open(await fixture.token({ lifetimeSeconds: 100 }));
    const without = await fixture.token({ grants: [{ actions: ['tasks.task.read'], resources: ['**'] }] });
    await expectRefused(fixture, await renew(stream.id, without), 'PERMISSION_MISSING');
    const brief = await fixture.token({ lifetimeSeconds: 10 });
    await clock.advance(50 * SECOND);
    await expectRefused(fixture, await renew(stream.id, brief), 'TOKEN_EXPIRED');
    expect(await stream.echo(TASK)).to.equal(true);
    fixture.revocations.revoke({ tokenId: 'the-next' });
    const revoked = await fixture.token({ claims: { jti: 'the-next' } });
    await expectRefused(fixture, await renew(stream.id, revoked), 'TOKEN_REVOKED');
    expect(await stream.echo(TASK)).to.equal(true);
    await clock.advance(80 * SECOND);
    await expectRefused(fixture, await stream.ended, 'TOKEN_EXPIRED');
  });

  it('a stream falls with the token it was renewed with', async () => {
    const stream = await open(await fixture.token());
    served(await renew(stream.id, await fixture.token({ claims: { jti: 'the-next' } })));
    fixture.revocations.revoke({ tokenId: 'the-next' });
    await expectRefused(fixture, await stream.ended, 'TOKEN_REVOKED');
  });

  it('a stream of a single-use method cannot be renewed', async () => {
    const { call, ended } = upload(client.PayTasks, client, bearer(await fixture.token()), [TASK]);
    const [metadata] = (await Promise.all([once(call, 'metadata'), call.end()]))[0] as [grpc.Metadata];
    expect(metadata.get('zerotrust-stream-id')).to.deep.equal([]);
    served(await ended);
  });

  it('without guard.addTo no stream can be renewed, and each ends with its token', async () => {
    await fixture.close();
    fixture = await startFixture({ clock });
    client = fixture.raw(fixture.planner);
    const stream = await open(await fixture.token({ lifetimeSeconds: 100 }));
    expect(stream.id).to.equal('undefined');
    const outcome = await renew('x', await fixture.token());
    expect('error' in outcome && outcome.error.code).to.equal(grpc.status.UNIMPLEMENTED);
    await clock.advance(130 * SECOND);
    await expectRefused(fixture, await stream.ended, 'TOKEN_EXPIRED');
  });

  it('the guarded client renews by itself, as often as it takes', async () => {
    const guarded = await fixture.client();
    const sync = guarded.SyncTasks();
    const ended = drain<Task>(sync);
    sync.write(TASK);
    await once(sync, 'metadata');
    // The server's wait for the end of the stream, the client's for the next renewal.
    const waiting = 2;
    await until(() => clock.pending === waiting, 'both wait');
    for (let round = 1; round <= 4; round++) {
      await clock.advance(230 * SECOND);
      await until(() => renewals().length === round && clock.pending === waiting, `renewal ${round}`);
    }
    sync.write({ ...TASK, task_id: '2' });
    sync.end();
    const { messages, status } = await ended;
    expect([messages.length, status.code]).to.deep.equal([2, 0]);
    expect(decisions(fixture).filter((event) => event.outcome !== 'allowed')).to.deep.equal([]);
  });

  it('also an upload, whose handler says nothing before its end', async () => {
    const guarded = await fixture.client();
    const { call, ended } = upload<Task, { count: number }>(guarded.ImportTasks, guarded, new grpc.Metadata(), [TASK]);
    const announced = once(call, 'metadata');
    await until(() => fixture.seen.messages.length === 1, 'the upload runs');
    await clock.advance(165 * SECOND);
    await announced;
    await clock.advance(110 * SECOND);
    await until(() => renewals().length === 1, 'the renewal');
    await clock.advance(100 * SECOND);
    call.write(TASK);
    call.end();
    expect(served(await ended)).to.deep.equal({ count: 2 });
  });

  it('also over the connection of a certificate that was replaced, where the source still gives tokens for it', async () => {
    const { planner } = fixture;
    const guarded = await fixture.client(planner, {
      getToken: ({ audience, svid }) =>
        fixture.authority.token({
          audience,
          subject: svid.spiffeId,
          boundTo: { fingerprint: svid.fingerprint },
          grants: GRANTS,
        }),
    });
    const sync = guarded.SyncTasks();
    const ended = drain<Task>(sync);
    sync.write(TASK);
    await once(sync, 'metadata');
    await planner.renew();
    const waiting = 2;
    await until(() => clock.pending === waiting, 'both wait');
    for (let round = 1; round <= 2; round++) {
      await clock.advance(230 * SECOND);
      await until(() => renewals().length === round && clock.pending === waiting, `renewal ${round}`);
    }
    sync.end();
    expect((await ended).status.code).to.equal(0);
  });
});
