import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { rawClient } from '../support/fixture.js';
import { type Lab, startLab } from '../support/lab.js';
import { plain } from '../support/observed.js';
import { run, type Target } from '../support/parity.js';

const SERVICE = '/fixture.v1.TaskService';
const bytes = (value: Buffer): Buffer => value;
const EMPTY = Buffer.alloc(0);

interface End {
  readonly code: number;
  readonly details: string;
  readonly metadata: Record<string, string[]>;
}

function metadataOf({ credentials }: Target): grpc.Metadata {
  const metadata = new grpc.Metadata();
  for (const [key, value] of Object.entries(credentials())) metadata.set(key, value);
  return metadata;
}

function ended(call: NodeJS.EventEmitter): Promise<End> {
  call.on('error', () => {});
  return new Promise((resolve) => {
    call.on('status', ({ code, details, metadata }: grpc.StatusObject) =>
      resolve({ code, details, metadata: plain(metadata) }),
    );
  });
}

/** Calls no generated client would make. */
const ODD: readonly { title: string; code: grpc.status; call: (target: Target) => NodeJS.EventEmitter }[] = [
  {
    title: 'bytes that are no message',
    code: grpc.status.INTERNAL,
    call: (target) =>
      target.client.makeUnaryRequest(
        `${SERVICE}/Echo`,
        bytes,
        bytes,
        Buffer.from([10, 255]),
        metadataOf(target),
        {},
        () => {},
      ),
  },
  {
    title: 'bytes that are no message, in a stream',
    code: grpc.status.INTERNAL,
    call(target) {
      const call = target.client.makeBidiStreamRequest(`${SERVICE}/EchoBoth`, bytes, bytes, metadataOf(target), {});
      call.write(Buffer.from([10, 255]));
      return call.resume();
    },
  },
  {
    title: 'a method that does not exist',
    code: grpc.status.UNIMPLEMENTED,
    call: (target) =>
      target.client.makeUnaryRequest(`${SERVICE}/None`, bytes, bytes, EMPTY, metadataOf(target), {}, () => {}),
  },
  ...(['Echo', 'EchoDown'] as const).flatMap((method) => [
    {
      title: `two request messages to ${method}, which takes one`,
      code: grpc.status.UNIMPLEMENTED,
      call(target: Target) {
        const call = target.client.makeClientStreamRequest(
          `${SERVICE}/${method}`,
          bytes,
          bytes,
          metadataOf(target),
          {},
          () => {},
        );
        call.write(Buffer.from([10, 1, 1]));
        call.write(Buffer.from([10, 1, 2]));
        call.end();
        return call;
      },
    },
    {
      title: `no request message to ${method}, which takes one`,
      code: grpc.status.UNIMPLEMENTED,
      call(target: Target) {
        const call = target.client.makeClientStreamRequest(
          `${SERVICE}/${method}`,
          bytes,
          bytes,
          metadataOf(target),
          {},
          () => {},
        );
        call.end();
        return call;
      },
    },
  ]),
];

describe('transport: parity on the wire', () => {
  let lab: Lab;
  before(async () => {
    lab = await startLab({}, { 'grpc.default_compression_algorithm': grpc.compressionAlgorithms.gzip });
  });
  after(() => lab.close());

  for (const { title, code, call } of ODD) {
    it(title, async () => {
      const bare = await ended(call(lab.bare));
      expect(bare.code).to.equal(code);
      for (const target of lab.others) expect(await ended(call(target)), target.name).to.deep.equal(bare);
    });
  }

  it('compressed messages', async () => {
    const script = { kind: 'EchoBoth', send: [Buffer.alloc(100_000, 'z'), EMPTY, Buffer.from('short')] } as const;
    const bare = await run(lab.bare, script);
    expect(bare.client.messages).to.have.length(3);
    for (const target of lab.others) expect(await run(target, script), target.name).to.deep.equal(bare);
  });

  it('a handler never sees the token; the id of a stream is sent only where streams can be renewed', async () => {
    const [guarded] = lab.others as [Target];
    const { client, server } = await run(guarded, { kind: 'EchoBoth' });
    expect(server?.metadata).to.have.all.keys('user-agent');
    expect(client.initial).to.not.have.property('zerotrust-stream-id');
    lab.fixture.guard.addTo(lab.fixture.server);
    const renewable = await run(guarded, { kind: 'EchoBoth', behaviour: 'head' });
    expect(renewable.client.initial).to.include.keys('zerotrust-stream-id', 'x-head-text');
    const { initial, ...rest } = (await run(guarded, { kind: 'EchoBoth' })).client;
    const { 'zerotrust-stream-id': id, ...others } = initial ?? {};
    expect(id).to.have.length(1);
    expect({ ...rest, initial: others }).to.deep.equal(client);
    expect((await run(guarded, { kind: 'Echo' })).client.initial).to.not.have.property('zerotrust-stream-id');
  });
});

describe('transport: parity of waiting for a server', () => {
  let lab: Lab;
  let folder: string;
  before(async () => {
    lab = await startLab();
    folder = await mkdtemp(join(tmpdir(), 'parity-'));
  });
  after(async () => {
    await lab.close();
    await rm(folder, { recursive: true });
  });

  it('calls that wait are served when the server comes, the others fail at once', async () => {
    const { fixture, bareServer, bareCredentials } = lab;
    const { planner } = fixture;
    const options = { 'grpc.initial_reconnect_backoff_ms': 100, 'grpc.max_reconnect_backoff_ms': 100 };
    const token = `Bearer ${await fixture.token()}`;
    const outcomes: unknown[] = [];
    for (const server of ['bare', 'guarded'] as const) {
      for (const kind of ['plain', 'guarded'] as const) {
        const address = `unix:${folder}/${server}-${kind}`;
        const client =
          kind === 'plain'
            ? rawClient(address, planner, options)
            : await fixture.client(planner, undefined, {}, options, address);
        const call = (waitForReady: boolean): Promise<unknown> => {
          const metadata = new grpc.Metadata({ waitForReady });
          if (kind === 'plain' && server === 'guarded') metadata.set('authorization', token);
          return new Promise((resolve) => {
            client.Echo({ data: Buffer.from('waited') }, metadata, { deadline: Date.now() + 20_000 }, (error, value) =>
              resolve(error === null ? value?.data?.toString() : error.code),
            );
          });
        };
        const ready = new Promise((resolve) => client.waitForReady(Date.now() + 20_000, resolve));
        const waits = call(true);
        const fails = await call(false);
        await new Promise<void>((resolve, reject) => {
          const credentials = server === 'bare' ? bareCredentials() : fixture.guard.credentials;
          const listener = server === 'bare' ? bareServer : fixture.server;
          listener.bindAsync(address, credentials, (error) => (error === null ? resolve() : reject(error)));
        });
        outcomes.push({ fails, waits: await waits, ready: await ready });
        client.close();
      }
    }
    expect(outcomes[0]).to.deep.equal({ fails: grpc.status.UNAVAILABLE, waits: 'waited', ready: undefined });
    for (const outcome of outcomes) expect(outcome).to.deep.equal(outcomes[0]);
  });
});
