/** The service that is called: the fixture of the tests, of which only one method is used. */

import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';

const root = fileURLToPath(new URL('../../', import.meta.url));

export const PROTO = `${root}test/support/proto/fixture/v1/tasks.proto`;
export const INCLUDE_DIRS = [`${root}test/support/proto`, `${root}proto`];
export const SERVER_ID = 'spiffe://acme.example/services/tasks';
export const GET_TASK = 'GetTask';

const loaded = grpc.loadPackageDefinition(loadSync(PROTO, { includeDirs: INCLUDE_DIRS, keepCase: true }));
export const { TaskService } = (
  loaded as unknown as { fixture: { v1: { TaskService: grpc.ServiceClientConstructor } } }
).fixture.v1;
