import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import * as grpc from '@grpc/grpc-js';
import { expect } from 'chai';
import { type Lab, startLab } from '../support/lab.js';
import { KINDS } from '../support/observed.js';
import { type Observation, ping, run } from '../support/parity.js';

const CONCURRENT = 1_000;

describe('transport: parity under load', function () {
  this.timeout(60_000);
  let lab: Lab;
  before(async () => {
    lab = await startLab();
  });
  after(() => lab.close());

  for (const kind of KINDS) {
    it(`${kind}: ${CONCURRENT} calls that all run at once`, async () => {
      const outcomes: Observation[][] = [];
      for (const target of lab.all) {
        const together = { 'x-together': `${randomUUID()} ${CONCURRENT}` };
        const calls = Array.from({ length: CONCURRENT }, (_, i) =>
          run(target, {
            kind,
            behaviour: 'together',
            metadata: together,
            send: [Buffer.from(`message ${i} of this call`)],
          }),
        );
        const all = await Promise.all(calls);
        outcomes.push(all.map((one) => ({ ...one, server: one.server && { ...one.server, metadata: {} } })));
      }
      const [bare = [], ...others] = outcomes;
      expect(new Set(bare.map(({ client }) => client.messages.join())).size).to.equal(CONCURRENT);
      expect(bare.every(({ client }) => client.status?.code === grpc.status.OK)).to.equal(true);
      for (const other of others) {
        // Of a thousand, only those that differ are worth a comparison in full.
        const differ = other.flatMap((one, i) =>
          JSON.stringify(one) === JSON.stringify(bare[i]) ? [] : [[one, bare[i]]],
        );
        for (const [one, reference] of differ) expect(one).to.deep.equal(reference);
        expect(differ).to.deep.equal([]);
      }
    });
  }

  it('a client that does not read holds the server back, and gets every message in order when it does', async () => {
    const seen: Observation[] = [];
    for (const target of lab.all) {
      let held = false;
      const outcome = await run(target, {
        kind: 'EchoDown',
        behaviour: 'flood',
        paused: true,
        async beside({ log }, id, call) {
          await log.until(id, 'full');
          for (let round = 0; round < 20; round++) await ping(target);
          held = log.sides.get(id)?.events.includes('finish') === false;
          call.resume();
        },
      });
      expect(held, target.name).to.equal(true);
      expect(outcome.client.messages, target.name).to.have.length(512);
      seen.push({ ...outcome, server: outcome.server && { ...outcome.server, events: unique(outcome.server.events) } });
    }
    for (const other of seen.slice(1)) expect(other).to.deep.equal(seen[0]);
  });

  for (const kind of ['EchoUp', 'EchoBoth'] as const) {
    it(`${kind}: a handler that does not read holds the client back, and gets every message in order when it does`, async () => {
      const seen: Observation[] = [];
      const send = Array.from({ length: 64 }, (_, i) => Buffer.alloc(65_536, String(i % 10)));
      for (const target of lab.all) {
        let held = false;
        const outcome = await run(target, {
          kind,
          behaviour: 'late',
          send,
          async beside({ log }, id, call) {
            await log.until(id, 'entered');
            await ping(target);
            held = call.writableLength > 0;
            const read = once(call, 'metadata');
            log.release(id);
            await read;
          },
        });
        expect(held, target.name).to.equal(true);
        expect(outcome.server?.events.filter((event) => event === 'data')).to.have.length(64);
        seen.push(outcome);
      }
      for (const other of seen.slice(1)) expect(other).to.deep.equal(seen[0]);
    });
  }
});

function unique(events: readonly string[]): string[] {
  return [...new Set(events)];
}
