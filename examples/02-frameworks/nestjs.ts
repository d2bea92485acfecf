/** NestJS: the guard goes where Nest takes credentials, on both sides. */

import 'reflect-metadata';
import { once } from 'node:events';
import { type AddressInfo, createServer } from 'node:net';
import type * as grpc from '@grpc/grpc-js';
import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ClientGrpcProxy, GrpcMethod, type GrpcOptions, Transport } from '@nestjs/microservices';
import { type ClientGuard, principalOf, type ServerGuard } from 'grpc-zero-trust';
import { firstValueFrom, type Observable } from 'rxjs';
import {
  type GetTaskRequest,
  INCLUDE_DIRS,
  PROTO,
  type RunningServer,
  SERVER,
  type Task,
  type TaskReader,
} from './common.js';

class TasksController {
  getTask(request: GetTaskRequest, _metadata: grpc.Metadata, call: grpc.ServerUnaryCall<GetTaskRequest, Task>): Task {
    return { title: `${request.taskId}, read by ${principalOf(call).subject}` };
  }
}
class AppModule {}

// What @Controller(), @GrpcMethod('Tasks', 'GetTask') and @Module({ ... }) do, written as the calls they are: this
// repository compiles without decorators.
const method = Object.getOwnPropertyDescriptor(TasksController.prototype, 'getTask') ?? {};
GrpcMethod('Tasks', 'GetTask')(TasksController.prototype, 'getTask', method);
Controller()(TasksController);
Module({ controllers: [TasksController] })(AppModule);

export async function serveWithNest(guard: ServerGuard): Promise<RunningServer> {
  const address = `localhost:${await freePort()}`;
  const app = await NestFactory.createMicroservice<GrpcOptions>(AppModule, {
    transport: Transport.GRPC,
    logger: ['error'],
    options: {
      url: address,
      package: 'tasks.v1',
      protoPath: PROTO,
      loader: { includeDirs: INCLUDE_DIRS },
      // Without this line Nest would open an unprotected port.
      credentials: guard.credentials,
      // What else grpc-js takes for a server goes here: calls that come around the guarded port are refused.
      channelOptions: { interceptors: [guard.interceptor] } as object,
    },
  });
  await app.listen();
  return { address, close: () => app.close() };
}

export function readWithNest(guard: ClientGuard, address: string): TaskReader {
  const client = new ClientGrpcProxy({
    url: address,
    package: 'tasks.v1',
    protoPath: PROTO,
    loader: { includeDirs: INCLUDE_DIRS },
    credentials: guard.credentialsFor({ server: SERVER }),
  });
  const tasks = client.getService<{ getTask(request: GetTaskRequest): Observable<Task> }>('Tasks');
  return {
    getTask: (request) => firstValueFrom(tasks.getTask(request)),
    close: async () => client.close(),
  };
}

/** Nest does not say which port it was given, so one is looked for first. */
async function freePort(): Promise<number> {
  const probe = createServer().listen(0, 'localhost');
  await once(probe, 'listening');
  const { port } = probe.address() as AddressInfo;
  probe.close();
  await once(probe, 'close');
  return port;
}
