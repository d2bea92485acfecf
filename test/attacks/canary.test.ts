import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import {
  type AuditSink,
  createServerGuard,
  pinoAudit,
  principalOf,
  staticIdentity,
  staticJwks,
  verifyJws,
  verifyToken,
} from 'grpc-zero-trust';
import type { TestIdentity } from 'grpc-zero-trust/testing';
import { served, until, upload } from '../support/calls.js';
import {
  bearer,
  drain,
  type Fixture,
  fixturePolicy,
  type Outcome,
  SERVER_ID,
  startFixture,
  unary,
} from '../support/fixture.js';
import { mould } from '../support/forge.js';
import { credentialsOf, visit, whoAmI } from '../support/impostor.js';

/** Everything that may be seen outside of the process: on the wire, in the audit trail, in logs, in errors. */
class Output {
  readonly texts: string[] = [];
  readonly #restore: (() => void)[] = [];

  add(what: unknown): void {
    const shown = [inspect(what, { depth: 12, showHidden: true, maxStringLength: null, maxArrayLength: null })];
    if (what instanceof Error) shown.push(what.message, what.stack ?? '', String(what));
    const { metadata } = (what ?? {}) as { metadata?: unknown };
    if (metadata instanceof grpc.Metadata) {
      for (const [key, value] of Object.entries(metadata.toHttp2Headers())) shown.push(`${key}: ${String(value)}`);
      for (const bytes of metadata.get('grpc-status-details-bin')) shown.push(Buffer.from(bytes).toString('latin1'));
    }
    this.texts.push(...shown);
  }

  /** Listens to standard output and error until {@link stop}; what the tests report is not hidden. */
  start(): void {
    for (const stream of [process.stdout, process.stderr]) {
      const { write } = stream;
      stream.write = ((...args: Parameters<typeof write>) => {
        this.texts.push(Buffer.from(args[0] as Uint8Array).toString());
        return write.apply(stream, args);
      }) as typeof write;
      this.#restore.push(() => {
        stream.write = write;
      });
    }
  }

  stop(): void {
    for (const act of this.#restore.splice(0)) act();
  }
}

