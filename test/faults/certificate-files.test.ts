import { once } from 'node:events';
import { mkdir, rm } from 'node:fs/promises';
import { connect } from 'node:tls';
import type * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  type Clock,
  type FileIdentity,
  fileIdentity,
  systemClock,
  type TokenSource,
  type X509Context,
} from 'grpc-zero-trust';
import { createFakeClock, createTestAuthority, type TestAuthority, type TestIdentity } from 'grpc-zero-trust/testing';
import { decisions, served, until } from '../support/calls.js';
import { drain, type Fixture, GRANTS, startFixture, unary } from '../support/fixture.js';
import { IdentityFolder, type IdentityTexts, LAYOUTS } from '../support/identity-files.js';
import type { Task, TaskClient } from '../support/tasks.js';

const TASK = { project_id: '7', task_id: '1', title: 't' };

/** An identity of the authority, in files, and the source that follows them. */
interface Filed {
  readonly identity: TestIdentity;
  readonly folder: IdentityFolder;
  readonly source: FileIdentity;
}

describe('faults: certificate files', function () {
  this.timeout(120_000);
  let clock: Clock = systemClock;
  let authority: TestAuthority;
  let server: Filed;
  let planner: Filed;
  let fixture: Fixture;
  let client: TaskClient;

  const textsOf = (identity: TestIdentity): IdentityTexts => ({
    certificate: identity.certificatePem,
    privateKey: identity.privateKeyPem,
    bundle: authority.bundle(),
  });
  const file = async (path: string, layout: string): Promise<Filed> => {
    const identity = await authority.identity(path);
    const folder = await IdentityFolder.create(textsOf(identity), LAYOUTS[layout]);
    return { identity, folder, source: await fileIdentity({ ...folder.options, clock }) };
  };
  const shows = ({ source }: Filed, holds: (context: X509Context) => boolean): Promise<void> =>
    new Promise((resolve) => {
      const look = (context: X509Context): void => {
        if (!holds(context)) return;
        stop();
        resolve();
      };
      const stop = source.onChange(look);
      look(source.current());
    });
  const authoritiesOf = ({ bundles }: X509Context): number => [...bundles.values()].flat().length;
  /** Writes what the identities are now, and waits until both sides use it. */
  const follow = (): Promise<unknown> =>
    Promise.all(
      [server, planner].map(async (one) => {
        const { identity, folder } = one;
        await folder.write(textsOf(identity));
        const authorities = authority.bundle().split('BEGIN CERTIFICATE').length - 1;
        await shows(one, (it) => it.svid.fingerprint === identity.fingerprint && authoritiesOf(it) === authorities);
      }),
    );

  /** A token source as they are: it binds to the certificate it is told of. */
  const tokens: TokenSource = {
    getToken: ({ audience, svid }) =>
      authority.token({ subject: svid.spiffeId, audience, boundTo: svid, grants: GRANTS }),
  };

  beforeEach(async () => {
    authority = await createTestAuthority({ trustDomain: 'acme.example' });
    server = await file('services/tasks', 'behind ..data, swapped as Kubernetes does');
    planner = await file('agents/planner', 'written beside and renamed, as step and Vault agent do');
    fixture = await startFixture({ authority, identity: server.source, sessions: true });
    client = await fixture.client(planner.identity, tokens, { identity: planner.source });
  });
  afterEach(async () => {
    await fixture.close();
    for (const { source, folder } of [server, planner]) {
      await source.close();
      await folder.remove();
    }
  });

  /** What a new connection sees: the certificate of the server, DER. */
  const handshake = async (identity: TestIdentity = planner.identity): Promise<Uint8Array> => {
    const socket = connect({
      port: fixture.port,
      host: '127.0.0.1',
      cert: identity.certificatePem,
      key: identity.privateKeyPem,
      ca: authority.bundle(),
      ALPNProtocols: ['h2'],
      checkServerIdentity: () => undefined,
    });
    try {
      // The server refuses a certificate only after the client is done: wait until it speaks HTTP/2, or hangs up.
      await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => Promise.reject(new Error('closed')))]);
      return new Uint8Array(socket.getPeerCertificate().raw);
    } finally {
      socket.on('error', () => {});
      socket.destroy();
    }
  };

  /** Unary calls without a pause, and a few streams. */
  class Load {
    readonly failures: string[] = [];
    calls = 0;
    #streams: {
      readonly call: grpc.ClientDuplexStream<Task, Task>;
      received: number;
      readonly ended: Promise<void>;
    }[] = [];
    #stopped = false;
    readonly #workers = [1, 2, 3, 4].map(() => this.#work());

    constructor() {
      this.openStreams();
    }

    async #work(): Promise<void> {
      while (!this.#stopped) {
        const outcome = await unary(client.GetTask, client, TASK);
        this.calls += 1;
        if ('error' in outcome) this.failures.push(`${outcome.reason} ${outcome.error.message}`);
      }
    }

    openStreams(): void {
      this.#streams = [1, 2, 3].map(() => {
        const call = client.SyncTasks();
        const stream = {
          call,
          received: 0,
          ended: drain(call).then(({ status, reason }) => {
            if (status.code !== 0) this.failures.push(`stream: ${reason} ${status.details}`);
          }),
        };
        call.on('data', () => {
          stream.received += 1;
        });
        return stream;
      });
    }

    /** Every stream returns what it is sent. */
    async echo(): Promise<void> {
      const wanted = this.#streams.map((stream) => stream.received + 1);
      for (const { call } of this.#streams) call.write(TASK);
      await until(
        () => this.failures.length > 0 || this.#streams.every(({ received }, at) => received === wanted[at]),
        'the echo of the streams',
      );
    }

    async endStreams(): Promise<void> {
      for (const { call } of this.#streams) call.end();
      await Promise.all(this.#streams.map(({ ended }) => ended));
    }

    /** Every call that was under way has ended. */
    async settled(): Promise<void> {
      const enough = this.calls + 2 * this.#workers.length;
      await until(() => this.calls >= enough, 'further calls');
    }

    async stop(): Promise<void> {
      await this.endStreams();
      this.#stopped = true;
      await Promise.all(this.#workers);
    }
  }

  it('60 rotations of the certificates of both sides under load: no call fails, new connections see the new ones', async () => {
    const load = new Load();
    const seen = new Set<string>();
    for (let round = 0; round < 60; round++) {
      await Promise.all([server.identity.renew(), planner.identity.renew()]);
      await follow();
      expect(await handshake()).to.deep.equal(server.source.current().svid.chain[0]);
      await load.echo();
      // The calls move to a connection of the new certificate.
      await fixture.audit.waitFor((e) => e.type === 'decision' && e.fingerprint === planner.identity.fingerprint);
      seen.add(planner.identity.fingerprint);
      expect(load.failures).to.deep.equal([]);
    }
    await load.stop();
    expect(load.failures).to.deep.equal([]);
    expect(load.calls).to.be.greaterThan(60);
    expect(seen.size).to.equal(60);
    expect(decisions(fixture).filter(({ outcome }) => outcome !== 'allowed')).to.deep.equal([]);
    expect(fixture.guard.posture()).to.deep.include({ identityGeneration: 61, identityProblem: null });
  });

  it('10 rotations of the authority, overlapping, under load: no call fails, and the old authority is refused after', async () => {
    const load = new Load();
    for (let round = 0; round < 10; round++) {
      const before = await authority.identity('agents/planner');
      await authority.rotate();
      await follow();
      await load.echo();
      await Promise.all([server.identity.renew(), planner.identity.renew()]);
      await follow();
      // The overlap lasts as long as what was begun before.
      await load.endStreams();
      load.openStreams();
      await load.echo();
      await load.settled();
      await handshake(before);
      await authority.forget();
      await follow();
      await load.echo();
      expect(await handshake()).to.deep.equal(server.source.current().svid.chain[0]);
      const refused = await handshake(before).catch((error: unknown) => error);
      expect(refused).to.be.instanceOf(Error);
      expect(load.failures).to.deep.equal([]);
    }
    await load.stop();
    expect(load.failures).to.deep.equal([]);
    expect(decisions(fixture).filter(({ outcome }) => outcome !== 'allowed')).to.deep.equal([]);
  });

  describe('that are no good', () => {
    before(() => {
      // The time that a set is given passes fifty times as fast.
      clock = { now: () => Date.now(), delay: (ms, signal) => systemClock.delay(ms / 50, signal) };
    });
    after(() => {
      clock = systemClock;
    });

    const spoilt: Record<string, () => Promise<unknown>> = {
      'torn certificate': () => server.folder.writeParts({ certificate: server.identity.certificatePem.slice(0, -40) }),
      'emptied key': () => server.folder.writeParts({ privateKey: '' }),
      'key of another pair': () => server.folder.writeParts({ privateKey: planner.identity.privateKeyPem }),
      'certificate of another workload': () => server.folder.writeParts(textsOf(planner.identity)),
      'emptied bundle': () => server.folder.writeParts({ bundle: '' }),
      'unreadable key': async () => {
        await rm(server.folder.file('privateKey'));
        await mkdir(server.folder.file('privateKey'));
      },
    };
    for (const [name, spoil] of Object.entries(spoilt)) {
      it(`${name}: the server goes on with the last good set, has it on record, and recovers`, async () => {
        const good = await handshake();
        await spoil();
        const refused = await fixture.audit.waitFor((e) => e.type === 'guard' && e.event === 'identity-refused');
        if (refused.type !== 'guard') throw new Error('not of the guard');
        expect(refused.detail.place).to.match(/^(certificate|privateKey|bundles\["acme.example"\]) \(\//);
        expect(JSON.stringify(refused)).not.to.include(server.identity.privateKeyPem.split('\n')[1]?.slice(0, 16));
        expect(fixture.guard.posture().identityProblem).to.equal(`${refused.detail.place}: ${refused.detail.problem}`);
        expect(await handshake()).to.deep.equal(good);
        served(await unary(client.GetTask, client, TASK));

        await rm(server.folder.file('privateKey'), { recursive: true });
        await server.identity.renew();
        await server.folder.writeParts(textsOf(server.identity));
        await shows(server, ({ svid }) => svid.fingerprint === server.identity.fingerprint);
        expect(await handshake()).to.deep.equal(server.source.current().svid.chain[0]);
        expect(fixture.guard.posture().identityProblem).to.equal(null);
        served(await unary(client.GetTask, client, TASK));
      });
    }
  });
});

describe('faults: calls that a rotation of the client meets half-way', () => {
  let fixture: Fixture;
  afterEach(() => fixture.close());

  const source = (authority: TestAuthority): TokenSource => ({
    getToken: ({ audience, svid }) =>
      authority.token({ subject: svid.spiffeId, audience, boundTo: svid, grants: GRANTS }),
  });

  it('a call that waits for its token is served', async () => {
    fixture = await startFixture();
    let give: () => void = () => {};
    const given = new Promise<void>((resolve) => {
      give = resolve;
    });
    let asked = 0;
    const tokens = source(fixture.authority);
    const client = await fixture.client(fixture.planner, {
      async getToken(request) {
        asked += 1;
        if (asked === 1) await given;
        return tokens.getToken(request);
      },
    });
    const waiting = unary(client.GetTask, client, TASK);
    await until(() => asked === 1, 'the token source');
    await fixture.planner.renew();
    served(await unary(client.GetTask, client, TASK));
    give();
    served(await waiting);
  });

  it('calls that wait for their connection are served', async () => {
    fixture = await startFixture();
    const client = await fixture.client(fixture.planner, source(fixture.authority));
    const waiting = [];
    for (let round = 0; round < 10; round++) {
      waiting.push(unary(client.GetTask, client, TASK), unary(client.Ping, client, {}));
      await new Promise((resolve) => setImmediate(resolve));
      await fixture.planner.renew();
    }
    for (const outcome of await Promise.all(waiting)) served<unknown>(outcome as never);
  });

  it('a stream from before is renewed over its own connection, and its connection goes when it ends', async () => {
    const clock = createFakeClock(Math.floor(Date.now() / 1000) * 1000);
    fixture = await startFixture({ clock, sessions: true });
    const client = await fixture.client(fixture.planner, source(fixture.authority));
    const stream = client.SyncTasks();
    stream.on('error', () => {});
    stream.write(TASK);
    await once(stream, 'data');
    await fixture.planner.renew();
    served(await unary(client.GetTask, client, TASK));
    expect(fixture.guard.posture().connections).to.equal(2);
    await clock.advance(230_000);
    await fixture.audit.waitFor((e) => e.type === 'guard' && e.event === 'stream-renewed');
    // Past the end of the token it was opened with, tolerance included.
    await clock.advance(120_000);
    const ended = drain<Task>(stream);
    stream.write(TASK);
    stream.end();
    const { messages, status } = await ended;
    expect([messages.length, status.code]).to.deep.equal([1, 0]);
    await until(() => fixture.guard.posture().connections === 1, 'the end of the old connection');
  });

  it('a call that waits for its token ends when its client is closed', async () => {
    fixture = await startFixture();
    let give: () => void = () => {};
    const given = new Promise<void>((resolve) => {
      give = resolve;
    });
    const tokens = source(fixture.authority);
    const client = await fixture.client(fixture.planner, {
      getToken: (request) => given.then(() => tokens.getToken(request)),
    });
    const waiting = unary(client.GetTask, client, TASK);
    client.close();
    give();
    expect(await waiting).to.have.nested.property('error.code', 14);
  });
});
