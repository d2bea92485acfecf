/** The task service: a guarded server. Who may call what stands in proto/fleet/v1/tasks.proto. */

import * as grpc from '@grpc/grpc-js';
import { createRevocations, createServerGuard, loadPolicy, type RevocationEntry } from 'grpc-zero-trust';
import { API, Health, TaskService } from './api.js';
import { healthy, taskBook } from './task-book.js';
import { joinFleet } from './workload.js';

const { identity, issuer, jwks, line } = await joinFleet();
const revocations = createRevocations();

const guard = await createServerGuard({
  identity,
  policy: await loadPolicy(API),
  tokens: {
    issuers: [
      {
        issuer,
        keys: jwks,
        subjects: ['spiffe://acme.example/agents/*'],
        actors: ['spiffe://acme.example/agents/worker'],
        permits: [{ actions: ['tasks.task.*'], resources: ['projects/**'] }],
        grants: 'authorization_details',
      },
    ],
  },
  revocations,
  audit: { write: (event) => line.tell('audit', event), close: async () => {} },
  unsafeAllowTestAuthority: true, // this fleet lives on the test authority; a real one leaves this line out
});

const server = new grpc.Server({ interceptors: [guard.interceptor] });
server.addService(TaskService.service, taskBook());
// Nobody gave the health service a policy, so nobody may call it: see `builtin` for how one would.
server.addService(Health.service, healthy());
line.on('revoke', (entry: RevocationEntry) => revocations.revoke(entry));

server.bindAsync('localhost:0', guard.credentials, (error, port) => {
  if (error !== null) throw error;
  line.tell('ready', `localhost:${port}`);
});
