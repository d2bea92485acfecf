/**
 * The intruder: an agent that somebody took over. It holds a genuine certificate, does without a guard, and sends
 * whatever it likes over whatever connection it can make.
 */

import * as grpc from '@grpc/grpc-js';
import type { StaticIdentityOptions } from 'grpc-zero-trust';
import { createTestAuthority } from 'grpc-zero-trust/testing';
import { Health, type TaskName, TaskService, TRUST_DOMAIN } from './api.js';
import { callOf, type Outcome, verbsOf } from './calls.js';
import { joinFleet } from './workload.js';

const { texts, tasks: address, line } = await joinFleet();
const bundle = texts.bundles[TRUST_DOMAIN] ?? '';

/** Over mutual TLS, as the given identity. */
function tlsAs({ certificate, privateKey }: Omit<StaticIdentityOptions, 'bundles'>): grpc.ChannelCredentials {
  const [roots, key, chain] = [bundle, privateKey, certificate].map((pem) => Buffer.from(pem));
  return grpc.credentials.createSsl(roots, key, chain, anyServer);
}
const anyServer = { checkServerIdentity: () => undefined };

function bearing(token: string | null): grpc.Metadata {
  const metadata = new grpc.Metadata();
  if (token !== null) metadata.set('authorization', `Bearer ${token}`);
  return metadata;
}

const tasks = new TaskService(address, tlsAs(texts));
const readsWith = (name: TaskName, token: string | null): Promise<Outcome> => verbsOf(tasks, bearing(token)).get(name);

line.on('get', ({ name, token }: { name: TaskName; token: string | null }) => readsWith(name, token));

line.on('get with an edited token', ({ name, token }: { name: TaskName; token: string }) => {
  const [header, payload = '', signature] = token.split('.');
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
  claims.authorization_details[0].resources = ['projects/**'];
  const edited = Buffer.from(JSON.stringify(claims)).toString('base64url');
  return readsWith(name, [header, edited, signature].join('.'));
});

line.on('health', ({ token }: { token: string }) => callOf(tasks, Health.service['Check'], bearing(token)));

// ---- other ways in -----------------------------------------------------------------------------------------------

async function readsOver(credentials: grpc.ChannelCredentials, { name, token }: { name: TaskName; token: string }) {
  const client = new TaskService(address, credentials);
  const outcome = await verbsOf(client, bearing(token)).get(name);
  client.close();
  return outcome;
}
type Loot = { name: TaskName; token: string };

line.on('get without TLS', (loot: Loot) => readsOver(grpc.credentials.createInsecure(), loot));

line.on('get without a certificate', (loot: Loot) =>
  readsOver(grpc.credentials.createSsl(Buffer.from(bundle), null, null, anyServer), loot),
);

line.on('get with a forged certificate', async (loot: Loot) => {
  // Anybody can make an authority of the same name, and with it a planner.
  const forger = await createTestAuthority({ trustDomain: TRUST_DOMAIN });
  return readsOver(tlsAs((await forger.identity('agents/planner')).export()), loot);
});

// ---- a stream, to be cut in mid-flight ---------------------------------------------------------------------------

let watching: Promise<Outcome>;

line.on('watch', ({ name, token }: { name: TaskName; token: string }) => {
  return new Promise<void>((seen, ended) => {
    watching = verbsOf(tasks, bearing(token)).watch(name, () => seen());
    // Where it ends before anything came, the outcome says why.
    void watching.then(() => seen(), ended);
  });
});
line.on('end of the watch', () => watching);

line.tell('ready');
