// Holds src/ of the current folder to the ranks of .dependency-cruiser.cjs. Finding no module at all is a failure: it
// means that the tool looked in the wrong place or did not understand the sources.

import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const cruiser = fileURLToPath(new URL('../node_modules/dependency-cruiser/bin/dependency-cruise.mjs', import.meta.url));
const args = [cruiser, '--config', '.dependency-cruiser.cjs', '--output-type', 'json', 'src'];
const result = spawnSync(process.execPath, args, { encoding: 'utf8', maxBuffer: 64 * 1024 * 1024 });
let report;
try {
  report = JSON.parse(result.stdout);
} catch {
  console.error(`structure: dependency-cruiser gave no report.\n${result.stdout}${result.stderr}`);
  process.exit(2);
}
const own = report.modules.filter((module) => /^src\//.test(module.source) && !module.couldNotResolve);
if (own.length === 0) {
  console.error('structure: no module was found in src.');
  process.exit(2);
}
const comments = new Map(report.summary.ruleSetUsed.forbidden.map((rule) => [rule.name, rule.comment]));
const lines = report.summary.violations.map(({ rule, from, to, cycle }) => {
  const path = cycle ? [from, ...cycle.map((step) => step.name)].join(' -> ') : `${from} -> ${to}`;
  const comment = comments.get(rule.name);
  return `  ${rule.name}: ${path}${comment ? ` (${comment})` : ''}`;
});
if (lines.length > 0) {
  console.error(`structure: ${lines.length} imports break the ranks:\n${[...new Set(lines)].join('\n')}`);
  process.exit(1);
}
console.log(`structure: ${own.length} modules keep the ranks`);
