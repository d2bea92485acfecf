/** The handlers of the task service. None of them checks anything: what reaches them is allowed. */

import { EventEmitter } from 'node:events';
import type * as grpc from '@grpc/grpc-js';
import { principalOf } from 'grpc-zero-trust';
import type { Remark, Task, TaskEvent, TaskName } from './api.js';

type Entry = { -readonly [K in keyof Task]: Task[K] };
type Change = (entry: Entry, call: grpc.ServerUnaryCall<TaskName, Task>) => void;

export function taskBook(): grpc.UntypedServiceImplementation {
  const book = new Map<string, Entry>();
  const changes = new EventEmitter();
  const keyOf = ({ projectId, taskId }: TaskName): string => `${projectId}/${taskId}`;
  const add = (task: Task): void => void book.set(keyOf(task), { ...task, done: false, approvedBy: '' });
  add({ projectId: 'lobby', taskId: '1', title: 'Water the plants' });

  const unary =
    (change: Change = () => {}): grpc.handleUnaryCall<TaskName, Task> =>
    (call, reply) => {
      const entry = book.get(keyOf(call.request));
      if (entry === undefined) return reply({ code: 5, details: 'There is no such task.' });
      change(entry, call);
      changes.emit(keyOf(entry));
      reply(null, entry);
    };

  return {
    getTask: unary(),
    completeTask: unary((entry) => {
      entry.done = true;
    }),
    approveTask: unary((entry, call) => {
      entry.approvedBy = principalOf(call).subject;
    }),
    importTasks(
      call: grpc.ServerReadableStream<Task, { count: number }>,
      reply: grpc.sendUnaryData<{ count: number }>,
    ) {
      const tasks: Task[] = [];
      call.on('data', (task: Task) => tasks.push(task));
      // All or none: a stream that is refused half-way never gets here.
      call.on('end', () => {
        tasks.forEach(add);
        reply(null, { count: tasks.length });
      });
    },
    /** Stays open until the task is done. */
    watchTask(call: grpc.ServerWritableStream<TaskName, TaskEvent>) {
      const key = keyOf(call.request);
      const look = (): void => {
        const done = book.get(key)?.done === true;
        call.write({ what: done ? 'done' : 'open' });
        if (done) call.end();
      };
      changes.on(key, look);
      call.on('cancelled', () => changes.off(key, look));
      look();
    },
    discuss(call: grpc.ServerDuplexStream<Remark, Remark>) {
      const author = principalOf(call).subject;
      call.on('data', (remark: Remark) => call.write({ ...remark, author }));
      call.on('end', () => call.end());
    },
  };
}

export function healthy(): grpc.UntypedServiceImplementation {
  const check: grpc.handleUnaryCall<object, { status: string }> = (_call, reply) => reply(null, { status: 'SERVING' });
  return { check };
}
