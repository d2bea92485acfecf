/** What the fleet does, step by step, and what is expected of each step. */

import { randomUUID } from 'node:crypto';
import type { Reason } from 'grpc-zero-trust';
import { type Task, type TaskName, TRUST_DOMAIN } from './api.js';
import type { Outcome } from './calls.js';
import type { Fleet } from './fleet.js';
import type { Agent } from './rights.js';

/** `served`, the reason of the refusal, or no connection at all. */
export type Expected = 'served' | 'NO_CONNECTION' | Reason;

export interface Step {
  readonly who: Agent;
  /** What it is about, for a person. */
  readonly does: string;
  /** The method, and the tasks it names as `project/task`. */
  readonly call: string;
  readonly expect: Expected;
  run(fleet: Fleet): Promise<Outcome>;
}

export interface Chapter {
  readonly title: string;
  readonly steps: readonly Step[];
}

const at = (text: string): TaskName => {
  const cut = text.lastIndexOf('/');
  return { projectId: text.slice(0, cut), taskId: text.slice(cut + 1) };
};
const task = (text: string, title: string): Task => ({ ...at(text), title });
const remark = (text: string) => ({ ...at('7/1'), text });

/** A step that is one question to one process. */
function step(who: Agent, does: string, call: string, expect: Expected, question: string, content: unknown): Step {
  return { who, does, call, expect, run: (fleet) => fleet.ask(who, question, content) };
}

/** A step of the intruder, with a token that was come by in some way. */
function intrusion(
  does: string,
  call: string,
  expect: Expected,
  question: string,
  token: (fleet: Fleet) => string | null | Promise<string | null>,
): Step {
  const run = async (fleet: Fleet): Promise<Outcome> => {
    return fleet.ask('intruder', question, { name: at(call.split(' ')[1] ?? ''), token: await token(fleet) });
  };
  return { who: 'intruder', does, call, expect, run };
}

const itsOwn = (fleet: Fleet): Promise<string> => fleet.tokenFor('intruder');
const stolen = (fleet: Fleet): string => fleet.lastTokenOf('planner');
const expired = (fleet: Fleet): Promise<string> => {
  const now = Math.floor(Date.now() / 1000);
  return fleet.tokenFor('intruder', { claims: { iat: now - 3600, exp: now - 3300 } });
};
const forBilling = (fleet: Fleet): Promise<string> =>
  fleet.tokenFor('intruder', { audience: `spiffe://${TRUST_DOMAIN}/services/billing` });
const revoked = async (fleet: Fleet): Promise<string> => {
  const tokenId = randomUUID();
  await fleet.revoke({ tokenId });
  return fleet.tokenFor('intruder', { claims: { jti: tokenId } });
};

