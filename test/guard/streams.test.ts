import { connect } from 'node:http2';
import type * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import type { JwksSource, MethodRule, Policy, Reason } from 'grpc-zero-trust';
import { createFakeClock, createTestAuthority, type FakeClock, type TestIdentity } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, served, until, upload } from '../support/calls.js';
import { bearer, drain, type Fixture, fixturePolicy, startFixture, unary } from '../support/fixture.js';
import type { Task, TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const wholeSecond = (): number => Math.floor(Date.now() / 1000) * 1000;

type Ended = Awaited<ReturnType<typeof drain>> | Awaited<ReturnType<typeof upload>['ended']>;

/** A stream that runs: its handler has started, and has got one message of the client. */
interface Running {
  readonly handler: string;
  readonly ended: Promise<Ended>;
  /** Sends from the client, where that is possible. */
  send(): void;
}

const KINDS: Record<string, (client: TaskClient, metadata: grpc.Metadata) => Running> = {
  'server-streaming': (client, metadata) => {
    const call = client.ListTasks({ ...TASK, count: 2, hold: true }, metadata);
    return { handler: 'ListTasks', ended: drain(call), send: () => {} };
  },
  'client-streaming': (client, metadata) => {
    const { call, ended } = upload(client.ImportTasks, client, metadata, [TASK]);
    return { handler: 'ImportTasks', ended, send: () => void call.write(TASK) };
  },
  bidirectional: (client, metadata) => {
    const call = client.SyncTasks(metadata);
    call.write(TASK);
    return { handler: 'SyncTasks', ended: drain(call), send: () => void call.write(TASK) };
  },
};

describe('guard: running streams', () => {
  let fixture: Fixture;
  let clock: FakeClock;
  let live: (NodeJS.EventEmitter & { write?: (message: Task) => void; cancelled: boolean })[];
  beforeEach(async () => {
    clock = createFakeClock(wholeSecond());
    fixture = await startFixture({ clock });
    live = [];
    fixture.seen.live = live;
  });
  afterEach(() => fixture.close());

  const running = async (kind: string, client: TaskClient, token: string): Promise<Running> => {
    const before = fixture.seen.messages.length;
    const stream = (KINDS[kind] as (typeof KINDS)[string])(client, bearer(token));
    await until(() => fixture.seen.messages.length > before, `${kind}: the first message`);
    return stream;
  };

  /** The stream was ended for this reason; the handler was told, once; nothing passed afterwards in either direction. */
  const expectCut = async (stream: Running, reason: Reason): Promise<void> => {
    // Told in the same turn, not when the client gets to read its status.
    expect(fixture.seen.cancelled).to.deep.equal([stream.handler]);
    const got = fixture.seen.messages.length;
    stream.send();
    live[0]?.write?.(TASK);
    const ended = await stream.ended;
    const event = await expectRefused(fixture, ended, reason);
    expect(event.phase).to.equal('closed');
    stream.send();
    live[0]?.write?.(TASK);
    expect(fixture.seen.messages.length).to.equal(got);
    if ('messages' in ended) expect(ended.messages).to.have.length(stream.handler === 'ListTasks' ? 2 : 1);
    expect(fixture.guard.posture().runningCalls).to.equal(0);
    expect(fixture.seen.cancelled).to.deep.equal([stream.handler]);
  };

  for (const kind of Object.keys(KINDS)) {
    it(`${kind}: ends when its token does, and not before`, async () => {
      const client = fixture.raw(fixture.planner);
      const stream = await running(kind, client, await fixture.token({ lifetimeSeconds: 100 }));
      await clock.advance(129_999);
      expect([fixture.seen.cancelled, fixture.guard.posture().runningCalls]).to.deep.equal([[], 1]);
      await clock.advance(1);
      await expectCut(stream, 'TOKEN_EXPIRED');
      served(await unary(client.GetTask, client, TASK, bearer(await fixture.token())));
    });

    it(`${kind}: ends when the certificate does`, async () => {
      const brief = await fixture.authority.identity('agents/planner', { lifetimeSeconds: 60 });
      const client = fixture.raw(brief);
      const stream = await running(kind, client, await fixture.token({ boundTo: brief }));
      await clock.advance(59_999);
      expect(fixture.seen.cancelled).to.deep.equal([]);
      await clock.advance(1);
      await expectCut(stream, 'PEER_EXPIRED');
      const late = await unary(client.GetTask, client, TASK, bearer(await fixture.token({ boundTo: brief })));
      await expectRefused(fixture, late, 'PEER_EXPIRED');
    });

    const revocations: Record<string, (planner: TestIdentity, jti: string, kid: string) => object> = {
      'its token': (_planner, jti) => ({ tokenId: jti }),
      'its subject': (planner) => ({ subject: planner.spiffeId }),
      'the key of its token': (_planner, _jti, kid) => ({ keyId: kid }),
      'the identity of its peer': (planner) => ({ spiffeId: planner.spiffeId }),
      'the certificate of its peer': (planner) => ({ fingerprint: planner.fingerprint }),
    };
    for (const [what, entry] of Object.entries(revocations)) {
      it(`${kind}: ends at once when ${what} is revoked`, async () => {
        const client = fixture.raw(fixture.planner);
        const stream = await running(kind, client, await fixture.token({ claims: { jti: 'the-one' } }));
        const { planner, authority } = fixture;
        fixture.revocations.revoke({ tokenId: 'some-other' });
        expect(fixture.seen.cancelled).to.deep.equal([]);
        fixture.revocations.revoke(entry(planner, 'the-one', authority.tokenKey.id) as { tokenId: string });
        await expectCut(stream, what.endsWith('peer') ? 'PEER_REVOKED' : 'TOKEN_REVOKED');
      });
    }
  }

  it('ends at its next message when the key of its token left the key set of its issuer', async () => {
    await fixture.close();
    const authority = await createTestAuthority({ trustDomain: 'acme.example', clock });
    let published = authority.jwks();
    const changed = new Set<() => void>();
    const keys: JwksSource = {
      ready: async () => {},
      current: () => published,
      onChange: (listener) => {
        changed.add(listener);
        return () => void changed.delete(listener);
      },
      refresh: async () => {},
      close: async () => {},
      [Symbol.asyncDispose]: async () => {},
    };
    fixture = await startFixture({ authority, clock, issuer: { keys } });
    fixture.seen.live = live;
    const client = fixture.raw(fixture.planner);
    const stream = await running('bidirectional', client, await fixture.token());
    await authority.rotate();
    published = { keys: [...authority.jwks().keys.slice(0, 1)] };
    for (const tell of changed) tell();
    expect(fixture.seen.cancelled).to.deep.equal([]);
    stream.send();
    await expectRefused(fixture, await stream.ended, 'TOKEN_REVOKED');
    expect([fixture.seen.cancelled, fixture.seen.messages.length]).to.deep.equal([['SyncTasks'], 1]);
    served(await unary(client.GetTask, client, TASK, bearer(await fixture.token())));
  });

  it('is cut though the client does not read: the handler is told, nothing more arrives, the stream is reset', async () => {
    const { planner } = fixture;
    const session = connect(`https://${fixture.address}`, {
      ca: planner.bundlePem,
      cert: planner.certificatePem,
      key: planner.privateKeyPem,
      checkServerIdentity: () => undefined,
    });
    session.on('error', () => {});
    const stream = session.request({
      ':method': 'POST',
      ':path': '/fixture.v1.TaskService/SyncTasks',
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${await fixture.token({ claims: { jti: 'the-one' } })}`,
    });
    stream.on('error', () => {});
    stream.pause();
    const title = 'x'.repeat(60_000);
    const body = Buffer.concat([
      Buffer.from([0x0a, 1, 0x37, 0x12, 1, 0x31, 0x1a, 0xe0, 0xd4, 0x03]),
      Buffer.from(title),
    ]);
    const message = Buffer.concat([Buffer.from([0, 0, 0, 0, 0]), body]);
    message.writeUInt32BE(body.length, 1);
    // Each comes back as long: the client's window is full after the first, and what follows waits on the server.
    for (let i = 0; i < 4; i++) stream.write(message);
    await until(() => fixture.seen.messages.length === 4, 'the handler got all');
    const reset = new Promise((resolve) => stream.once('aborted', resolve));
    fixture.revocations.revoke({ tokenId: 'the-one' });
    expect(fixture.seen.cancelled).to.deep.equal(['SyncTasks']);
    expect(fixture.guard.posture().runningCalls).to.equal(0);
    for (let i = 0; i < 4; i++) stream.write(message);
    await reset;
    expect([stream.rstCode, fixture.seen.messages.length]).to.deep.equal([8, 4]);
    expect(session.destroyed).to.equal(false);
    session.destroy();
    expect(decisions(fixture).at(-1)).to.include({ phase: 'closed', reason: 'TOKEN_REVOKED', messages: 4 });
  });

  it('revoking one token leaves the other calls of the same connection alone', async () => {
    const client = fixture.raw(fixture.planner);
    const cut = await running('bidirectional', client, await fixture.token({ claims: { jti: 'of-alice' } }));
    const kept = client.SyncTasks(bearer(await fixture.token({ claims: { jti: 'of-bob' } })));
    const keptEnded = drain<Task>(kept);
    kept.write(TASK);
    await until(() => fixture.seen.messages.length === 2, 'the second stream runs');
    expect(fixture.guard.posture()).to.include({ connections: 1, runningCalls: 2 });
    fixture.revocations.revoke({ tokenId: 'of-alice' });
    await expectRefused(fixture, await cut.ended, 'TOKEN_REVOKED');
    kept.write({ ...TASK, task_id: '2' });
    kept.end();
    const { messages, status } = await keptEnded;
    expect([messages.length, status.code]).to.deep.equal([2, 0]);
    expect(fixture.guard.posture().connections).to.equal(1);
    expect(fixture.audit.events.filter((e) => e.type === 'guard' && e.event === 'connection-closed')).to.deep.equal([]);
  });

  it('revoking an identity closes its connections, and those of nobody else', async () => {
    const executor = await fixture.authority.identity('agents/executor');
    const [client, other] = [fixture.raw(fixture.planner), fixture.raw(executor)];
    const stream = await running('bidirectional', client, await fixture.token());
    const theirs = () => fixture.token({ subject: executor.spiffeId, boundTo: executor });
    const kept = other.SyncTasks(bearer(await theirs()));
    const keptEnded = drain<Task>(kept);
    kept.write(TASK);
    await until(() => fixture.seen.messages.length === 2, 'both streams run');
    expect(fixture.guard.posture().connections).to.equal(2);
    fixture.revocations.revoke({ spiffeId: fixture.planner.spiffeId });
    await expectRefused(fixture, await stream.ended, 'PEER_REVOKED');
    await fixture.audit.waitFor((e) => e.type === 'guard' && e.event === 'connection-closed');
    await until(() => fixture.guard.posture().connections === 1, 'the connection is gone');
    const again = fixture.raw(fixture.planner);
    const refused = await unary(again.GetTask, again, TASK, bearer(await fixture.token()));
    await expectRefused(fixture, refused, 'PEER_REVOKED');
    kept.end();
    expect((await keptEnded).status.code).to.equal(0);
    served(await unary(other.GetTask, other, TASK, bearer(await theirs())));
  });

  it('ends at the greatest age of its method', async () => {
    await fixture.close();
    const policy = await fixturePolicy();
    const method = '/fixture.v1.TaskService/SyncTasks';
    const rule = { ...(policy.rules.get(method) as MethodRule), maxStreamAgeMs: 20_000 };
    const shorter: Policy = { ...policy, rules: new Map([...policy.rules, [method, rule]]) };
    fixture = await startFixture({ clock, policy: shorter });
    fixture.seen.live = live;
    const stream = await running('bidirectional', fixture.raw(fixture.planner), await fixture.token());
    await clock.advance(19_999);
    expect(fixture.seen.cancelled).to.deep.equal([]);
    await clock.advance(1);
    await expectCut(stream, 'TOKEN_EXPIRED');
  });

  it('a clock that is set back ends no stream early and lets none live longer', async () => {
    const stream = await running(
      'bidirectional',
      fixture.raw(fixture.planner),
      await fixture.token({ lifetimeSeconds: 100 }),
    );
    const began = clock.now();
    await clock.advance(50_000);
    await clock.set(began);
    await clock.advance(129_000);
    expect(fixture.seen.cancelled).to.deep.equal([]);
    await clock.advance(1_000);
    await expectCut(stream, 'TOKEN_EXPIRED');
  });
});
