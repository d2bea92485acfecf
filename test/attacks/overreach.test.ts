import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import type { Grant, Reason } from 'grpc-zero-trust';
import { createTestAuthority } from 'grpc-zero-trust/testing';
import { decisions, expectRefused, rawUnary, served, upload } from '../support/calls.js';
import {
  bearer,
  bind,
  drain,
  type Fixture,
  fixturePolicy,
  rawClient,
  startFixture,
  unary,
} from '../support/fixture.js';
import { type Task, type TaskClient, TaskClientClass } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };
const grant = (actions: string[], resources: string[]): Grant[] => [{ actions, resources }];

let fixture: Fixture;
let client: TaskClient;
const begin = async (...options: Parameters<typeof startFixture>): Promise<void> => {
  fixture = await startFixture(...options);
  client = fixture.raw(fixture.planner);
};
const end = () => fixture.close();
const nothingSeen = (): void => {
  expect([fixture.seen.calls, fixture.seen.messages]).to.deep.equal([[], []]);
};
const get = (request: object, metadata: grpc.Metadata) =>
  unary<Task, Task>(client.GetTask, client, request as Task, metadata);
const getWith = async (grants: readonly Grant[]) => get(TASK, bearer(await fixture.token({ grants })));

describe('attacks: overreach, methods and permissions', () => {
  beforeEach(() => begin());
  afterEach(end);

  it('a method nobody annotated is refused, of every kind, with any token', async () => {
    await end();
    const reached: string[] = [];
    const bytes = (value: Buffer): Buffer => value;
    const method = (name: string, requestStream: boolean, responseStream: boolean) => ({
      path: `/fixture.v1.Stray/${name}`,
      requestStream,
      responseStream,
      requestSerialize: bytes,
      requestDeserialize: bytes,
      responseSerialize: bytes,
      responseDeserialize: bytes,
    });
    await begin({
      prepare(server) {
        const handler = (): void => void reached.push('stray');
        server.addService(
          { One: method('One', false, false), Both: method('Both', true, true) },
          { One: handler, Both: handler },
        );
      },
    });
    const all = grant(['tasks.*'], ['**']);
    const metadata = bearer(await fixture.token({ grants: all }));
    const one = await rawUnary(client, '/fixture.v1.Stray/One', Buffer.from([1]), metadata);
    const event = await expectRefused(fixture, one, 'METHOD_UNANNOTATED');
    expect(event.method).to.equal('/fixture.v1.Stray/One');
    const both = client.makeBidiStreamRequest('/fixture.v1.Stray/Both', bytes, bytes, metadata);
    both.write(Buffer.from([1]));
    await expectRefused(fixture, await drain(both), 'METHOD_UNANNOTATED');
    expect(reached).to.deep.equal([]);
    served(await get(TASK, metadata));
  });

  it('a permission that is not held is missed before the message is decoded', async () => {
    const event = await expectRefused(
      fixture,
      await getWith(grant(['tasks.task.write'], ['**'])),
      'PERMISSION_MISSING',
    );
    expect([event.resources, event.messages]).to.deep.equal([[], 0]);
    await expectRefused(fixture, await getWith([]), 'PERMISSION_MISSING');
    const metadata = bearer(await fixture.token({ grants: grant(['tasks.task.write'], ['**']) }));
    const garbage = await rawUnary(
      client,
      '/fixture.v1.TaskService/GetTask',
      Buffer.from([0xff, 0xff, 0xff]),
      metadata,
    );
    await expectRefused(fixture, garbage, 'PERMISSION_MISSING');
    nothingSeen();
    served(await getWith(grant(['tasks.task.read'], ['**'])));
  });

  it('a permission is not matched by what merely begins like it', async () => {
    for (const action of ['tasks.task.readx', 'tasks.task.rea', 'tasks.task.rEAD', 'tasks.task', 'tasks.taskx.*']) {
      await expectRefused(fixture, await getWith(grant([action], ['**'])), 'PERMISSION_MISSING');
    }
    for (const action of ['tasks.task.read.*', 'tasks.task.read.x']) {
      await expectRefused(fixture, await getWith(grant([action], ['**'])), 'PERMISSION_MISSING');
    }
    for (const action of [
      '*',
      'task*',
      'tasks.task*',
      '*.read',
      'tasks.*.read',
      'tasks.task.Read',
      '**',
      'tasks.task.read ',
      '',
    ]) {
      await expectRefused(fixture, await getWith(grant([action], ['**'])), 'TOKEN_MALFORMED');
    }
    nothingSeen();
    for (const action of ['tasks.task.read', 'tasks.task.*', 'tasks.*']) {
      served(await getWith(grant([action], ['projects/7/tasks/**'])));
    }
  });

  it('a scope is no right to a named resource, and a right to one project none to everything', async () => {
    const scoped = bearer(await fixture.token({ grants: [], scope: 'tasks.task.read tasks.task.sweep' }));
    await expectRefused(fixture, await get(TASK, scoped), 'PERMISSION_MISSING');
    for (const resources of [['projects/7/**'], ['projects/**', '*'], ['*/**']]) {
      const narrowed = bearer(await fixture.token({ grants: grant(['tasks.task.sweep'], resources) }));
      await expectRefused(fixture, await unary(client.Sweep, client, {}, narrowed), 'RESOURCE_NOT_GRANTED');
    }
    nothingSeen();
    served(await unary(client.Sweep, client, {}, scoped));
    const everything = bearer(await fixture.token({ grants: grant(['tasks.task.sweep'], ['**']) }));
    served(await unary(client.Sweep, client, {}, everything));
  });

  it('a caller that is not on the list is refused, with a good token and a good certificate', async () => {
    const executor = await fixture.authority.identity('agents/executor');
    const thief = fixture.raw(executor);
    const own = await fixture.token({ subject: executor.spiffeId, boundTo: executor });
    await expectRefused(fixture, await unary(thief.PlannerOnly, thief, {}, bearer(own)), 'CALLER_NOT_ALLOWED');
    // Acting for the planner does not make one the planner: the list is about who is at the other end.
    const acting = await fixture.token({ boundTo: executor, actors: [executor.spiffeId] });
    await expectRefused(fixture, await unary(thief.PlannerOnly, thief, {}, bearer(acting)), 'CALLER_NOT_ALLOWED');
    nothingSeen();
    served(await unary(thief.WhoAmI, thief, {}, bearer(own)));
    served(await unary(client.PlannerOnly, client, {}, bearer(await fixture.token())));
  });
});

