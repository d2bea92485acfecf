import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { type ClientGuard, createClientGuard, REASONS, type Reason } from 'grpc-zero-trust';
import { createTestAuthority, type TestAuthority, type TestIdentity } from 'grpc-zero-trust/testing';
import { encodeRefusal } from '#dist/wire/status.js';
import { served, upload } from '../support/calls.js';
import { bind, drain, SERVER_ID, unary } from '../support/fixture.js';
import { type Task, type TaskClient, TaskClientClass, TaskService } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };

/** A server that refuses as a guarded one does, when told to: what a client can be told is not limited by what we send. */
describe('client guard: trying again', () => {
  let authority: TestAuthority;
  let planner: TestIdentity;
  let server: grpc.Server;
  let guard: ClientGuard;
  let client: TaskClient;
  let script: (Reason | 'ok')[];
  let tokens: string[];
  let refreshes: boolean[];
  let got: unknown[];
  /** Whether something is sent before the refusal. */
  let first: 'nothing' | 'metadata' | 'message';

  const refusal = (reason: Reason): grpc.ServiceError => {
    const metadata = new grpc.Metadata();
    metadata.set('grpc-status-details-bin', Buffer.from(encodeRefusal(reason, 'd')));
    const { status: code, sentence } = REASONS[reason];
    return Object.assign(new Error(sentence), { code, details: sentence, metadata });
  };
  const next = (call: { metadata: grpc.Metadata }): grpc.ServiceError | null => {
    tokens.push(String(call.metadata.get('authorization')[0]));
    const step = script.shift() ?? 'ok';
    return step === 'ok' ? null : refusal(step);
  };

  beforeEach(async () => {
    authority = await createTestAuthority({ trustDomain: 'acme.example' });
    planner = await authority.identity('agents/planner');
    const own = await authority.identity('services/tasks');
    [script, tokens, refreshes, got, first] = [[], [], [], [], 'nothing'];
    server = new grpc.Server();
    server.addService(TaskService.service, {
      GetTask(call: grpc.ServerUnaryCall<Task, Task>, callback: grpc.sendUnaryData<Task>) {
        const error = next(call);
        if (first !== 'nothing') call.sendMetadata(new grpc.Metadata());
        if (error === null) callback(null, call.request);
        else callback(error);
      },
      ListTasks(call: grpc.ServerWritableStream<object, Task>) {
        const error = next(call);
        if (first === 'metadata') call.sendMetadata(new grpc.Metadata());
        if (first === 'message') call.write(TASK);
        if (error !== null) call.emit('error', error);
        else {
          call.write(TASK);
          call.end();
        }
      },
      ImportTasks(call: grpc.ServerReadableStream<Task, { count: number }>, callback: grpc.sendUnaryData<object>) {
        const error = next(call);
        if (error !== null) {
          callback(error);
          return;
        }
        let count = 0;
        call.on('data', (message: Task) => {
          got.push(message.title?.length);
          count += 1;
        });
        call.on('end', () => callback(null, { count }));
      },
      SyncTasks(call: grpc.ServerDuplexStream<Task, Task>) {
        const error = next(call);
        if (error !== null) {
          call.emit('error', error);
          return;
        }
        call.on('data', (message: Task) => call.write(message));
        call.on('end', () => call.end());
      },
    });
    const credentials = grpc.ServerCredentials.createSsl(
      Buffer.from(own.bundlePem),
      [{ cert_chain: Buffer.from(own.certificatePem), private_key: Buffer.from(own.privateKeyPem) }],
      true,
    );
    const port = await bind(server, credentials);
    guard = await createClientGuard({
      identity: planner,
      tokens: {
        getToken: ({ audience, refresh }) => {
          refreshes.push(refresh);
          return authority.token({ audience, boundTo: planner });
        },
      },
      unsafeAllowTestAuthority: true,
    });
    client = guard.createClient(TaskClientClass, `127.0.0.1:${port}`, { server: SERVER_ID });
  });
  afterEach(async () => {
    await guard.close();
    server.forceShutdown();
  });

  const get = () => unary<Task, Task>(client.GetTask, client, TASK);
  const CURABLE: Reason[] = ['TOKEN_EXPIRED', 'TOKEN_REVOKED', 'TOKEN_BINDING_MISMATCH'];

  for (const reason of CURABLE) {
    it(`after ${reason}: once, with another token, for all four kinds`, async () => {
      script = [reason];
      expect(served(await get())).to.include({ project_id: '7', task_id: '1' });
      script = [reason];
      const listed = await drain<Task>(client.ListTasks({ ...TASK, count: 1 }));
      expect([listed.messages, listed.status.code]).to.deep.equal([[TASK], 0]);
      script = [reason];
      const imported = upload<Task, { count: number }>(client.ImportTasks, client, new grpc.Metadata(), [TASK, TASK]);
      imported.call.end();
      expect(served(await imported.ended)).to.deep.equal({ count: 2 });
      script = [reason];
      const sync = client.SyncTasks();
      sync.write(TASK);
      sync.write({ ...TASK, task_id: '2' });
      sync.end();
      expect((await drain<Task>(sync)).messages).to.deep.equal([TASK, { ...TASK, task_id: '2' }]);
      expect(tokens).to.have.length(8);
      for (let i = 0; i < 8; i += 2) expect(tokens[i]).to.not.equal(tokens[i + 1]);
      expect(refreshes).to.deep.equal([false, true, true, true, true]);
    });

    it(`after ${reason}: not twice`, async () => {
      script = [reason, reason, 'ok'];
      const outcome = await get();
      expect('reason' in outcome && outcome.reason).to.equal(reason);
      expect([tokens.length, script]).to.deep.equal([2, ['ok']]);
      served(await get());
    });

    it(`after ${reason}: not when something was delivered`, async () => {
      for (const before of ['metadata', 'message'] as const) {
        first = before;
        script = [reason, 'ok'];
        const listed = await drain<Task>(client.ListTasks({ ...TASK, count: 1 }));
        expect([listed.messages.length, listed.reason]).to.deep.equal([before === 'message' ? 1 : 0, reason]);
        expect(script.splice(0)).to.deep.equal(['ok']);
      }
      first = 'metadata';
      script = [reason, 'ok'];
      const outcome = await get();
      expect('reason' in outcome && outcome.reason).to.equal(reason);
      expect([tokens.length, script]).to.deep.equal([3, ['ok']]);
    });
  }

  it('never after any other refusal, TOKEN_REPLAYED above all', async () => {
    const others = (Object.keys(REASONS) as Reason[]).filter((reason) => !CURABLE.includes(reason));
    expect(others).to.include('TOKEN_REPLAYED');
    for (const reason of others) {
      script = [reason, 'ok'];
      const before = tokens.length;
      const outcome = await get();
      expect('reason' in outcome && outcome.reason).to.equal(reason);
      expect([tokens.length - before, script.splice(0)], reason).to.deep.equal([1, ['ok']]);
    }
    expect(refreshes).to.deep.equal([false]);
    served(await get());
  });

  it('calls that are refused together share one fresh token', async () => {
    served(await get());
    script = Array(10).fill('TOKEN_EXPIRED');
    const outcomes = await Promise.all(Array.from({ length: 10 }, get));
    for (const outcome of outcomes) served(outcome);
    expect(refreshes).to.deep.equal([false, true]);
    expect(new Set(tokens.slice(11)).size).to.equal(1);
  });

  it('returns the refusal when the cure fails', async () => {
    served(await get());
    script = ['TOKEN_EXPIRED'];
    const { token } = authority;
    authority.token = () => Promise.reject(new Error('down'));
    const outcome = await get();
    authority.token = token;
    expect('reason' in outcome && outcome.reason).to.equal('TOKEN_EXPIRED');
    expect(tokens).to.have.length(2);
  });

  it('an upload is sent again whole, in order, or not at all', async () => {
    script = ['TOKEN_EXPIRED'];
    const sizes = [10_000, 20_000, 30_000];
    const small = upload<Task, { count: number }>(
      client.ImportTasks,
      client,
      new grpc.Metadata(),
      sizes.map((size) => ({ ...TASK, title: 'x'.repeat(size) })),
    );
    small.call.end();
    expect(served(await small.ended)).to.deep.equal({ count: 3 });
    expect(got).to.deep.equal(sizes);
    served(await get());
    script = ['TOKEN_EXPIRED'];
    const big = upload<Task, { count: number }>(client.ImportTasks, client, new grpc.Metadata());
    for (let i = 0; i < 40; i++) big.call.write({ ...TASK, title: 'x'.repeat(20_000) });
    big.call.end();
    const outcome = await big.ended;
    expect('reason' in outcome && outcome.reason).to.equal('TOKEN_EXPIRED');
    expect(got).to.deep.equal(sizes);
  });
});
