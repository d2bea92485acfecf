/**
 * An agent fleet in which no call is trusted: launches it, lives its story step by step, and shows for each call what
 * was expected, what happened and why. Exits 0 only if everything happened as expected.
 *
 *   --serve            keep the fleet running afterwards, and show every call that reaches it
 *   --json             the same as JSON lines on standard output; the tables go to standard error
 *   --expect 6=served  expect something else of step 6: to see what a failure looks like
 */

import { parseArgs } from 'node:util';
import { type Fleet, launchFleet } from './fleet.js';
import { Show } from './show.js';
import { type Expected, STORY } from './story.js';
import { Trail } from './trail.js';

/** The command line; `null` when it makes no sense. */
function readOptions(): { serve: boolean; json: boolean; otherwise: Map<number, Expected> } | null {
  const options = {
    serve: { type: 'boolean' },
    json: { type: 'boolean' },
    expect: { type: 'string', multiple: true },
  } as const;
  try {
    const { serve = false, json = false, expect = [] } = parseArgs({ options }).values;
    const steps = STORY.flatMap((chapter) => chapter.steps).length;
    const otherwise = expect.map((text): [number, Expected] => {
      const [, step, expected] = /^(\d+)=(\w+)$/.exec(text) ?? [];
      if (!(Number(step) >= 1 && Number(step) <= steps)) throw new Error(`--expect ${text}: there is no such step`);
      return [Number(step), expected as Expected];
    });
    return { serve, json, otherwise: new Map(otherwise) };
  } catch (error) {
    console.error(`${messageOf(error)}\nUsage: npm start -- [--serve] [--json] [--expect STEP=OUTCOME]`);
    return null;
  }
}

/** Whether every step went as expected. */
async function live(fleet: Fleet, show: Show, otherwise: ReadonlyMap<number, Expected>): Promise<boolean> {
  const trail = new Trail(fleet);
  let number = 0;
  let good = true;
  show.fleet(fleet);
  for (const chapter of STORY) {
    show.chapter(chapter.title);
    for (const step of chapter.steps) {
      number += 1;
      trail.begin(number);
      const expected = otherwise.get(number) ?? step.expect;
      const outcome = await step.run(fleet).catch((error: unknown) => {
        throw new Error(`in step ${number} (${step.who} ${step.does}): ${messageOf(error)}`);
      });
      // What the trail does not say did not happen as expected.
      const recorded = await trail.recordOf(step, outcome);
      const asExpected = outcome.happened === expected && recorded;
      good &&= asExpected;
      show.step({ number, step, expected, outcome, recorded, asExpected, pid: fleet.pids[step.who] });
    }
  }
  show.trail(trail.entries);
  return good;
}

async function main(): Promise<number> {
  const options = readOptions();
  if (options === null) return 2;
  const interrupted = new Promise<null>((resolve) => {
    process.once('SIGINT', () => resolve(null)).once('SIGTERM', () => resolve(null));
  });
  const show = new Show(options.json);
  let fleet: Fleet | undefined;
  try {
    const started = performance.now();
    fleet = await launchFleet();
    const good = await Promise.race([interrupted, live(fleet, show, options.otherwise), fleet.broken]);
    if (good === null) return 130;
    show.end(good, performance.now() - started);
    if (options.serve) {
      show.serving(fleet);
      await Promise.race([interrupted, fleet.broken]);
    }
    return good ? 0 : 1;
  } catch (error) {
    show.failure(messageOf(error));
    return 1;
  } finally {
    await fleet?.close();
  }
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

process.exitCode = await main();
