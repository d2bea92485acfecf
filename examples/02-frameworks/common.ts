/** What both frameworks are given: the service of the first example, a guard for it, and a caller. */

import { fileURLToPath } from 'node:url';
import {
  type AuditSink,
  type ClientGuard,
  createClientGuard,
  createServerGuard,
  loadPolicy,
  type ServerGuard,
} from 'grpc-zero-trust';
import { createTestAuthority, type TestAuthority, type TestIdentity } from 'grpc-zero-trust/testing';

const folder = fileURLToPath(new URL('../../../examples/01-guarded-service', import.meta.url));
const packageProtos = fileURLToPath(new URL('./proto', import.meta.resolve('grpc-zero-trust/package.json')));

export const PROTO = `${folder}/tasks.proto`;
export const INCLUDE_DIRS = [folder, packageProtos];
export const SERVER = 'spiffe://acme.example/services/tasks';

export interface GetTaskRequest {
  readonly projectId: string;
  readonly taskId: string;
}
export interface Task {
  readonly title: string;
}

/** A server that some framework runs. */
export interface RunningServer {
  readonly address: string;
  close(): Promise<void>;
}
/** A client that some framework made. */
export interface TaskReader {
  getTask(request: GetTaskRequest): Promise<Task>;
  close(): Promise<void>;
}

export interface Setting {
  readonly authority: TestAuthority;
  readonly planner: TestIdentity;
  readonly guard: ServerGuard;
  /** The guard of the planner, who may read the tasks of project 7. */
  readonly client: ClientGuard;
  close(): Promise<void>;
}

export async function createSetting(audit: AuditSink): Promise<Setting> {
  const authority = await createTestAuthority({ trustDomain: 'acme.example' });
  const planner = await authority.identity('agents/planner');
  const guard = await createServerGuard({
    identity: await authority.identity('services/tasks'),
    policy: await loadPolicy({ protos: [PROTO], includeDirs: INCLUDE_DIRS }),
    tokens: {
      issuers: [
        {
          issuer: authority.issuer,
          keys: authority.jwks(),
          subjects: ['spiffe://acme.example/**'],
          permits: [{ actions: ['tasks.*'], resources: ['**'] }],
          grants: 'authorization_details',
        },
      ],
    },
    audit,
    unsafeAllowTestAuthority: true,
  });
  const grants = [{ actions: ['tasks.task.read'], resources: ['projects/7/tasks/**'] }];
  const client = await createClientGuard({
    identity: planner,
    tokens: { getToken: ({ audience }) => authority.token({ audience, boundTo: planner, grants }) },
    unsafeAllowTestAuthority: true,
  });
  const close = async (): Promise<void> => {
    await client.close();
    await guard.close();
  };
  return { authority, planner, guard, client, close };
}
