/** nice-grpc: the guard goes where nice-grpc takes credentials, on both sides. */

import type * as grpc from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import type { ClientGuard, ServerGuard } from 'grpc-zero-trust';
import { createChannel, createClient, createServer } from 'nice-grpc';
import { type GetTaskRequest, INCLUDE_DIRS, type RunningServer, SERVER, type Task, type TaskReader } from './common.js';

type Unary<I, O> = grpc.MethodDefinition<I, O> & { requestStream: false; responseStream: false };
type TasksDefinition = { GetTask: Unary<GetTaskRequest, Task> };

const definition = loadSync('tasks.proto', { includeDirs: INCLUDE_DIRS })[
  'tasks.v1.Tasks'
] as unknown as TasksDefinition;

export async function serveWithNiceGrpc(guard: ServerGuard): Promise<RunningServer> {
  // The options are those of a grpc-js server: calls that come around the guarded port are refused.
  const server = createServer({ interceptors: [guard.interceptor] } as object);
  server.add(definition, {
    // nice-grpc hands handlers a copy of the metadata, so that `principalOf` is not to be had here. What reaches a
    // handler is allowed all the same.
    async GetTask(request) {
      return { title: `${request.taskId}, read over nice-grpc` };
    },
  });
  const port = await server.listen('localhost:0', guard.credentials);
  return { address: `localhost:${port}`, close: async () => server.forceShutdown() };
}

export function readWithNiceGrpc(guard: ClientGuard, address: string): TaskReader {
  const channel = createChannel(address, guard.credentialsFor({ server: SERVER }));
  const tasks = createClient(definition, channel);
  return {
    getTask: (request) => tasks.GetTask(request),
    close: async () => channel.close(),
  };
}
