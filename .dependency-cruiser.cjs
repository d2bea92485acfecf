// Who may import whom. Imports point down four ranks, and each outside library has the rooms it belongs to:
//   0  errors, clock, lifecycle, call, pattern, watched-file
//   1  the rooms, each importing rank 0 and only types from other rooms
//   2  the guards
//   3  the edges (testing, cli, ...) and the front door
// `node scripts/structure.mjs` holds the sources to it. A file that has no rank here is a violation too.
'use strict';

const RANK_0 = '^src/(errors|clock|lifecycle|call|pattern|watched-file)\\.ts$';
const ROOM = '^src/(identity|token|policy|audit|wire|transport)/';
const GUARD = '^src/(server|client)-';
const EDGE = '^src/(index\\.ts$|(authority|spiffe|redis|opentelemetry|testing|cli)/)';
const RANKED = [RANK_0, ROOM, GUARD, EDGE];
const TYPES = ['type-only'];

/** A library belongs to these places; elsewhere not even its types are imported, unless `types` says where. */
function belongs(name, library, places, types) {
  const to = `(^|/)node_modules/${library}/`;
  const rules = [
    {
      name: `${name}-belongs`,
      comment: `${name} has its own rooms, named in .dependency-cruiser.cjs`,
      severity: 'error',
      from: { path: '^src/', pathNot: [...places, ...(types ?? [])] },
      to: { path: to },
    },
  ];
  if (types) {
    rules.push({
      name: `${name}-at-run-time`,
      comment: `of ${name}, only types are imported here`,
      severity: 'error',
      from: { path: types },
      to: { path: to, dependencyTypesNot: TYPES },
    });
  }
  return rules;
}

const LIBRARIES = '@grpc/grpc-js|jose|pino|protobufjs|@bufbuild/protobuf|@peculiar/[^/]+';

module.exports = {
  forbidden: [
    {
      name: 'no-cycle',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'rank-0-imports-rank-0',
      severity: 'error',
      from: { path: RANK_0 },
      to: { path: '^src/', pathNot: RANK_0 },
    },
    {
      name: 'room-imports-types-of-rooms',
      comment: 'from another room only types; move what is shared to rank 0, or pass it in',
      severity: 'error',
      from: { path: ROOM },
      to: { path: ROOM, pathNot: '^src/$1/', dependencyTypesNot: TYPES },
    },
    {
      name: 'room-imports-down',
      severity: 'error',
      from: { path: ROOM },
      to: { path: [GUARD, EDGE] },
    },
    {
      name: 'guard-imports-down',
      severity: 'error',
      from: { path: GUARD },
      to: { path: EDGE },
    },
    ...belongs('jose', 'jose', ['^src/token/', EDGE]),
    ...belongs('pino', 'pino', ['^src/audit/', EDGE]),
    ...belongs('protobuf', '(protobufjs|@bufbuild/protobuf)', ['^src/(policy|wire)/', EDGE]),
    ...belongs('peculiar', '@peculiar/[^/]+', ['^src/(identity|testing|authority)/']),
    ...belongs('grpc-js', '@grpc/grpc-js', ['^src/transport/', EDGE], [GUARD]),
    {
      name: 'known-libraries',
      comment: 'a new library gets a rule of its own above',
      severity: 'error',
      from: { path: '^src/', pathNot: EDGE },
      to: { path: '(^|/)node_modules/', pathNot: `(^|/)node_modules/((${LIBRARIES})|@types/node)/` },
    },
    {
      name: 'no-development-library',
      severity: 'error',
      from: { path: '^src/' },
      to: { dependencyTypes: ['npm-dev', 'npm-no-pkg', 'npm-unknown'], pathNot: '(^|/)node_modules/@grpc/grpc-js/' },
    },
    {
      name: 'inside-src',
      comment: 'the sources import neither tests nor build output',
      severity: 'error',
      from: { path: '^src/' },
      to: { path: '^(test|examples|bench|scripts|dist|build)/' },
    },
    {
      name: 'resolvable',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
    // Three rules, since a file may be seen as the one that imports, as the one that is imported, or as neither.
    { name: 'file-has-a-rank', severity: 'error', from: { path: '^src/', pathNot: RANKED }, to: {} },
    { name: 'file-has-a-rank', severity: 'error', from: { path: '^src/' }, to: { path: '^src/', pathNot: RANKED } },
    { name: 'file-has-a-rank', severity: 'error', from: { orphan: true, path: '^src/', pathNot: RANKED }, to: {} },
  ],
  options: {
    doNotFollow: { path: '(^|/)node_modules/' },
    tsPreCompilationDeps: 'specify',
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'types', 'default'] },
  },
};
