import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { ConfigurationError, createClientGuard, createServerGuard, type Policy, staticIdentity } from 'grpc-zero-trust';
import {
  createTestAuthority,
  type MintedCertificate,
  type MintOptions,
  mintCertificate,
  recordingAudit,
  type TestAuthority,
} from 'grpc-zero-trust/testing';
import { PublishedIdentity } from '#dist/identity/source.js';
import { expectRefused, served } from '../support/calls.js';
import { bind, type Fixture, fixturePolicy, rawClient, SERVER_ID, startFixture, unary } from '../support/fixture.js';
import { whoAmI } from '../support/impostor.js';
import { type Seen, type TaskClient, TaskClientClass, TaskService, taskHandlers } from '../support/tasks.js';

const HOUR = 3_600_000;
const SERVER_LEAF: MintOptions = {
  ca: false,
  keyUsage: ['digitalSignature'],
  extendedKeyUsage: ['serverAuth', 'clientAuth'],
  uriNames: [SERVER_ID],
};

describe('attacks: a server that is not who it should be', () => {
  let authority: TestAuthority;
  let partner: TestAuthority;
  let stranger: TestAuthority;
  let fixture: Fixture;
  const closing: (() => void)[] = [];
  before(async () => {
    authority = await createTestAuthority({ trustDomain: 'acme.example' });
    partner = await createTestAuthority({ trustDomain: 'partner.example' });
    stranger = await createTestAuthority({ trustDomain: 'acme.example' });
    authority.federate(partner);
    fixture = await startFixture({ authority });
  });
  after(() => fixture.close());
  afterEach(() => {
    for (const act of closing.splice(0)) act();
  });

  /** A server without a guard that has this certificate and waits for what it is sent. */
  async function impostor(
    { certificatePem, privateKeyPem }: { certificatePem: string; privateKeyPem: string },
    tls: { maxVersion?: 'TLSv1.2' } = {},
  ): Promise<{ address: string; seen: Seen }> {
    const seen: Seen = { calls: [], messages: [], cancelled: [] };
    class Credentials extends grpc.ServerCredentials {
      constructor() {
        super(
          { requestCert: true, rejectUnauthorized: false, ...tls },
          { cert: certificatePem, key: privateKeyPem, ...tls },
        );
      }
      _equals(other: grpc.ServerCredentials): boolean {
        return this === other;
      }
    }
    const server = new grpc.Server();
    server.addService(TaskService.service, taskHandlers(seen, false));
    const port = await bind(server, new Credentials());
    closing.push(() => server.forceShutdown());
    return { address: `127.0.0.1:${port}`, seen };
  }

  const minted = ({ pem, privateKeyPem }: MintedCertificate) => ({ certificatePem: pem, privateKeyPem });

  const forgeries: [string, () => Promise<{ certificatePem: string; privateKeyPem: string }> | MintedCertificate][] = [
    ['another workload of the same trust domain', () => authority.identity('services/billing')],
    ['the caller itself', async () => fixture.planner],
    ['a CA of the same name', () => stranger.mint(SERVER_LEAF)],
    ['its own word', () => mintCertificate(SERVER_LEAF)],
    ["a partner's CA that claims our trust domain", () => partner.mint(SERVER_LEAF)],
    [
      'a certificate that expired',
      () => authority.mint({ ...SERVER_LEAF, notBefore: Date.now() - 2 * HOUR, notAfter: Date.now() - 1_000 }),
    ],
    [
      'a certificate of tomorrow',
      () => authority.mint({ ...SERVER_LEAF, notBefore: Date.now() + HOUR, notAfter: Date.now() + 2 * HOUR }),
    ],
    ['a certificate for clients', () => authority.mint({ ...SERVER_LEAF, extendedKeyUsage: ['clientAuth'] })],
    ['a CA certificate', () => authority.mint({ ...SERVER_LEAF, ca: true })],
    [
      'a certificate that may sign',
      () => authority.mint({ ...SERVER_LEAF, keyUsage: ['digitalSignature', 'keyCertSign'] }),
    ],
    [
      'two SPIFFE IDs',
      () => authority.mint({ ...SERVER_LEAF, uriNames: [SERVER_ID, 'spiffe://acme.example/services/billing'] }),
    ],
    ['a DNS name', () => authority.mint({ ...SERVER_LEAF, uriNames: [], dnsNames: ['localhost'], ipNames: [] })],
    ['a longer SPIFFE ID', () => authority.mint({ ...SERVER_LEAF, uriNames: [`${SERVER_ID}/2`] })],
    ['a SPIFFE ID without a path', () => authority.mint({ ...SERVER_LEAF, uriNames: ['spiffe://acme.example'] })],
    ['a version 1 certificate', () => authority.mint({ ...SERVER_LEAF, version: 1 })],
  ];

  /** Calls `address` as a guarded client does, and as a framework does that builds its own client. */
  async function callBoth(address: string): Promise<(readonly [number, string] | 'served')[]> {
    const tokens = { getToken: () => fixture.token() };
    const guard = await createClientGuard({ identity: fixture.planner, tokens, unsafeAllowTestAuthority: true });
    const clients: TaskClient[] = [
      guard.createClient(TaskClientClass, address, { server: SERVER_ID }),
      new TaskClientClass(address, guard.credentialsFor({ server: SERVER_ID })),
    ];
    const outcomes: (readonly [number, string] | 'served')[] = [];
    for (const client of clients) {
      const outcome = await whoAmI(client);
      outcomes.push('ok' in outcome ? ('served' as const) : ([outcome.error.code, outcome.error.details] as const));
      client.close();
    }
    await guard.close();
    return outcomes;
  }

  for (const [name, forge] of forgeries) {
    it(`with ${name}: no request and no token reaches it`, async () => {
      const forged = await forge();
      const { address, seen } = await impostor('pem' in forged ? minted(forged) : forged);
      for (const outcome of await callBoth(address)) {
        expect(outcome, 'it was served').to.not.equal('served');
        expect(outcome[0]).to.equal(grpc.status.UNAVAILABLE);
      }
      expect(seen.calls).to.deep.equal([]);
      // The honest certificate on the same kind of server is believed.
      const honest = await impostor(minted(authority.mint(SERVER_LEAF)));
      expect(await callBoth(honest.address)).to.deep.equal(['served', 'served']);
      expect(honest.seen.calls).to.deep.equal(['WhoAmI', 'WhoAmI']);
    });
  }

  it('with the right certificate and TLS 1.2', async () => {
    const { address, seen } = await impostor(minted(authority.mint(SERVER_LEAF)), { maxVersion: 'TLSv1.2' });
    for (const outcome of await callBoth(address)) expect(outcome[0]).to.equal(grpc.status.UNAVAILABLE);
    expect(seen.calls).to.deep.equal([]);
  });

  it('tells the caller who answered instead', async () => {
    const { address } = await impostor(await authority.identity('services/billing'));
    const [outcome] = await callBoth(address);
    expect(outcome?.[1]).to.match(
      /the server is spiffe:\/\/acme\.example\/services\/billing, not spiffe:\/\/acme\.example/,
    );
  });
});