describe('attacks: overreach, delegation', () => {
  const alice = 'spiffe://acme.example/people/alice';
  beforeEach(() => begin());
  afterEach(end);

  it('is refused where forbidden, demanded where required, and one deep', async () => {
    const { planner } = fixture;
    const delegated = await fixture.token({ subject: alice, actors: [planner.spiffeId] });
    const direct = await fixture.token();
    await expectRefused(fixture, await get(TASK, bearer(delegated)), 'DELEGATION_FORBIDDEN');
    await expectRefused(fixture, await unary(client.OnBehalf, client, TASK, bearer(direct)), 'DELEGATION_REQUIRED');
    const chain = (length: number) =>
      fixture.token({ subject: alice, actors: Array.from({ length }, () => planner.spiffeId) });
    for (const length of [2, 4, 5, 8]) {
      const deep = bearer(await chain(length));
      await expectRefused(fixture, await unary(client.WhoAmI, client, {}, deep), 'DELEGATION_DEPTH');
      await expectRefused(fixture, await unary(client.OnBehalf, client, TASK, deep), 'DELEGATION_DEPTH');
    }
    nothingSeen();
    served(await unary(client.OnBehalf, client, TASK, bearer(delegated)));
    expect(served(await unary(client.WhoAmI, client, {}, bearer(delegated)))).to.deep.equal({
      peer: planner.spiffeId,
      subject: alice,
      actors: [planner.spiffeId],
    });
    const record = decisions(fixture).at(-1);
    expect([record?.subject, record?.actors]).to.deep.equal([alice, [planner.spiffeId]]);
  });

  it('by an actor whom the issuer may not name is refused, wherever it stands', async () => {
    const { planner } = fixture;
    const service = await fixture.authority.identity('services/mailer');
    const outer = await fixture.token({ subject: alice, boundTo: service, actors: [service.spiffeId] });
    const thief = fixture.raw(service);
    await expectRefused(fixture, await unary(thief.WhoAmI, thief, {}, bearer(outer)), 'DELEGATION_ACTOR');
    for (const inner of [service.spiffeId, 'spiffe://partner.example/agents/x', 'agents/x', '']) {
      const token = await fixture.token({ subject: alice, actors: [planner.spiffeId, inner] });
      const reason: Reason = inner === '' ? 'TOKEN_MALFORMED' : 'DELEGATION_ACTOR';
      await expectRefused(fixture, await unary(client.WhoAmI, client, {}, bearer(token)), reason);
    }
    nothingSeen();
    const honest = await fixture.token({ subject: alice, actors: [planner.spiffeId] });
    served(await unary(client.WhoAmI, client, {}, bearer(honest)));
  });
});