export const STORY: readonly Chapter[] = [
  {
    title: 'Honest work, in all four kinds of calls',
    steps: [
      step('planner', 'adds three tasks in one stream', 'ImportTasks 7/1 7/2 8/1', 'served', 'import', [
        task('7/1', 'Draft the budget'),
        task('7/2', 'Check the draft'),
        task('8/1', 'Choose a supplier'),
      ]),
      step('worker', 'reads one of them', 'GetTask 7/1', 'served', 'get', at('7/1')),
      step('worker', 'talks about it, both ways', 'Discuss 7/1', 'served', 'discuss', [
        remark('Who approves it?'),
        remark('The planner does.'),
      ]),
      step('worker', 'completes it', 'CompleteTask 7/1', 'served', 'complete', at('7/1')),
      step('planner', 'watches until it is done', 'WatchTask 7/1', 'served', 'watch', at('7/1')),
    ],
  },
  {
    title: 'Least privilege: the worker has project 7, the planner 7 and 8',
    steps: [
      step('worker', 'reads a task of project 8', 'GetTask 8/1', 'RESOURCE_NOT_GRANTED', 'get', at('8/1')),
      step('worker', 'completes it', 'CompleteTask 8/1', 'RESOURCE_NOT_GRANTED', 'complete', at('8/1')),
      step('worker', 'adds a task to its own project', 'ImportTasks 7/3', 'PERMISSION_MISSING', 'import', [
        task('7/3', 'More money'),
      ]),
      step('planner', 'hides project 9 in a good stream', 'ImportTasks 7/3 9/1', 'RESOURCE_NOT_GRANTED', 'import', [
        task('7/3', 'A good one'),
        task('9/1', 'A bad one'),
      ]),
      step('planner', 'does not say which task', 'GetTask 7/', 'RESOURCE_EMPTY', 'get', at('7/')),
      step('worker', 'puts a path into a field', 'GetTask 7/../8/1', 'RESOURCE_INVALID', 'get', at('7/../8/1')),
    ],
  },
  {
    title: 'On behalf of another: only where the method allows it',
    steps: [
      step('worker', 'reads on behalf of the planner', 'GetTask 7/2', 'served', 'get for the planner', at('7/2')),
      step(
        'worker',
        'completes on behalf of the planner',
        'CompleteTask 7/2',
        'DELEGATION_FORBIDDEN',
        'complete for the planner',
        at('7/2'),
      ),
    ],
  },
  {
    title: 'Once is once: approving uses its token up',
    steps: [
      step('planner', 'approves a task', 'ApproveTask 7/1', 'served', 'approve', at('7/1')),
      step(
        'planner',
        'sends the same token again',
        'ApproveTask 7/2',
        'TOKEN_REPLAYED',
        'approve with the last token',
        at('7/2'),
      ),
    ],
  },
  {
    title: 'The intruder: an agent that was taken over, with a genuine certificate',
    steps: [
      intrusion('reads what it may read', 'GetTask lobby/1', 'served', 'get', itsOwn),
      intrusion('sends no token', 'GetTask 7/1', 'TOKEN_MISSING', 'get', () => null),
      intrusion("sends the planner's token", 'GetTask 7/1', 'TOKEN_BINDING_MISMATCH', 'get', stolen),
      intrusion('edits its own token', 'GetTask 7/1', 'TOKEN_SIGNATURE', 'get with an edited token', itsOwn),
      intrusion('sends a token of an hour ago', 'GetTask lobby/1', 'TOKEN_EXPIRED', 'get', expired),
      intrusion('sends a token for another service', 'GetTask lobby/1', 'TOKEN_AUDIENCE', 'get', forBilling),
      intrusion('sends a token that was revoked', 'GetTask lobby/1', 'TOKEN_REVOKED', 'get', revoked),
      intrusion('calls what nobody annotated', 'Check', 'METHOD_UNANNOTATED', 'health', itsOwn),
      intrusion('comes without TLS', 'GetTask lobby/1', 'NO_CONNECTION', 'get without TLS', itsOwn),
      intrusion('comes without a certificate', 'GetTask lobby/1', 'NO_CONNECTION', 'get without a certificate', itsOwn),
      intrusion('forges a certificate', 'GetTask 7/1', 'NO_CONNECTION', 'get with a forged certificate', stolen),
    ],
  },
  {
    title: 'Thrown out: its identity is revoked while a stream is open',
    steps: [
      {
        who: 'intruder',
        does: 'watches, and is cut off',
        call: 'WatchTask lobby/1',
        expect: 'PEER_REVOKED',
        async run(fleet) {
          await fleet.ask('intruder', 'watch', { name: at('lobby/1'), token: await itsOwn(fleet) });
          await fleet.revoke({ spiffeId: fleet.identities.intruder.spiffeId });
          return fleet.ask('intruder', 'end of the watch');
        },
      },
      intrusion('comes back', 'GetTask lobby/1', 'PEER_REVOKED', 'get', itsOwn),
      step('worker', 'goes on with its work', 'CompleteTask 7/2', 'served', 'complete', at('7/2')),
    ],
  },
];
