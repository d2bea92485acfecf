/** Least privilege, written in one place: what the authority of the fleet puts into tokens, and for whom. */

import type { Grant } from 'grpc-zero-trust';

export type Agent = 'planner' | 'worker' | 'intruder';

export const RIGHTS: Readonly<Record<Agent, readonly Grant[]>> = {
  planner: [{ actions: ['tasks.task.*'], resources: ['projects/7/tasks/**', 'projects/8/tasks/**'] }],
  worker: [
    { actions: ['tasks.task.read', 'tasks.task.complete', 'tasks.task.discuss'], resources: ['projects/7/tasks/**'] },
  ],
  // An agent like the others until somebody took it over.
  intruder: [{ actions: ['tasks.task.read'], resources: ['projects/lobby/tasks/**'] }],
};

/** Who may act on behalf of whom, and what for: never more than both of them may. */
export const ON_BEHALF_OF: readonly { actor: Agent; subject: Agent; grants: readonly Grant[] }[] = [
  {
    actor: 'worker',
    subject: 'planner',
    grants: [{ actions: ['tasks.task.read', 'tasks.task.complete'], resources: ['projects/7/tasks/**'] }],
  },
];
