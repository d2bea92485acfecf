/** The guard inside other people's frameworks: each serves the honest call and refuses the others, by itself. */

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { expect } from 'chai';
import type { DecisionEvent, ServerGuard } from 'grpc-zero-trust';
import { type RecordingAudit, recordingAudit } from 'grpc-zero-trust/testing';
import {
  createSetting,
  type GetTaskRequest,
  INCLUDE_DIRS,
  type RunningServer,
  type Setting,
  type Task,
  type TaskReader,
} from '../../examples/02-frameworks/common.js';
import { readWithNest, serveWithNest } from '../../examples/02-frameworks/nestjs.js';
import { readWithNiceGrpc, serveWithNiceGrpc } from '../../examples/02-frameworks/nice-grpc.js';
import { bearer, type Outcome, unary } from '../support/fixture.js';

const FRAMEWORKS = [
  { name: 'NestJS', serve: serveWithNest, read: readWithNest },
  { name: 'nice-grpc', serve: serveWithNiceGrpc, read: readWithNiceGrpc },
];

interface TasksClient extends grpc.Client {
  getTask(
    request: GetTaskRequest,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<Task>,
  ): grpc.ClientUnaryCall;
}
const { tasks } = grpc.loadPackageDefinition(
  loadSync('tasks.proto', { includeDirs: INCLUDE_DIRS }),
) as unknown as Record<
  'tasks',
  { v1: { Tasks: new (...args: ConstructorParameters<typeof grpc.Client>) => TasksClient } }
>;

for (const { name, serve, read } of FRAMEWORKS) {
  describe(`example: ${name}`, () => {
    let audit: RecordingAudit;
    let setting: Setting;
    let server: RunningServer;
    let reader: TaskReader;
    beforeEach(async () => {
      audit = recordingAudit();
      setting = await createSetting(audit);
      server = await serve(setting.guard);
      reader = read(setting.client, server.address);
    });
    afterEach(async () => {
      await reader.close();
      await server.close();
      await setting.close();
    });

    /** A call without the guard of a client: with this token, or none, over these credentials. */
    async function plainly(credentials: grpc.ChannelCredentials, token: string | null): Promise<Outcome<Task>> {
      const client = new tasks.v1.Tasks(server.address, credentials);
      const metadata = token === null ? new grpc.Metadata() : bearer(token);
      const outcome = await unary(client.getTask, client, { projectId: '7', taskId: '1' }, metadata);
      client.close();
      return outcome;
    }
    const tls = (withCertificate: boolean): grpc.ChannelCredentials => {
      const { bundlePem, privateKeyPem, certificatePem } = setting.planner;
      const [key, chain] = withCertificate ? [Buffer.from(privateKeyPem), Buffer.from(certificatePem)] : [null, null];
      return grpc.credentials.createSsl(Buffer.from(bundlePem), key, chain, { checkServerIdentity: () => undefined });
    };
    const token = (): Promise<string> =>
      setting.authority.token({
        audience: 'spiffe://acme.example/services/tasks',
        boundTo: setting.planner,
        grants: [{ actions: ['tasks.task.read'], resources: ['projects/7/tasks/**'] }],
      });
    const decided = async (outcome: 'allowed' | 'refused'): Promise<DecisionEvent> =>
      (await audit.waitFor((e) => e.type === 'decision' && e.outcome === outcome)) as DecisionEvent;

    it('serves the honest call of its own client', async () => {
      const { title } = await reader.getTask({ projectId: '7', taskId: '1' });
      expect(title).to.match(/^1, read /);
      expect(await decided('allowed')).to.include({
        peer: setting.planner.spiffeId,
        method: '/tasks.v1.Tasks/GetTask',
      });
    });

    it('refuses its own client where the token does not reach', async () => {
      const error = await reader.getTask({ projectId: '8', taskId: '1' }).then(
        () => expect.fail('it was served'),
        (thrown: grpc.ServiceError) => thrown,
      );
      expect(error.code).to.equal(grpc.status.PERMISSION_DENIED);
      expect((await decided('refused')).reason).to.equal('RESOURCE_NOT_GRANTED');
    });

    it('refuses a call without a token, and serves the same call with one', async () => {
      const refused = await plainly(tls(true), null);
      expect(refused).to.have.property('reason', 'TOKEN_MISSING');
      expect((await decided('refused')).reason).to.equal('TOKEN_MISSING');
      expect(await plainly(tls(true), await token())).to.have.property('ok');
    });

    it('where the credentials were forgotten, and the framework opens a plain port, every call is refused', async () => {
      const forgetful = await serve({ ...setting.guard, credentials: undefined } as unknown as ServerGuard);
      const client = new tasks.v1.Tasks(forgetful.address, grpc.credentials.createInsecure());
      const request = { projectId: '7', taskId: '1' };
      const outcome = await unary(client.getTask, client, request, bearer(await token()));
      expect(outcome).to.have.property('reason', 'PEER_MISSING');
      client.close();
      await forgetful.close();
    });

    it('lets nobody in without a certificate or without TLS', async () => {
      for (const credentials of [tls(false), grpc.credentials.createInsecure()]) {
        const outcome = await plainly(credentials, await token());
        expect('error' in outcome && outcome.error.code).to.equal(grpc.status.UNAVAILABLE);
      }
      expect(audit.events.filter((event) => event.type === 'decision')).to.deep.equal([]);
    });
  });
}

describe('example: start', function () {
  this.timeout(60_000);

  function start(example: string): { status: number | null; stdout: string; stderr: string } {
    const file = fileURLToPath(new URL(`../../examples/${example}/start.js`, import.meta.url));
    return spawnSync(process.execPath, [file], { encoding: 'utf8', timeout: 50_000 });
  }

  it('01-guarded-service says between its records what the README says', () => {
    const { status, stdout, stderr } = start('01-guarded-service');
    expect(status, stderr).to.equal(0);
    expect(stdout.split('\n').filter((line) => line !== '' && !line.startsWith('{'))).to.deep.equal([
      '1, read by spiffe://acme.example/agents/planner',
      '7 PERMISSION_DENIED: The token does not hold the permission for this resource.',
    ]);
  });

  it('02-frameworks serves the one and refuses the other in each framework', () => {
    const { status, stdout, stderr } = start('02-frameworks');
    expect(status, stderr).to.equal(0);
    expect(stdout.match(/reads project 7: {2}1, read /g)).to.have.length(FRAMEWORKS.length);
    expect(stdout.match(/reads project 8: {2}PERMISSION_DENIED/g)).to.have.length(FRAMEWORKS.length);
  });
});
