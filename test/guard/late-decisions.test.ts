import { expect } from 'chai';
import type { ClaimResult, ReplayStore } from 'grpc-zero-trust';
import { createFakeClock } from 'grpc-zero-trust/testing';
import { expectRefused, served, until, upload } from '../support/calls.js';
import { bearer, type Fixture, type Outcome, startFixture, unary } from '../support/fixture.js';

const TASK = { project_id: '7', task_id: '1' };

/** A store that answers when it is told to. */
class SlowStore implements ReplayStore {
  readonly #waiting: ((result: ClaimResult) => void)[] = [];

  get asked(): number {
    return this.#waiting.length;
  }

  claim(): Promise<ClaimResult> {
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  answer(): void {
    for (const resolve of this.#waiting.splice(0)) resolve('fresh');
  }
}

describe('server guard: what changes while a decision is waited for', () => {
  let store: SlowStore;
  let fixture: Fixture;
  const clock = createFakeClock(Date.now());
  beforeEach(async () => {
    await clock.set(Date.now());
    store = new SlowStore();
    // The clock moves in these tests; that the store takes long is not what they are about.
    fixture = await startFixture({ replay: store, clock, limits: { decisionTimeoutMs: 600_000 } });
  });
  afterEach(() => fixture.close());

  /** Pays by a unary and by a streaming call, and changes something while the store is asked. */
  async function payWhile(change: () => unknown): Promise<readonly [Outcome<unknown>, Outcome<unknown>]> {
    const client = fixture.raw(fixture.planner);
    const unaryCall = unary(client.PayTask, client, TASK, bearer(await fixture.token()));
    const stream = upload(client.PayTasks, client, bearer(await fixture.token()), [TASK]);
    stream.call.end();
    await until(() => store.asked === 2, 'both calls to ask the store');
    await change();
    store.answer();
    return [await unaryCall, await stream.ended];
  }

  it('nothing: both are served', async () => {
    for (const outcome of await payWhile(() => {})) served(outcome);
    expect([...fixture.seen.calls].sort()).to.deep.equal(['PayTask', 'PayTasks']);
  });

  it('the subject of the token is revoked', async () => {
    const { issuer } = fixture.authority;
    const revoke = (): void => fixture.revocations.revoke({ issuer, subject: fixture.planner.spiffeId });
    for (const outcome of await payWhile(revoke)) await expectRefused(fixture, outcome, 'TOKEN_REVOKED');
    expect(fixture.seen.calls).to.deep.equal([]);
  });

  it('the identity of the peer is revoked', async () => {
    const revoke = (): void => fixture.revocations.revoke({ spiffeId: fixture.planner.spiffeId });
    for (const outcome of await payWhile(revoke)) await expectRefused(fixture, outcome, 'PEER_REVOKED');
    expect(fixture.seen.calls).to.deep.equal([]);
  });

  it('the token of the stream expires', async () => {
    const [, streamed] = await payWhile(() => clock.advance(331_000));
    await expectRefused(fixture, streamed, 'TOKEN_EXPIRED');
    expect(fixture.seen.calls).to.not.include('PayTasks');
  });
});
