/** Calls of all four kinds, and how each of them ended. */

import * as grpc from '@grpc/grpc-js';
import { refusalOf } from 'grpc-zero-trust';
import type { Remark, Task, TaskClient, TaskEvent, TaskName } from './api.js';

/** How a call ended. */
export interface Outcome {
  /** `served`, the reason of a refusal, `NO_CONNECTION`, or the gRPC status of any other error. */
  readonly happened: string;
  /** What came back, for a person to read. */
  readonly answer: string;
  /** The gRPC status. */
  readonly status: string;
  /** Names the record in the audit trail of the server; only a refused caller is told. */
  readonly decisionId: string | null;
  readonly ms: number;
}

type Ended = Omit<Outcome, 'ms'>;

/** What a caller may ask for. */
export interface Verbs {
  get(name: TaskName): Promise<Outcome>;
  complete(name: TaskName): Promise<Outcome>;
  approve(name: TaskName): Promise<Outcome>;
  import(tasks: readonly Task[]): Promise<Outcome>;
  watch(name: TaskName, onEvent?: () => void): Promise<Outcome>;
  discuss(remarks: readonly Remark[]): Promise<Outcome>;
}

/** The calls of one client; `metadata` is for callers without a guard, which adds what is needed by itself. */
export function verbsOf(client: TaskClient, metadata = new grpc.Metadata()): Verbs {
  const unary = (method: 'getTask' | 'completeTask' | 'approveTask', name: TaskName, tell: (task: Task) => string) =>
    timed(
      () =>
        new Promise<Ended>((resolve) => {
          client[method](name, metadata, soon(), (error, task) =>
            resolve(error === null ? served(tell(task as Task)) : notServed(error)),
          );
        }),
    );
  return {
    get: (name) => unary('getTask', name, (task) => `"${task.title}"`),
    complete: (name) => unary('completeTask', name, (task) => (task.done ? 'done' : 'not done')),
    approve: (name) => unary('approveTask', name, (task) => `by ${lastPart(task.approvedBy ?? '')}`),
    import: (tasks) =>
      timed(
        () =>
          new Promise((resolve) => {
            const call = client.importTasks(metadata, soon(), (error, response) =>
              resolve(error === null ? served(`${response?.count} added`) : notServed(error)),
            );
            for (const task of tasks) call.write(task);
            call.end();
          }),
      ),
    watch: (name, onEvent) =>
      timed(async () => {
        const call = client.watchTask(name, metadata, soon());
        const { items, status } = await readAll<TaskEvent>(call, onEvent);
        return status.code === grpc.status.OK ? served(items.map(({ what }) => what).join(', ')) : notServed(status);
      }),
    discuss: (remarks) =>
      timed(async () => {
        const call = client.discuss(metadata, soon());
        for (const remark of remarks) call.write(remark);
        call.end();
        const { items, status } = await readAll<Remark>(call);
        return status.code === grpc.status.OK ? served(`${items.length} remarks`) : notServed(status);
      }),
  };
}

/** A unary call of any service, by full method. */
export function callOf(client: grpc.Client, method: grpc.MethodDefinition<object, object>, metadata: grpc.Metadata) {
  const { path, requestSerialize, responseDeserialize } = method;
  return timed(
    () =>
      new Promise<Ended>((resolve) => {
        client.makeUnaryRequest(path, requestSerialize, responseDeserialize, {}, metadata, soon(), (error) =>
          resolve(error === null ? served('') : notServed(error)),
        );
      }),
  );
}

export const lastPart = (spiffeId: string): string => spiffeId.split('/').at(-1) ?? '';

const soon = (): grpc.CallOptions => ({ deadline: Date.now() + 8_000 });

const served = (answer: string): Ended => ({ happened: 'served', answer, status: 'OK', decisionId: null });

function notServed(error: Pick<grpc.StatusObject, 'code' | 'details' | 'metadata'>): Ended {
  const status = grpc.status[error.code] ?? 'UNKNOWN';
  const refusal = refusalOf(error);
  const happened = refusal?.reason ?? (status === 'UNAVAILABLE' ? 'NO_CONNECTION' : status);
  return { happened, answer: error.details, status, decisionId: refusal?.decisionId ?? null };
}

/** Everything a stream brings, and the status it ends with. */
function readAll<T>(
  call: grpc.ClientReadableStream<T> | grpc.ClientDuplexStream<T, T>,
  onItem?: () => void,
): Promise<{ items: T[]; status: grpc.StatusObject }> {
  const items: T[] = [];
  return new Promise((resolve) => {
    call.on('data', (item: T) => {
      items.push(item);
      onItem?.();
    });
    call.on('error', () => {}); // the status says the same
    call.on('status', (status: grpc.StatusObject) => resolve({ items, status }));
  });
}

async function timed(call: () => Promise<Ended>): Promise<Outcome> {
  const start = performance.now();
  const ended = await call();
  return { ...ended, ms: performance.now() - start };
}
