import { createServer } from 'node:net';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { createClientGuard } from 'grpc-zero-trust';
import { createTestAuthority, staticToken, type TestIdentity } from 'grpc-zero-trust/testing';
import { decisions, served } from '../support/calls.js';
import { bearer, type Fixture, SERVER_ID, startFixture, unary } from '../support/fixture.js';
import { type Identity, type TaskClient, TaskClientClass } from '../support/tasks.js';

const whoAmI = (client: TaskClient, metadata?: grpc.Metadata, options?: grpc.CallOptions) =>
  unary<object, Identity>(client.WhoAmI, client, {}, metadata, options);

describe('attacks: what could make a guarded client give its token away', () => {
  let fixture: Fixture;
  let asked: string[];
  const source = (identity: TestIdentity) => ({
    getToken: async ({ audience }: { audience: string }) => {
      asked.push(audience);
      return fixture.authority.token({ audience, boundTo: identity });
    },
  });
  beforeEach(async () => {
    asked = [];
    fixture = await startFixture();
  });
  afterEach(() => fixture.close());

  it('credentials per call are refused before anything is sent', async () => {
    const client = await fixture.client(fixture.planner, source(fixture.planner));
    const credentials = grpc.credentials.createFromMetadataGenerator((_options, callback) => {
      callback(null, bearer('of-somebody-else'));
    });
    const outcome = await whoAmI(client, new grpc.Metadata(), { credentials });
    if (!('error' in outcome)) throw new Error('it was served');
    expect([outcome.error.code, outcome.error.details]).to.deep.equal([
      grpc.status.INTERNAL,
      'A guarded channel takes no credentials per call: its token is bound to it.',
    ]);
    expect([asked, decisions(fixture)]).to.deep.equal([[], []]);
    served(await whoAmI(client));
  });

  it('an authorization of the user is refused before anything is sent', async () => {
    const client = await fixture.client(fixture.planner, source(fixture.planner));
    const outcome = await whoAmI(client, bearer('of-somebody-else'));
    if (!('error' in outcome)) throw new Error('it was served');
    expect(outcome.error.code).to.equal(grpc.status.INTERNAL);
    expect(outcome.error.details).to.match(/^The metadata holds "authorization"/);
    expect([asked, decisions(fixture)]).to.deep.equal([[], []]);
    served(await whoAmI(client));
  });

  it('interceptors of the client can neither see nor strip nor replace the token', async () => {
    const client = await fixture.client(fixture.planner, source(fixture.planner));
    const seenByInterceptor: unknown[] = [];
    const strip: grpc.Interceptor = (options, next) =>
      new grpc.InterceptingCall(next(options), {
        start(metadata, listener, pass) {
          seenByInterceptor.push(...metadata.get('authorization'));
          metadata.remove('authorization');
          pass(metadata, listener);
        },
      });
    expect(served(await whoAmI(client, undefined, { interceptors: [strip] })).subject).to.equal(
      fixture.planner.spiffeId,
    );
    expect(served(await whoAmI(client, undefined, { interceptors: [] })).subject).to.equal(fixture.planner.spiffeId);
    expect(seenByInterceptor).to.deep.equal([]);
    const replace: grpc.Interceptor = (options, next) =>
      new grpc.InterceptingCall(next(options), {
        start(metadata, listener, pass) {
          metadata.set('authorization', 'Bearer of-somebody-else');
          pass(metadata, listener);
        },
      });
    const outcome = await whoAmI(client, undefined, { interceptors: [replace] });
    expect('error' in outcome && outcome.error.code).to.equal(grpc.status.INTERNAL);
    expect(fixture.seen.calls).to.deep.equal(['WhoAmI', 'WhoAmI']);
  });

  it('a token never goes to a server of another SPIFFE ID, of another authority, or without TLS', async () => {
    const guard = await createClientGuard({
      identity: fixture.planner,
      tokens: source(fixture.planner),
      unsafeAllowTestAuthority: true,
    });
    const impostor = await createTestAuthority({ trustDomain: 'acme.example' });
    const elsewhere = await startFixture({ authority: impostor });
    const received: Buffer[] = [];
    const plain = createServer((socket) => {
      socket.on('data', (bytes: Buffer) => {
        received.push(bytes);
        socket.destroy();
      });
      socket.on('error', () => {});
    });
    await new Promise<void>((resolve) => plain.listen(0, '127.0.0.1', resolve));
    try {
      const other = 'spiffe://acme.example/services/other';
      const misled = guard.createClient(TaskClientClass, fixture.address, { server: other });
      const outcome = await whoAmI(misled);
      expect('error' in outcome && outcome.error.code).to.equal(grpc.status.UNAVAILABLE);
      const forged = guard.createClient(TaskClientClass, elsewhere.address, { server: SERVER_ID });
      const second = await whoAmI(forged);
      expect('error' in second && second.error.code).to.equal(grpc.status.UNAVAILABLE);
      const { port } = plain.address() as { port: number };
      const clear = guard.createClient(TaskClientClass, `127.0.0.1:${port}`, { server: SERVER_ID });
      const third = await whoAmI(clear);
      expect('error' in third && third.error.code).to.equal(grpc.status.UNAVAILABLE);
      const bytes = Buffer.concat(received);
      expect(bytes.length).to.be.greaterThan(0);
      expect([bytes.includes('PRI * HTTP/2.0'), bytes.includes('Bearer'), bytes.includes('eyJ')]).to.deep.equal([
        false,
        false,
        false,
      ]);
      expect([decisions(fixture), decisions(elsewhere)]).to.deep.equal([[], []]);
      const honest = guard.createClient(TaskClientClass, fixture.address, { server: SERVER_ID });
      expect(served(await whoAmI(honest)).peer).to.equal(fixture.planner.spiffeId);
    } finally {
      await guard.close();
      await elsewhere.close();
      plain.close();
    }
  });

  it('a token that a source gives out for another certificate is not sent', async () => {
    const executor = await fixture.authority.identity('agents/executor');
    const client = await fixture.client(fixture.planner, source(executor));
    const outcome = await whoAmI(client);
    if (!('error' in outcome)) throw new Error('it was served');
    expect(outcome.error.code).to.equal(grpc.status.UNAVAILABLE);
    expect(outcome.error.details).to.contain('bound to certificate');
    expect(decisions(fixture)).to.deep.equal([]);
    const own = await fixture.client(fixture.planner, staticToken(await fixture.token()));
    served(await whoAmI(own));
  });
});
