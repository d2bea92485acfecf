/** The API of the fleet as every process sees it: the proto files, the service, the names. */

import { fileURLToPath } from 'node:url';
import * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { SpiffeIdText } from 'grpc-zero-trust';

export const TRUST_DOMAIN = 'acme.example';
export const TASKS_ID: SpiffeIdText = `spiffe://${TRUST_DOMAIN}/services/tasks`;
export const agentId = (agent: string): SpiffeIdText => `spiffe://${TRUST_DOMAIN}/agents/${agent}`;

/** The compiled example runs from build/examples/fleet; the proto files stay where they are written. */
const ownProtos = fileURLToPath(new URL('../../../examples/fleet/proto', import.meta.url));
const packageProtos = fileURLToPath(new URL('./proto', import.meta.resolve('grpc-zero-trust/package.json')));

/** What `loadPolicy` and the proto loader read. */
export const API = { protos: [`${ownProtos}/fleet/v1/tasks.proto`], includeDirs: [ownProtos, packageProtos] };

const load = (file: string): grpc.GrpcObject =>
  grpc.loadPackageDefinition(loadSync(file, { includeDirs: API.includeDirs, defaults: true }));
// biome-ignore lint/suspicious/noExplicitAny: what the proto loader makes has no types of its own
const generated = (file: string): any => load(file);

export const TaskService: TaskClientClass & grpc.ServiceClientConstructor =
  generated('fleet/v1/tasks.proto').fleet.v1.TaskService;
export const Health: grpc.ServiceClientConstructor = generated('grpc/health/v1/health.proto').grpc.health.v1.Health;

export interface TaskName {
  readonly projectId: string;
  readonly taskId: string;
}
export interface Task extends TaskName {
  readonly title: string;
  readonly done?: boolean;
  readonly approvedBy?: string;
}
export interface TaskEvent {
  readonly what: string;
}
export interface Remark extends TaskName {
  readonly text: string;
  readonly author?: string;
}

type Unary = (
  request: TaskName,
  metadata: grpc.Metadata,
  options: grpc.CallOptions,
  callback: grpc.requestCallback<Task>,
) => grpc.ClientUnaryCall;

/** The client of the service. */
export interface TaskClient extends grpc.Client {
  getTask: Unary;
  completeTask: Unary;
  approveTask: Unary;
  importTasks(
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
    callback: grpc.requestCallback<{ count: number }>,
  ): grpc.ClientWritableStream<Task>;
  watchTask(
    request: TaskName,
    metadata: grpc.Metadata,
    options: grpc.CallOptions,
  ): grpc.ClientReadableStream<TaskEvent>;
  discuss(metadata: grpc.Metadata, options: grpc.CallOptions): grpc.ClientDuplexStream<Remark, Remark>;
}
export type TaskClientClass = new (
  address: string,
  credentials: grpc.ChannelCredentials,
  options?: grpc.ClientOptions,
) => TaskClient;
