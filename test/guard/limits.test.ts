import { connect } from 'node:http2';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { createFakeClock, type TestIdentity } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, served, until } from '../support/calls.js';
import { bearer, drain, type Fixture, startFixture, unary } from '../support/fixture.js';
import type { TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };

describe('guard: limits', () => {
  let fixture: Fixture;
  afterEach(() => fixture.close());
  const get = (client: TaskClient, token: string, more: Record<string, string> = {}) =>
    unary(client.GetTask, client, TASK, bearer(token, more));
  const http2 = (identity: TestIdentity) => {
    const session = connect(`https://${fixture.address}`, {
      ca: identity.bundlePem,
      cert: identity.certificatePem,
      key: identity.privateKeyPem,
      checkServerIdentity: () => undefined,
    });
    session.on('error', () => {});
    return session;
  };

  it('streams of one connection: the next waits for one to end; other connections do not', async () => {
    fixture = await startFixture({ limits: { streamsPerConnection: 3 } });
    const client = fixture.raw(fixture.planner);
    served(await get(client, await fixture.token()));
    const token = bearer(await fixture.token());
    const streams = Array.from({ length: 5 }, () => client.ListTasks({ ...TASK, count: 1, hold: true }, token));
    const ends = streams.map((stream) => drain(stream));
    await until(() => fixture.seen.calls.length === 4, 'three run');
    served(await get(fixture.raw(fixture.planner), await fixture.token()));
    expect(fixture.guard.posture().runningCalls).to.equal(3);
    streams[0]?.cancel();
    await until(() => fixture.seen.calls.length === 6, 'the fourth runs');
    for (const stream of streams) stream.cancel();
    await Promise.all(ends);
  });

  it('headers: a call with more is not served, the connection lives on', async () => {
    fixture = await startFixture({ limits: { headerBytes: 8_192 } });
    const client = fixture.raw(fixture.planner);
    const token = await fixture.token();
    served(await get(client, token, { 'x-large': 'x'.repeat(4_000) }));
    const outcome = await get(client, token, { 'x-large': 'x'.repeat(9_000) });
    expect('error' in outcome).to.equal(true);
    expect(fixture.seen.calls).to.have.length(1);
    served(await get(client, token));
    const flood = await get(client, token, { 'x-large': 'x'.repeat(1_000_000) });
    expect('error' in flood).to.equal(true);
    expect(fixture.seen.calls).to.have.length(2);
    served(await get(fixture.raw(fixture.planner), token));
  });

  it('messages: a greater one ends the call before it is decoded; the lower of two limits counts', async () => {
    fixture = await startFixture({
      limits: { messageBytes: 5_000 },
      serverOptions: { 'grpc.max_receive_message_length': 50_000 },
    });
    const client = fixture.raw(fixture.planner);
    const token = bearer(await fixture.token());
    const echo = (bytes: number) => unary(client.Echo, client, { data: Buffer.alloc(bytes) }, token);
    served(await echo(4_900));
    for (const bytes of [5_100, 60_000]) {
      const outcome = await echo(bytes);
      expect('error' in outcome && outcome.error.code).to.equal(grpc.status.RESOURCE_EXHAUSTED);
    }
    expect(fixture.seen.calls).to.deep.equal(['Echo']);
    const both = client.EchoBoth(token);
    const ended = drain(both);
    both.write({ data: Buffer.alloc(10) });
    await until(() => fixture.seen.calls.length === 2, 'the stream runs');
    both.write({ data: Buffer.alloc(6_000) });
    const { messages, status } = await ended;
    expect([messages.length, status.code]).to.deep.equal([1, grpc.status.RESOURCE_EXHAUSTED]);
  });

  it('connections of one peer: one more is refused, while other peers are not; room is given back', async () => {
    fixture = await startFixture({ limits: { connectionsPerPeer: 2 } });
    const executor = await fixture.authority.identity('agents/executor');
    const clients = [fixture.raw(fixture.planner), fixture.raw(fixture.planner)];
    for (const client of clients) served(await get(client, await fixture.token()));
    const third = fixture.raw(fixture.planner);
    await expectRefused(fixture, await get(third, await fixture.token()), 'RATE_LIMITED');
    await expectRefused(fixture, await unary(third.Ping, third, {}), 'RATE_LIMITED');
    const other = fixture.raw(executor);
    served(await get(other, await fixture.token({ subject: executor.spiffeId, boundTo: executor })));
    expect(fixture.seen.calls).to.have.length(3);
    for (const client of clients) client.close();
    await until(() => fixture.guard.posture().connections === 2, 'two connections are gone');
    served(await get(fixture.raw(fixture.planner), await fixture.token()));
    // The one that was refused is served as well now that there is room.
    served(await get(third, await fixture.token()));
  });

  it('signatures verified for one peer: known tokens and other peers go on', async () => {
    const clock = createFakeClock(Date.now());
    fixture = await startFixture({ clock, limits: { verificationsPerPeerPerSecond: 2 } });
    const executor = await fixture.authority.identity('agents/executor');
    const client = fixture.raw(fixture.planner);
    const known = await fixture.token();
    served(await get(client, known));
    for (let i = 0; i < 3; i++) served(await get(client, await fixture.token()));
    await expectRefused(fixture, await get(client, await fixture.token()), 'RATE_LIMITED');
    await expectRefused(fixture, await get(fixture.raw(fixture.planner), await fixture.token()), 'RATE_LIMITED');
    served(await get(client, known));
    served(await get(fixture.raw(executor), await fixture.token({ subject: executor.spiffeId, boundTo: executor })));
    await clock.advance(1_000);
    for (let i = 0; i < 2; i++) served(await get(client, await fixture.token()));
    await expectRefused(fixture, await get(client, await fixture.token()), 'RATE_LIMITED');
    expect(fixture.seen.calls).to.have.length(8);
  });

  it('a refused upload that goes on sending is reset', async () => {
    fixture = await startFixture();
    const { planner } = fixture;
    const body = Buffer.alloc(65_536);
    body.writeUInt32BE(body.length - 5, 1);
    const pump = async (authorization: string, most: number): Promise<{ sent: number; status: unknown }> => {
      const session = http2(planner);
      const stream = session.request({
        ':method': 'POST',
        ':path': '/fixture.v1.TaskService/EchoUp',
        'content-type': 'application/grpc',
        te: 'trailers',
        authorization,
      });
      let status: unknown = null;
      let sent = 0;
      let ended = false;
      stream.on('error', () => {});
      stream.on('response', (headers) => (status = headers['grpc-status'] ?? null));
      stream.on('trailers', (headers) => (status ??= headers['grpc-status']));
      stream.resume();
      const closed = new Promise<void>((resolve) => stream.once('close', resolve)).then(() => {
        ended = true;
      });
      // It does not care what it is told.
      while (!ended && sent < most) {
        await Promise.race([closed, new Promise<void>((resolve) => stream.write(body, () => resolve()))]);
        sent += body.length;
      }
      if (!ended) {
        stream.end();
        await closed;
      }
      session.destroy();
      return { sent, status };
    };
    const refused = await pump('Bearer none', 512 * 1_048_576);
    expect(refused.sent).to.be.lessThan(8 * 1_048_576);
    expect(Number(refused.status)).to.equal(grpc.status.UNAUTHENTICATED);
    expect([fixture.seen.calls, decisions(fixture).length]).to.deep.equal([[], 1]);
    const honest = await pump(`Bearer ${await fixture.token()}`, 1_048_576);
    expect(honest.sent).to.equal(1_048_576);
    expect(fixture.seen.calls).to.deep.equal(['EchoUp']);
  });
});
