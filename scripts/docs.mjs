// Writes the documents that follow from the code; with --check, says which of them are out of date.

import { readFileSync, writeFileSync } from 'node:fs';
import { REASONS } from '../dist/errors.js';

const STATUS = { 7: 'PERMISSION_DENIED', 8: 'RESOURCE_EXHAUSTED', 14: 'UNAVAILABLE', 16: 'UNAUTHENTICATED' };
const MEANING = {
  UNAUTHENTICATED: 'Who is calling is not proven.',
  PERMISSION_DENIED: 'Who is calling is proven, and may not do this.',
  UNAVAILABLE: 'The guard cannot decide, so it refuses.',
  RESOURCE_EXHAUSTED: 'A limit was reached.',
};

function refusals() {
  const lines = [
    '# Refusals',
    '',
    'Generated from `src/errors.ts` by `npm run docs`.',
    '',
    'A refused call carries a gRPC status and, in `grpc-status-details-bin`, a `google.rpc.ErrorInfo` with',
    '`domain: "zerotrust"`, the `reason` below and `metadata.decision_id`. Programs switch on the reason, never on the text.',
    'The sentence is a constant and says nothing about the call; why this call was refused stands in the audit record with',
    'the same `decision_id`.',
  ];
  for (const [status, meaning] of Object.entries(MEANING)) {
    lines.push(
      '',
      `## ${status}`,
      '',
      meaning,
      '',
      '| Reason | What the caller reads | What it means, how it is mended |',
    );
    lines.push('| --- | --- | --- |');
    for (const [reason, entry] of Object.entries(REASONS)) {
      if (STATUS[entry.status] !== status) continue;
      lines.push(`| \`${reason}\` | ${entry.sentence} | ${entry.doc.replaceAll('|', '\\|')} |`);
    }
  }
  return `${lines.join('\n')}\n`;
}

const documents = { 'docs/refusals.md': refusals() };
const stale = [];
for (const [path, text] of Object.entries(documents)) {
  const file = new URL(`../${path}`, import.meta.url);
  if (!process.argv.includes('--check')) {
    writeFileSync(file, text);
    continue;
  }
  let now = '';
  try {
    now = readFileSync(file, 'utf8');
  } catch {}
  if (now !== text) stale.push(path);
}
if (stale.length > 0) {
  console.error(`out of date, run npm run docs: ${stale.join(', ')}`);
  process.exit(1);
}
