import { expect } from 'chai';
import { type CompiledCheck } from '#dist/policy/compile.js';
import { loadPolicy } from '#dist/policy/load.js';
import { allSources, API, protoDir } from './fixtures.js';

it('explore', async () => {
  const dir = await protoDir(API);
  for (const [k, s] of Object.entries(await allSources(dir, ['acme/tasks/v1/tasks.proto']))) {
    const p = await loadPolicy(s);
    console.log(k, p.digest);
    if (k==='protos') console.dir([...p.rules.values()], {depth: 6});
  }
});
