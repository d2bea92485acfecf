/** The worker: an honest agent that works for itself, and at times on behalf of the planner. */

import { createClientGuard } from 'grpc-zero-trust';
import { type Remark, TASKS_ID, type Task, type TaskName, TaskService } from './api.js';
import { verbsOf } from './calls.js';
import { joinFleet } from './workload.js';

const { identity, tokens, tokensOnBehalfOf, tasks: address, line } = await joinFleet();

const guard = await createClientGuard({ identity, tokens, unsafeAllowTestAuthority: true });
const own = verbsOf(guard.createClient(TaskService, address, { server: TASKS_ID }));

line.on('get', (name: TaskName) => own.get(name));
line.on('complete', (name: TaskName) => own.complete(name));
line.on('import', (list: Task[]) => own.import(list));
line.on('discuss', (remarks: Remark[]) => own.discuss(remarks));

// The same certificate, other tokens: their subject is the planner, their actor is the worker.
const deputy = await createClientGuard({
  identity,
  tokens: tokensOnBehalfOf('planner'),
  unsafeAllowTestAuthority: true,
});
const forPlanner = verbsOf(deputy.createClient(TaskService, address, { server: TASKS_ID }));

line.on('get for the planner', (name: TaskName) => forPlanner.get(name));
line.on('complete for the planner', (name: TaskName) => forPlanner.complete(name));

line.tell('ready');
