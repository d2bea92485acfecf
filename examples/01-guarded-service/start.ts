/** A guarded service and its caller, in one process: node build/examples/01-guarded-service/start.js */

import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createClientGuard, createServerGuard, loadPolicy, principalOf } from 'grpc-zero-trust';
import { createTestAuthority, staticToken } from 'grpc-zero-trust/testing';

const folder = fileURLToPath(new URL('../../../examples/01-guarded-service', import.meta.url));
const packageProtos = fileURLToPath(new URL('./proto', import.meta.resolve('grpc-zero-trust/package.json')));
const includeDirs = [folder, packageProtos];
// biome-ignore lint/suspicious/noExplicitAny: what the proto loader makes has no types of its own
const { Tasks } = (grpc.loadPackageDefinition(loadSync('tasks.proto', { includeDirs })) as any).tasks.v1;

// ---- the server: its port carries mutual TLS and every check -----------------------------------------------------
const authority = await createTestAuthority({ trustDomain: 'acme.example' });
const [subjects, permits] = [['spiffe://acme.example/**'], [{ actions: ['tasks.*'], resources: ['**'] }]];
const issuer = { issuer: authority.issuer, keys: authority.jwks(), subjects, permits };
const guard = await createServerGuard({
  identity: await authority.identity('services/tasks'),
  policy: await loadPolicy({ protos: [`${folder}/tasks.proto`], includeDirs }),
  tokens: { issuers: [{ ...issuer, grants: 'authorization_details' }] },
  unsafeAllowTestAuthority: true,
});
const server = new grpc.Server({ interceptors: [guard.interceptor] });
server.addService(Tasks.service, {
  getTask(call: grpc.ServerUnaryCall<{ taskId: string }, object>, reply: grpc.sendUnaryData<object>) {
    reply(null, { title: `${call.request.taskId}, read by ${principalOf(call).subject}` });
  },
});
const port = await new Promise((resolve, reject) => {
  server.bindAsync('localhost:0', guard.credentials, (error, bound) => (error ? reject(error) : resolve(bound)));
});

// ---- the caller: it may read the tasks of project 7, and tries project 8 as well ----------------------------------
const planner = await authority.identity('agents/planner');
const audience = 'spiffe://acme.example/services/tasks';
const grants = [{ actions: ['tasks.task.read'], resources: ['projects/7/tasks/**'] }];
const token = await authority.token({ audience, boundTo: planner, grants });
const client = await createClientGuard({
  identity: planner,
  tokens: staticToken(token),
  unsafeAllowTestAuthority: true,
});
const tasks = client.createClient(Tasks as grpc.ServiceClientConstructor, `localhost:${port}`, { server: audience });
for (const projectId of ['7', '8']) {
  await new Promise<void>((done) => {
    tasks['getTask']?.({ projectId, taskId: '1' }, (error: grpc.ServiceError | null, task: { title: string }) => {
      console.log(error?.message ?? task.title);
      done();
    });
  });
}
tasks.close();
await client.close();
server.forceShutdown();
await guard.close();