describe('attacks: canaries', () => {
  let directory: string;
  let file: string;
  let sink: AuditSink;
  let fixture: Fixture;
  let thief: TestIdentity;
  const output = new Output();
  /** What must never be seen, by name. */
  const secrets = new Map<string, string>();
  const handled: unknown[] = [];

  /** A token is secret whole, and so is its signature, in every spelling a log would give it. */
  function guarded(name: string, token: string): string {
    const parts = token.split('.');
    secrets.set(`the token ${name}`, token);
    secrets.set(`header and payload of ${name}`, parts.slice(0, 2).join('.'));
    const signature = parts[2] ?? '';
    if (signature.length > 40) {
      secrets.set(`the signature of ${name}`, signature);
      secrets.set(`the beginning of the signature of ${name}`, signature.slice(0, 24));
      secrets.set(`the end of the signature of ${name}`, signature.slice(-24));
      secrets.set(`the signature of ${name} in hexadecimal`, Buffer.from(signature, 'base64url').toString('hex'));
    }
    return token;
  }

  function guardedKey(name: string, pem: string): void {
    for (const [i, line] of pem
      .split('\n')
      .filter((one) => one.length > 20 && !one.startsWith('-'))
      .entries()) {
      // The first line is mostly the algorithm, and the last of P-256 keys is the public point.
      if (i === 1) secrets.set(`line ${i} of the key of ${name}`, line);
    }
    secrets.set(`the key of ${name}`, pem.trim());
  }

  before(async () => {
    directory = await mkdtemp(join(tmpdir(), 'canary-'));
    file = join(directory, 'audit', 'log.ndjson');
    sink = pinoAudit({ destination: file });
    fixture = await startFixture({ alsoAudit: sink, sessions: true });
    thief = await fixture.authority.identity('agents/thief');
    output.start();
    for (const [name, { privateKeyPem }] of Object.entries({
      planner: fixture.planner,
      server: fixture.serverIdentity,
      thief,
      CA: fixture.authority.ca,
    })) {
      guardedKey(name, privateKeyPem);
    }
    const { privateKey } = fixture.authority.tokenKey;
    guardedKey('the token issuer', privateKey.export({ type: 'pkcs8', format: 'pem' }) as string);
    const { d = '' } = privateKey.export({ format: 'jwk' });
    secrets.set('the scalar of the token key', d);
    secrets.set('the scalar of the token key in hexadecimal', Buffer.from(d, 'base64url').toString('hex'));
  });
  after(async () => {
    output.stop();
    await rm(directory, { recursive: true });
  });

  const note = (outcome: Outcome<unknown>): string => {
    output.add('error' in outcome ? outcome.error : outcome.ok);
    return 'error' in outcome ? (outcome.reason ?? `status ${outcome.error.code}`) : 'served';
  };

  it('calls that are served, refused, broken off and revoked', async () => {
    const { authority, planner } = fixture;
    const client = fixture.raw(planner);
    const made = await mould(fixture);
    const at = Math.floor(Date.now() / 1000);
    const tokens: [string, string, string][] = [
      ['honest', await fixture.token(), 'served'],
      ['expired', made.signed({}, { iat: at - 200, exp: at - 100 }), 'TOKEN_EXPIRED'],
      ['for another audience', made.signed({}, { aud: 'spiffe://acme.example/services/x' }), 'TOKEN_AUDIENCE'],
      ['of another subject', made.signed({}, { sub: thief.spiffeId }), 'TOKEN_SUBJECT'],
      ['unbound', made.signed({}, { cnf: undefined }), 'TOKEN_BINDING_MISSING'],
      ['bound to another', await authority.token({ audience: SERVER_ID, boundTo: thief }), 'TOKEN_BINDING_MISMATCH'],
      ['with an unknown key', made.signed({ kid: 'other' }), 'TOKEN_KEY_UNKNOWN'],
      ['of another type', made.signed({ typ: 'JWT' }), 'TOKEN_TYPE'],
      ['of an unknown issuer', made.signed({}, { iss: 'https://elsewhere.example' }), 'TOKEN_ISSUER'],
      ['unsigned', `${made.signed({ alg: 'none' }).split('.').slice(0, 2).join('.')}.`, 'TOKEN_ALGORITHM'],
      ['with a bad signature', `${made.honest.slice(0, -20)}AAAAAAAAAAAAAAAAAAAA`, 'TOKEN_SIGNATURE'],
      ['with a worse signature', `${made.honest.slice(0, -20)}AAAAAAAAAAAAAAAAAAAB`, 'TOKEN_MALFORMED'],
      ['padded', `${made.honest}==`, 'TOKEN_MALFORMED'],
      ['with another behind it', `${made.honest}, Bearer ${made.honest}`, 'TOKEN_MALFORMED'],
      ['too long', made.signed({}, { x: 'x'.repeat(8_000) }), 'TOKEN_MALFORMED'],
      [
        'with a grant nobody understands',
        made.signed({}, { authorization_details: [{ type: 'zerotrust', actions: ['*'], resources: ['**'] }] }),
        'TOKEN_MALFORMED',
      ],
      ['that lives too long', made.signed({}, { exp: at + 10_000 }), 'TOKEN_LIFETIME'],
    ];
    for (const [name, token, expected] of tokens) {
      guarded(name, token);
      expect(note(await whoAmI(client, token)), name).to.equal(expected);
      const stream = await drain(
        client.EchoBoth(bearer(token), { deadline: Date.now() + (expected === 'served' ? 200 : 5_000) }),
      );
      output.add(stream.status);
      const pushed = upload(client.ImportTasks, client, bearer(token), [{ project_id: '8', task_id: '1' }]);
      output.add(note(await pushed.ended));
      output.add(
        await verifyToken(token, {
          issuers: [
            {
              issuer: authority.issuer,
              keys: authority.jwks(),
              subjects: ['spiffe://acme.example/**'],
              permits: [{ actions: ['tasks.*'], resources: ['**'] }],
              grants: 'authorization_details',
            },
          ],
          audience: SERVER_ID,
          unsafeAllowTestAuthority: true,
        }).then(
          () => 'verified',
          (error: unknown) => error,
        ),
      );
      output.add(
        await verifyJws(token, { keys: authority.jwks(), algorithms: ['ES256'] }).then(
          () => 'verified',
          (error: unknown) => error,
        ),
      );
    }
    const token = guarded('in other places', await fixture.token());
    const metadata = bearer('x', { 'x-authorization': `Bearer ${token}` });
    for (const value of [`Basic ${token}`, token, `Bearer  ${token}`, `Bearer ${token} `]) {
      metadata.set('authorization', value);
      note(await unary(client.WhoAmI, client, {}, metadata));
    }
    expect(note(await unary(client.PayTask, client, { project_id: '7', task_id: '1' }, bearer(token)))).to.equal(
      'served',
    );
    expect(note(await unary(client.PayTask, client, { project_id: '7', task_id: '1' }, bearer(token)))).to.equal(
      'TOKEN_REPLAYED',
    );
    note(await unary(client.Sweep, client, {}, bearer(token)));
    note(await unary(client.Echo, client, { behaviour: 'throw' }, bearer(token)));
    note(await unary(client.Ping, client, {}, bearer(token)));
    const revoked = client.EchoBoth(bearer(token));
    const ended = drain(revoked);
    await until(() => fixture.seen.calls.at(-1) === 'EchoBoth', 'the stream');
    fixture.revocations.revoke({ spiffeId: planner.spiffeId });
    output.add((await ended).status);
    expect(
      note(
        await visit(
          fixture.address,
          thief,
          guarded("the thief's", await authority.token({ audience: SERVER_ID, boundTo: thief })),
        ),
      ),
    ).to.equal('served');
    const forged = authority.mint({ ca: true, uriNames: [planner.spiffeId], keyUsage: ['digitalSignature'] });
    guardedKey('the forged certificate', forged.privateKeyPem);
    expect(note(await visit(fixture.address, credentialsOf(forged, authority), token))).to.equal('PEER_INVALID');
  });

  it('guarded clients, with token sources that fail in every way', async () => {
    const token = guarded('that a source has', await fixture.authority.token({ audience: SERVER_ID, boundTo: thief }));
    const answers: [string, () => Promise<string>, string | RegExp][] = [
      ['good', async () => token, 'served'],
      ['a line break', async () => `${token}\n`, 'status 14'],
      ['not ASCII', async () => `${token}\u00ff`, 'status 14'],
      ['a scheme', async () => `Bearer ${token}`, 'status 14'],
      ['an error that holds it', () => Promise.reject(new Error(`cannot use ${token}`)), 'status 14'],
      [
        'an error that holds a part',
        () => Promise.reject(new Error(`cannot use ${token.slice(0, -20)}...`)),
        'status 14',
      ],
      ['bound to another', () => fixture.token().then((one) => guarded('of the planner', one)), 'status 14'],
    ];
    for (const [name, getToken, expected] of answers) {
      const client = await fixture.client(thief, { getToken });
      expect(note(await whoAmI(client)), name).to.equal(expected);
      output.add((await drain(client.EchoBoth(new grpc.Metadata(), { deadline: Date.now() + 300 }))).status);
      const again = new grpc.Metadata();
      again.set('authorization', `Bearer ${token}`);
      note(await unary(client.WhoAmI, client, {}, again));
    }
  });

  it('mistakes in configuration', async () => {
    const { authority, planner, serverIdentity } = fixture;
    const bundles = { 'acme.example': authority.bundle() };
    const failures: (() => unknown)[] = [
      () => staticIdentity({ certificate: planner.certificatePem, privateKey: thief.privateKeyPem, bundles }),
      () => staticIdentity({ certificate: planner.privateKeyPem, privateKey: planner.certificatePem, bundles }),
      () =>
        staticIdentity({
          certificate: planner.certificatePem,
          privateKey: planner.privateKeyPem.slice(0, 150),
          bundles,
        }),
      () =>
        staticIdentity({
          certificate: planner.certificatePem,
          privateKey: planner.privateKeyPem.replace('A', '!'),
          bundles,
        }),
      () =>
        staticIdentity({
          certificate: planner.certificatePem,
          privateKey: planner.privateKeyPem,
          bundles: { 'acme.example': planner.privateKeyPem },
        }),
      () =>
        staticJwks({ keys: [{ ...authority.tokenKey.privateKey.export({ format: 'jwk' }), kid: 'private' }] } as never),
      () =>
        staticJwks({
          keys: [
            {
              kty: 'oct',
              k: Buffer.from(secrets.get('the scalar of the token key') ?? '').toString('base64url'),
              kid: 'oct',
            },
          ],
        } as never),
      async () =>
        createServerGuard({
          identity: serverIdentity,
          policy: await fixturePolicy(),
          tokens: {
            issuers: [
              { issuer: authority.issuer, keys: authority.tokenKey.privateKey.export({ format: 'jwk' }) } as never,
            ],
          },
        }),
    ];
    for (const fail of failures) {
      const error = await Promise.resolve()
        .then(fail)
        .then(
          () => null,
          (cause: unknown) => cause,
        );
      expect(error).to.be.instanceOf(Error);
      output.add(error);
    }
  });

  it('handlers, which are given no token', async () => {
    const seen: grpc.Metadata[] = [];
    const other = await startFixture({
      prepare(server) {
        const handlers = (
          server as unknown as { handlers: Map<string, { func: (call: unknown, done: unknown) => void }> }
        ).handlers;
        const handler = handlers.get('/fixture.v1.TaskService/WhoAmI');
        if (handler === undefined) throw new Error('no handler');
        const { func } = handler;
        handler.func = (call, done) => {
          const { metadata } = call as { metadata: grpc.Metadata };
          seen.push(metadata);
          handled.push(principalOf(call as never));
          func(call, done);
        };
      },
    });
    const token = await other.token();
    served(await visit(other.address, other.planner, token));
    const [metadata] = seen;
    const shown = inspect([metadata, handled], { depth: 12, showHidden: true });
    expect(metadata?.get('authorization')).to.deep.equal([]);
    expect(shown).to.include(other.planner.spiffeId);
    expect(shown.includes(token.split('.')[2] ?? 'x')).to.equal(false);
    await other.close();
  });

  it('leave nothing of a token or a private key in any output, while all of it was recorded', async () => {
    for (const principal of handled) output.add(principal);
    output.add(fixture.guard.posture());
    output.add(fixture.guard.policy);
    output.add(fixture.audit.events);
    await fixture.close();
    await sink.close();
    const lines = (await readFile(file, 'utf8')).trim().split('\n');
    expect(lines.length).to.equal(fixture.audit.events.length);
    output.texts.push(...lines);
    const all = output.texts.join('\n');
    // Control: what is not secret is there, so that the search would find what is.
    for (const open of [
      fixture.planner.fingerprint,
      'TOKEN_SIGNATURE',
      'The bearer token is malformed.',
      thief.spiffeId,
    ]) {
      expect(all.includes(open), open).to.equal(true);
    }
    expect(secrets.size).to.be.above(60);
    for (const [name, secret] of secrets) {
      expect(secret.length, name).to.be.above(19);
      expect(all.includes(secret), `${name} was seen`).to.equal(false);
    }
  });
});
