/** The planner: an honest agent with a guarded client. Token and certificate are attached without its doing. */

import { createClientGuard, loadPolicy, type TokenSource } from 'grpc-zero-trust';
import { staticToken } from 'grpc-zero-trust/testing';
import { API, TASKS_ID, type Task, type TaskName, TaskService } from './api.js';
import { verbsOf } from './calls.js';
import { joinFleet } from './workload.js';

const { identity, tokens, tasks: address, line } = await joinFleet();

let last = '';
const remembered: TokenSource = {
  getToken: async (request) => {
    last = await tokens.getToken(request);
    return last;
  },
};
// With the policy at hand it asks for a fresh token for each call of a method that uses tokens up.
const guard = await createClientGuard({
  identity,
  tokens: remembered,
  policy: await loadPolicy(API),
  unsafeAllowTestAuthority: true,
});
const tasks = verbsOf(guard.createClient(TaskService, address, { server: TASKS_ID }));

line.on('get', (name: TaskName) => tasks.get(name));
line.on('import', (list: Task[]) => tasks.import(list));
line.on('watch', (name: TaskName) => tasks.watch(name));
line.on('approve', (name: TaskName) => tasks.approve(name));

line.on('approve with the last token', async (name: TaskName) => {
  const careless = await createClientGuard({ identity, tokens: staticToken(last), unsafeAllowTestAuthority: true });
  const outcome = await verbsOf(careless.createClient(TaskService, address, { server: TASKS_ID })).approve(name);
  await careless.close();
  return outcome;
});

line.tell('ready');
