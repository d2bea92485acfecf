/** The same handlers behind a guard and without one, each with a client of either kind. */

import * as grpc from '@grpc/grpc-js';
import { bind, type Fixture, rawClient, startFixture } from './fixture.js';
import { Log, observedHandlers } from './observed.js';
import type { Target } from './parity.js';
import { type Seen, TaskService } from './tasks.js';

export interface Lab {
  readonly fixture: Fixture;
  /** A plain client of a plain server: what the others are compared with. */
  readonly bare: Target;
  readonly others: readonly Target[];
  readonly all: readonly Target[];
  /** One more plain server. */
  readonly bareServer: grpc.Server;
  bareCredentials(): grpc.ServerCredentials;
  close(): Promise<void>;
}

/** Starts both servers; every client has made a call, so that connections stand and tokens are known. */
export async function startLab(
  serverOptions: grpc.ServerOptions = {},
  clientOptions: grpc.ClientOptions = {},
): Promise<Lab> {
  const guardedLog = new Log();
  const fixture = await startFixture({
    serverOptions,
    prepare(server) {
      server.removeService(TaskService.service);
      server.addService(TaskService.service, observedHandlers(empty(), guardedLog, true));
    },
  });
  const { serverIdentity: identity, planner } = fixture;
  const bareCredentials = (): grpc.ServerCredentials =>
    grpc.ServerCredentials.createSsl(
      Buffer.from(identity.bundlePem),
      [{ cert_chain: Buffer.from(identity.certificatePem), private_key: Buffer.from(identity.privateKeyPem) }],
      true,
    );
  const bareLog = new Log();
  const bareServer = new grpc.Server(serverOptions);
  bareServer.addService(TaskService.service, observedHandlers(empty(), bareLog, false));
  const address = `127.0.0.1:${await bind(bareServer, bareCredentials())}`;
  const plainClient = rawClient(address, planner, clientOptions);
  const token = `Bearer ${await fixture.token()}`;
  const nothing = () => ({});
  const bare: Target = { name: 'plain client, plain server', client: plainClient, log: bareLog, credentials: nothing };
  const others: Target[] = [
    {
      name: 'plain client, guarded server',
      client: fixture.raw(planner, clientOptions),
      log: guardedLog,
      credentials: () => ({ authorization: token }),
    },
    {
      name: 'guarded client, guarded server',
      client: await fixture.client(planner, undefined, {}, clientOptions),
      log: guardedLog,
      credentials: nothing,
    },
    {
      name: 'guarded client, plain server',
      client: await fixture.client(planner, undefined, {}, clientOptions, address),
      log: bareLog,
      credentials: nothing,
    },
  ];
  const all = [bare, ...others];
  for (const { client, credentials } of all) {
    const metadata = new grpc.Metadata();
    for (const [key, value] of Object.entries(credentials())) metadata.set(key, value);
    await new Promise<void>((resolve, reject) => {
      client.Echo({}, metadata, {}, (error) => (error === null ? resolve() : reject(error)));
    });
  }
  return {
    fixture,
    bare,
    others,
    all,
    bareServer,
    bareCredentials,
    async close() {
      plainClient.close();
      bareServer.forceShutdown();
      await fixture.close();
    },
  };
}

function empty(): Seen {
  return { calls: [], messages: [], cancelled: [] };
}