describe('attacks: an authority of the test kit where it was not asked for', () => {
  /** An identity of an authority without the mark. Its bundles can change while it is in use. */
  async function plainIdentity(root: MintedCertificate, spiffeId: string) {
    const leaf = mintCertificate({ ...SERVER_LEAF, issuer: root, uriNames: [spiffeId] });
    const { pem: certificate, privateKeyPem: privateKey } = leaf;
    const first = await staticIdentity({ certificate, privateKey, bundles: { 'acme.example': root.pem } });
    const { svid, bundles } = first.current();
    const identity = new PublishedIdentity({ svid, bundles });
    return {
      identity,
      pem: { certificatePem: leaf.pem, privateKeyPem: leaf.privateKeyPem, bundlePem: root.pem },
      /** The authority of the test kit slips in beside the one that is there. */
      letIn(test: TestAuthority): void {
        const changed = new Map(bundles);
        changed.set(test.trustDomain, [...(bundles.get(test.trustDomain) ?? []), test.ca.der]);
        identity.publish({ svid, bundles: changed });
      },
    };
  }

  const plainRoot = (): MintedCertificate =>
    mintCertificate({
      subject: { O: 'acme', CN: 'root' },
      ca: true,
      keyUsage: ['keyCertSign'],
      notBefore: Date.now() - HOUR,
      notAfter: Date.now() + 24 * HOUR,
    });

  /** The one method that reads no token, so that certificates alone decide. */
  async function pingOnly(): Promise<Policy> {
    const policy = await fixturePolicy();
    const rules = new Map([...policy.rules].filter(([, rule]) => rule.mode === 'mtls_only'));
    expect([...rules.keys()]).to.deep.equal(['/fixture.v1.TaskService/Ping']);
    return { ...policy, rules };
  }

  it('is refused at start by both guards, and accepted where it is spelled out', async () => {
    const test = await createTestAuthority({ trustDomain: 'acme.example' });
    const identity = await test.identity('services/tasks');
    const policy = await pingOnly();
    const audit = recordingAudit();
    const starts: ((allow: { unsafeAllowTestAuthority?: true }) => Promise<{ close(): Promise<void> }>)[] = [
      (allow) => createServerGuard({ identity, policy, tokens: null, audit, ...allow }),
      (allow) => createClientGuard({ identity, tokens: null, ...allow }),
    ];
    for (const start of starts) {
      const refused = await start({}).then(
        () => null,
        (error: unknown) => error,
      );
      expect(refused).to.be.instanceOf(ConfigurationError);
      expect((refused as ConfigurationError).message).to.match(/authority of the test kit/);
      await (await start({ unsafeAllowTestAuthority: true })).close();
    }
    expect(audit.events.filter((e) => e.type === 'guard').map((e) => e.event)).to.deep.equal([
      'started',
      'unsafe-test-authority',
      'closed',
    ]);
  });

  it('is refused by a running server when a change of bundles lets it in', async () => {
    const test = await createTestAuthority({ trustDomain: 'acme.example' });
    const root = plainRoot();
    const own = await plainIdentity(root, SERVER_ID);
    const audit = recordingAudit();
    const guard = await createServerGuard({ identity: own.identity, policy: await pingOnly(), tokens: null, audit });
    const seen: Seen = { calls: [], messages: [], cancelled: [] };
    const server = new grpc.Server({ interceptors: [guard.interceptor] });
    server.addService(TaskService.service, taskHandlers(seen));
    const address = `127.0.0.1:${await bind(server, guard.credentials)}`;
    try {
      own.letIn(test);
      const forged = await test.identity('agents/planner');
      const attacker = rawClient(address, { ...pemOf(forged), bundlePem: root.pem });
      const outcome = await unary(attacker.Ping, attacker, {});
      await expectRefused({ audit } as unknown as Fixture, outcome, 'PEER_UNTRUSTED');
      attacker.close();
      expect(seen.calls).to.deep.equal([]);

      const honest = rawClient(address, (await plainIdentity(root, 'spiffe://acme.example/agents/planner')).pem);
      served(await unary(honest.Ping, honest, {}));
      honest.close();
    } finally {
      server.forceShutdown();
      await guard.close();
    }
  });

  it('is refused by a running client when a change of bundles lets it in', async () => {
    const test = await createTestAuthority({ trustDomain: 'acme.example' });
    const root = plainRoot();
    const own = await plainIdentity(root, 'spiffe://acme.example/agents/planner');
    const guard = await createClientGuard({ identity: own.identity, tokens: null });
    const servers: grpc.Server[] = [];
    const serve = async (pem: { certificatePem: string; privateKeyPem: string }, seen: Seen): Promise<string> => {
      const server = new grpc.Server();
      server.addService(TaskService.service, taskHandlers(seen, false));
      servers.push(server);
      const pair = { cert_chain: Buffer.from(pem.certificatePem), private_key: Buffer.from(pem.privateKeyPem) };
      return `127.0.0.1:${await bind(server, grpc.ServerCredentials.createSsl(null, [pair], false))}`;
    };
    const seen: Seen = { calls: [], messages: [], cancelled: [] };
    try {
      own.letIn(test);
      const forged = await serve(pemOf(await test.identity('services/tasks')), seen);
      const outcome = await whoAmI(guard.createClient(TaskClientClass, forged, { server: SERVER_ID }));
      expect('error' in outcome && outcome.error.code).to.equal(grpc.status.UNAVAILABLE);
      expect('error' in outcome && outcome.error.details).to.match(/certified by a test authority/);
      expect(seen.calls).to.deep.equal([]);

      const honest = await serve((await plainIdentity(root, SERVER_ID)).pem, seen);
      served(await whoAmI(guard.createClient(TaskClientClass, honest, { server: SERVER_ID })));
      expect(seen.calls).to.deep.equal(['WhoAmI']);
    } finally {
      for (const server of servers) server.forceShutdown();
      await guard.close();
    }
  });
});

function pemOf({ certificatePem, privateKeyPem }: { certificatePem: string; privateKeyPem: string }) {
  return { certificatePem, privateKeyPem };
}
