/** The same guard inside NestJS and nice-grpc: node build/examples/02-frameworks/start.js */

import * as grpc from '@grpc/grpc-js';
import { createSetting, type TaskReader } from './common.js';
import { readWithNest, serveWithNest } from './nestjs.js';
import { readWithNiceGrpc, serveWithNiceGrpc } from './nice-grpc.js';

const silent = { write: () => {}, close: async () => {} };
const frameworks = [
  { name: 'NestJS', serve: serveWithNest, read: readWithNest },
  { name: 'nice-grpc', serve: serveWithNiceGrpc, read: readWithNiceGrpc },
];

for (const { name, serve, read } of frameworks) {
  const setting = await createSetting(silent);
  const server = await serve(setting.guard);
  const planner = read(setting.client, server.address);
  console.log(name);
  console.log(`  the planner reads project 7:  ${await told(planner, '7')}`);
  console.log(`  the planner reads project 8:  ${await told(planner, '8')}`);
  await planner.close();
  await server.close();
  await setting.close();
}

async function told(reader: TaskReader, projectId: string): Promise<string> {
  try {
    return (await reader.getTask({ projectId, taskId: '1' })).title;
  } catch (error) {
    const { code, details } = error as grpc.ServiceError;
    return `${grpc.status[code]}: ${details}`;
  }
}
