/** Questions and answers between the launcher and its processes, over the channel that `fork` opens. */

import type { ChildProcess } from 'node:child_process';

/** One end of the channel. */
export interface Line {
  /** Asks the other end and waits for its answer. */
  ask<A>(question: string, content?: unknown): Promise<A>;
  /** Says something that needs no answer. */
  tell(question: string, content?: unknown): void;
  /** How this end answers a question. */
  on(question: string, answer: (content: never) => unknown): void;
  /** Ends every question that is still open. */
  fail(error: Error): void;
}

interface Message {
  readonly question?: string;
  readonly content?: unknown;
  /** The number of the question; absent where no answer is wanted. */
  readonly id?: number;
  readonly answer?: unknown;
  readonly error?: string;
}

interface Asked {
  readonly resolve: (answer: never) => void;
  readonly reject: (error: Error) => void;
}

const PATIENCE_MS = 10_000;

/** The line to a forked process, or from it (`process`) to who forked it. */
export function openLine(end: ChildProcess | NodeJS.Process): Line {
  const answers = new Map<string, (content: never) => unknown>();
  const asked = new Map<number, Asked>();
  let last = 0;
  // Somebody who is gone hears nothing; the end of a process is noticed elsewhere.
  const send = (message: Message): void => {
    if (end.connected) end.send?.(message, () => {});
  };

  end.on('message', async ({ question, content, id, answer, error }: Message) => {
    if (question === undefined) {
      const waiting = asked.get(id ?? 0);
      if (error === undefined) waiting?.resolve(answer as never);
      else waiting?.reject(new Error(error));
      return;
    }
    try {
      const known = answers.get(question);
      if (known === undefined) throw new Error(`nobody here answers '${question}'`);
      const given = await known(content as never);
      if (id !== undefined) send({ id, answer: given });
    } catch (thrown) {
      if (id !== undefined) send({ id, error: thrown instanceof Error ? thrown.message : String(thrown) });
    }
  });

  return {
    ask(question, content) {
      const id = ++last;
      return new Promise((resolve, reject) => {
        const settle = (act: () => void): void => {
          clearTimeout(timer);
          asked.delete(id);
          act();
        };
        const timer = setTimeout(() => {
          settle(() => reject(new Error(`no answer to '${question}' within ${PATIENCE_MS / 1000} s`)));
        }, PATIENCE_MS);
        asked.set(id, {
          resolve: (answer) => settle(() => resolve(answer)),
          reject: (error) => settle(() => reject(error)),
        });
        send({ question, content, id });
      });
    },
    tell: (question, content) => send({ question, content }),
    on: (question, answer) => {
      answers.set(question, answer);
    },
    fail(error) {
      for (const { reject } of [...asked.values()]) reject(error);
    },
  };
}