describe('attacks: overreach, across trust domains', () => {
  afterEach(end);

  it('an issuer cannot grant above its ceiling, act for others, or name actors', async () => {
    const partner = await createTestAuthority({ trustDomain: 'partner.example' });
    await begin({
      moreIssuers: [
        {
          issuer: partner.issuer,
          keys: partner.keys,
          subjects: ['spiffe://partner.example/**', 'spiffe://acme.example/agents/planner'],
          permits: [{ actions: ['tasks.task.read'], resources: ['projects/9/**'] }],
          grants: 'authorization_details',
        },
      ],
    });
    const { planner } = fixture;
    const executor = await fixture.authority.identity('agents/executor');
    const audience = fixture.serverIdentity.spiffeId;
    const everything = grant(['tasks.*'], ['**']);
    const granted = bearer(
      await partner.token({ audience, boundTo: planner, grants: everything, scope: 'tasks.task.sweep' }),
    );
    await expectRefused(fixture, await get(TASK, granted), 'RESOURCE_NOT_GRANTED');
    await expectRefused(fixture, await unary(client.PayTask, client, TASK, granted), 'PERMISSION_MISSING');
    await expectRefused(fixture, await unary(client.Sweep, client, {}, granted), 'PERMISSION_MISSING');
    const thief = fixture.raw(executor);
    const other = bearer(await partner.token({ audience, boundTo: executor, grants: everything }));
    await expectRefused(fixture, await unary(thief.WhoAmI, thief, {}, other), 'TOKEN_SUBJECT');
    const acting = await partner.token({
      audience,
      subject: 'spiffe://partner.example/people/bob',
      boundTo: planner,
      actors: [planner.spiffeId],
      grants: everything,
    });
    await expectRefused(fixture, await unary(client.WhoAmI, client, {}, bearer(acting)), 'DELEGATION_ACTOR');
    nothingSeen();
    served(await get({ project_id: '9', task_id: '1' }, granted));
  });

  it('a workload of a foreign trust domain reaches no method that does not name it, mtls_only or not', async () => {
    const authority = await createTestAuthority({ trustDomain: 'acme.example' });
    const partner = await createTestAuthority({ trustDomain: 'partner.example' });
    authority.federate(partner);
    await begin({
      authority,
      issuer: { subjects: ['spiffe://acme.example/**', 'spiffe://partner.example/**'] },
    });
    const foreign = await partner.identity('agents/planner');
    const stranger = rawClient(fixture.address, {
      certificatePem: foreign.certificatePem,
      privateKeyPem: foreign.privateKeyPem,
      bundlePem: fixture.planner.bundlePem,
    });
    const token = bearer(await fixture.token({ subject: foreign.spiffeId, boundTo: foreign }));
    const pinged = await expectRefused(fixture, await unary(stranger.Ping, stranger, {}), 'CALLER_NOT_ALLOWED');
    expect(pinged.peer).to.equal('spiffe://partner.example/agents/planner');
    await expectRefused(fixture, await unary(stranger.GetTask, stranger, TASK, token), 'CALLER_NOT_ALLOWED');
    await expectRefused(fixture, await unary(stranger.WhoAmI, stranger, {}, token), 'CALLER_NOT_ALLOWED');
    stranger.close();
    nothingSeen();
    served(await unary(client.Ping, client, {}));
  });
});

