// Makes package-lock.json the same on every machine: no download addresses, and an entry for every platform package a
// tool lists as optional, also those the registry at hand did not offer (without it `npm ci` calls the lock incomplete).
//
//   npm install <what changed> && node scripts/lock.mjs

import { readFileSync, writeFileSync } from 'node:fs';

const file = new URL('../package-lock.json', import.meta.url);
const lock = JSON.parse(readFileSync(file, 'utf8'));
const systems = ['android', 'darwin', 'freebsd', 'linux', 'openharmony', 'win32'];
const processors = ['arm64', 'armv7', 'arm', 'ia32', 'x64'];

for (const [place, entry] of Object.entries(lock.packages)) {
  delete entry.resolved;
  for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
    const nested = `${place}/node_modules/${name}`;
    const own = `node_modules/${name}`;
    if (place === '' || lock.packages[nested] || lock.packages[own]) continue;
    const os = systems.find((s) => name.includes(s));
    const cpu = processors.find((p) => name.includes(p));
    if (!os || !/^\d/.test(version)) throw new Error(`${place}: optional ${name}@${version} is not in the lock`);
    lock.packages[own] = {
      version,
      ...(cpu && { cpu: [cpu === 'armv7' ? 'arm' : cpu] }),
      ...(entry.dev && { dev: true }),
      optional: true,
      os: [os],
    };
  }
}
const sorted = Object.entries(lock.packages).sort(([a], [b]) => (a < b ? -1 : 1));
lock.packages = Object.fromEntries(sorted);
writeFileSync(file, `${JSON.stringify(lock, null, 2)}\n`);
