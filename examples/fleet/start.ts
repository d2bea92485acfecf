/**
 * An agent fleet in which no call is trusted: launches it, lives its story step by step, and shows for each call what
 * was expected, what happened and why. Exits 0 only if everything happened as expected.
 *
 *   --serve            keep the fleet running afterwards, and show every call that reaches it
 *   --json             the same as JSON lines on standard output; the tables go to standard error
 *   --expect 6=served  expect something else of a step: to see what a failure looks like
 */

import { parseArgs } from 'node:util';
import type { AuditEvent } from 'grpc-zero-trust';
import { type Fleet, launchFleet } from './fleet.js';
import { Show } from './show.js';
import { type Expected, STORY } from './story.js';
import { Trail } from './trail.js';

const { values } = parseArgs({
  options: { serve: { type: 'boolean' }, json: { type: 'boolean' }, expect: { type: 'string', multiple: true } },
});
const otherwise = new Map((values.expect ?? []).map((text) => text.split('=', 2) as [string, Expected]));

const show = new Show(values.json === true);
let fleet: Fleet | undefined;
let interrupted: () => void = () => {};
const interruption = new Promise<void>((resolve) => {
  interrupted = resolve;
});
process.once('SIGINT', interrupted).once('SIGTERM', interrupted);

/** Whether every step went as expected; `null` when the user ended it before. */
async function live(running: Fleet): Promise<boolean> {
  const trail = new Trail(running);
  show.fleet(running);
  let number = 0;
  let good = true;
  for (const chapter of STORY) {
    show.chapter(chapter.title);
    for (const step of chapter.steps) {
      number += 1;
      trail.begin(number);
      const expected = otherwise.get(String(number)) ?? step.expect;
      const outcome = await step.run(running);
      // The record is part of the expectation: what is not on record did not happen as expected.
      const recorded = await trail.recordOf(step, outcome);
      const asExpected = outcome.happened === expected && recorded;
      good &&= asExpected;
      show.step({ number, step, expected, outcome, recorded, asExpected, pid: running.pids[step.who] });
    }
  }
  show.trail(trail.entries);
  return good;
}

let code = 1;
try {
  const started = performance.now();
  const launching = launchFleet();
  void launching.catch(() => {});
  fleet = (await Promise.race([launching, interruption])) ?? (await launching);
  const good = await Promise.race([live(fleet), fleet.broken, interruption.then(() => null)]);
  if (good !== null) {
    show.end(good, performance.now() - started);
    code = good ? 0 : 1;
    if (values.serve === true) {
      show.serving(fleet);
      fleet.onAudit((event: AuditEvent) => show.audit(event));
      await Promise.race([interruption, fleet.broken]);
    }
  } else code = 130;
} catch (error) {
  code = 1;
  show.failure(error instanceof Error ? error.message : String(error));
} finally {
  await fleet?.close();
}
process.exit(code);