describe('attacks: overreach, other ways in', () => {
  afterEach(end);

  it('ports of the same server with other credentials serve nothing, to nobody', async () => {
    let insecure = 0;
    let mutual = 0;
    const authority = await createTestAuthority({ trustDomain: 'acme.example' });
    const serverIdentity = await authority.identity('services/tasks');
    await begin({
      authority,
      async prepare(server) {
        insecure = await bind(server, grpc.ServerCredentials.createInsecure());
        mutual = await bind(
          server,
          grpc.ServerCredentials.createSsl(
            Buffer.from(serverIdentity.bundlePem),
            [
              {
                cert_chain: Buffer.from(serverIdentity.certificatePem),
                private_key: Buffer.from(serverIdentity.privateKeyPem),
              },
            ],
            true,
          ),
        );
      },
    });
    const plain = new TaskClientClass(`127.0.0.1:${insecure}`, grpc.credentials.createInsecure());
    const tls = rawClient(`127.0.0.1:${mutual}`, fixture.planner);
    try {
      const token = bearer(await fixture.token());
      for (const other of [plain, tls]) {
        await expectRefused(fixture, await unary(other.GetTask, other, TASK, token), 'PEER_MISSING');
        await expectRefused(fixture, await unary(other.Ping, other, {}), 'PEER_MISSING');
        await expectRefused(fixture, await drain(other.ListTasks({ ...TASK, count: 1 }, token)), 'PEER_MISSING');
        await expectRefused(fixture, await upload(other.EchoUp, other, token, [{}]).ended, 'PEER_MISSING');
        const sync = other.SyncTasks(token);
        sync.write(TASK);
        await expectRefused(fixture, await drain(sync), 'PEER_MISSING');
      }
      nothingSeen();
      served(await get(TASK, token));
      served(await unary(client.Ping, client, {}));
    } finally {
      plain.close();
      tls.close();
    }
  });

  it('a path in another spelling leads to no handler', async () => {
    await begin();
    const metadata = bearer(await fixture.token());
    const body = Buffer.from([0x0a, 1, 0x37, 0x12, 1, 0x31]);
    for (const path of [
      'fixture.v1.TaskService/GetTask',
      '//fixture.v1.TaskService/GetTask',
      '/fixture.v1.TaskService/GetTask/',
      '/fixture.v1.TaskService//GetTask',
      '/fixture.v1.TaskService/GetTask?x=1',
      '/fixture.v1.TaskService/./GetTask',
      '/fixture.v1.TaskService/%47etTask',
      '/FIXTURE.v1.TaskService/GetTask',
      '/fixture.v1.TaskService/getTask',
    ]) {
      const outcome = await rawUnary(client, path, body, metadata);
      // Without the slash HTTP/2 itself resets the stream (RFC 9113, section 8.3.1).
      const code = path.startsWith('/') ? grpc.status.UNIMPLEMENTED : grpc.status.INTERNAL;
      expect('error' in outcome && outcome.error.code, path).to.equal(code);
    }
    nothingSeen();
    served(await rawUnary(client, '/fixture.v1.TaskService/GetTask', body, metadata));
    expect(fixture.seen.calls).to.deep.equal(['GetTask']);
    expect((await fixturePolicy()).rules.has('/fixture.v1.TaskService/getTask')).to.equal(false);
  });
});
