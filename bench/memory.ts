/** What a remembered token takes, measured in a process of its own. */

import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';

export interface MemoryCost {
  readonly tokens: number;
  readonly bytesPerToken: number;
}

/** Starts the process that measures and waits for what it says. */
export async function measureMemory(): Promise<MemoryCost> {
  const script = fileURLToPath(new URL('./memory-child.js', import.meta.url));
  const child = fork(script, { execArgv: ['--expose-gc'], stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  const [answer] = (await once(child, 'message')) as [MemoryCost];
  return answer;
}
