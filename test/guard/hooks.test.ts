import { expect } from 'chai';
import {
  type AuditEvent,
  type AuditSink,
  ConfigurationError,
  type MethodRule,
  type Policy,
  type RevocationSource,
} from 'grpc-zero-trust';
import { createFakeClock } from 'grpc-zero-trust/testing';
import { expectRefused, served, until } from '../support/calls.js';
import { bearer, drain, type Fixture, fixturePolicy, startFixture, unary } from '../support/fixture.js';
import type { TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const METHOD = '/fixture.v1.TaskService/GetTask';

/** The fixture's policy, with other rules for one method. */
async function policyWith(method: string, change: Partial<MethodRule>): Promise<Policy> {
  const policy = await fixturePolicy();
  const rule = { ...(policy.rules.get(method) as MethodRule), ...change };
  return { ...policy, rules: new Map([...policy.rules, [method, rule]]) };
}

/** Whatever a hook does, the call is refused or served as it should be, once, and the process lives: mocha fails on a stray rejection. */
describe('guard: hooks that fail', () => {
  let fixture: Fixture;
  let client: TaskClient;
  const begin = async (options: Parameters<typeof startFixture>[0]): Promise<void> => {
    fixture = await startFixture(options);
    client = fixture.raw(fixture.planner);
  };
  afterEach(() => fixture.close());
  const get = async () => unary(client.GetTask, client, TASK, bearer(await fixture.token()));
  const never = <T>(): Promise<T> => new Promise(() => {});

  const sinks: Record<string, () => void | Promise<void>> = {
    throws: () => {
      throw new Error('disk full');
    },
    rejects: () => Promise.reject(new Error('disk full')),
    hangs: () => never(),
  };
  for (const [how, write] of Object.entries(sinks)) {
    it(`an audit sink that ${how} loses records, counted, and no call that does not require one`, async () => {
      await begin({ sink: { write, close: async () => {} } });
      const before = fixture.guard.posture().auditLost;
      served(await get());
      const refused = await unary(client.GetTask, client, TASK);
      expect('reason' in refused && refused.reason).to.equal('TOKEN_MISSING');
      const lost = fixture.guard.posture().auditLost - before;
      expect(lost).to.equal(how === 'hangs' ? 0 : 2);
      expect(fixture.seen.calls).to.deep.equal(['GetTask']);
    });

    it(`a durable sink that ${how} refuses the calls that require their record`, async () => {
      const clock = createFakeClock(Date.now());
      let down = false;
      const events: AuditEvent[] = [];
      const sink: AuditSink = {
        durable: true,
        async write(event) {
          if (down && event.type === 'decision' && event.phase === 'admitted') await write();
          events.push(event);
        },
        close: async () => {},
      };
      const policy = await policyWith(METHOD, { audit: { level: 'all', required: true } });
      await begin({ clock, policy, sink });
      served(await get());
      expect(events.filter((e) => e.type === 'decision').map((e) => 'phase' in e && e.phase)).to.deep.equal([
        'admitted',
        'call',
      ]);
      down = true;
      const waiting = clock.pending;
      const outcome = get();
      if (how === 'hangs') {
        await until(() => clock.pending > waiting, 'the decision waits');
        await clock.advance(5_000);
      }
      const ended = await outcome;
      expect('reason' in ended && ended.reason).to.equal(how === 'hangs' ? 'STATE_UNAVAILABLE' : 'AUDIT_UNAVAILABLE');
      expect(fixture.seen.calls).to.deep.equal(['GetTask']);
      served(await unary(client.WhoAmI, client, {}, bearer(await fixture.token())));
      down = false;
      served(await get());
    });
  }

  it('a method that requires its record is not served by a sink that promises nothing', async () => {
    const policy = await policyWith(METHOD, { audit: { level: 'all', required: true } });
    const error = await startFixture({ policy }).then(
      () => null,
      (thrown: unknown) => thrown as ConfigurationError,
    );
    expect(error).to.be.instanceOf(ConfigurationError);
    expect(error?.problems.map(({ place }) => place)).to.deep.equal([`audit (${METHOD})`]);
    await begin({});
    served(await get());
  });

  it('revocations that cannot be read refuse every call, and end every stream', async () => {
    const good = { epoch: 1, issuedAt: 0, nextUpdate: null, peerRevoked: () => false, tokenRevoked: () => false };
    const changed = new Set<() => void>();
    let down = false;
    const revocations: RevocationSource = {
      current() {
        if (down) throw new Error('the snapshot is gone');
        return good;
      },
      onChange(listener) {
        changed.add(listener);
        return () => void changed.delete(listener);
      },
    };
    for (const moment of ['expiry', 'change', 'message'] as const) {
      down = false;
      const clock = createFakeClock(Math.floor(Date.now() / 1000) * 1000);
      await begin({ clock, revocations });
      served(await get());
      const sync = client.SyncTasks(bearer(await fixture.token({ lifetimeSeconds: 100 })));
      const ended = drain(sync);
      sync.write(TASK);
      await until(() => fixture.seen.messages.length === 2, 'the stream runs');
      down = true;
      await expectRefused(fixture, await get(), 'STATE_UNAVAILABLE');
      if (moment === 'expiry') await clock.advance(131_000);
      else if (moment === 'message') sync.write(TASK);
      else for (const tell of changed) tell();
      await expectRefused(fixture, await ended, 'STATE_UNAVAILABLE');
      expect(fixture.seen.cancelled).to.include('SyncTasks');
      expect(fixture.seen.messages).to.have.length(2);
      await fixture.audit.waitFor((e) => e.type === 'guard' && e.event === 'internal-error');
      down = false;
      served(await get());
      if (moment !== 'message') await fixture.close();
    }
  });

  it('a snapshot that answers with a promise refuses', async () => {
    const lazy = () => Promise.resolve(false) as unknown as boolean;
    const snapshot = { epoch: 1, issuedAt: 0, nextUpdate: null, peerRevoked: () => false, tokenRevoked: lazy };
    await begin({ revocations: { current: () => snapshot, onChange: () => () => {} } });
    await expectRefused(fixture, await get(), 'TOKEN_REVOKED');
    served(await unary(client.Ping, client, {}));
  });

  it('a grants or subject function that throws, answers late or answers nonsense refuses the token', async () => {
    let answer: () => unknown = () => [];
    await begin({ issuer: { grants: () => answer() as [] } });
    for (const bad of [
      () => {
        throw new Error('no such claim');
      },
      () => Promise.reject(new Error('late')).catch(() => []),
      () => never(),
      () => undefined,
      () => 'tasks.*',
      () => [{ actions: ['*'], resources: ['**'] }],
      () => [{ actions: ['tasks.*'] }],
      () => [null],
    ]) {
      answer = bad;
      await expectRefused(fixture, await get(), 'TOKEN_MALFORMED');
    }
    expect(fixture.seen.calls).to.deep.equal([]);
    answer = () => [{ actions: ['tasks.task.read'], resources: ['projects/7/**'] }];
    served(await get());
    await fixture.close();
    let name: () => unknown = () => '';
    await begin({ issuer: { subject: () => name() as string } });
    for (const [bad, reason] of [
      [
        () => {
          throw new Error('no such claim');
        },
        'TOKEN_MALFORMED',
      ],
      [() => undefined, 'TOKEN_SUBJECT'],
      [() => Promise.resolve('x'), 'TOKEN_SUBJECT'],
      [() => ' spiffe://acme.example/agents/planner', 'TOKEN_SUBJECT'],
    ] as const) {
      name = bad;
      await expectRefused(fixture, await get(), reason);
    }
    name = () => fixture.planner.spiffeId;
    served(await get());
  });
});
