/** An annotated API in all the shapes that matter, and the tools to load it from each kind of source. */

import { execFile } from 'node:child_process';
import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { createFileRegistry, fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorSetSchema } from '@bufbuild/protobuf/wkt';
import { ConfigurationError } from '#dist/errors.js';
import type { CompiledCheck } from '#dist/policy/compile.js';
import type { PolicySource } from '#dist/policy/load.js';
import type { Policy } from '#dist/policy/types.js';

const run = promisify(execFile);
const BUF = resolve('node_modules/.bin/buf');

/** Text of .proto files by path. */
export type ProtoTexts = Readonly<Record<string, string>>;

const HEAD = 'syntax = "proto3";\nimport "zerotrust/v1/options.proto";\n';

/** A file of package `tasks.v1` with one service, whose body is given. */
export function tasksProto(body: string, more = ''): string {
  return `${HEAD}package tasks.v1;
${more}
message Request { string project_id = 1; string task_id = 2; }
message Response { string name = 1; }
service Tasks {
${body}
}
`;
}

/** One unary method of `Tasks` with this text as its options. */
export function rpc(options: string, name = 'Get'): string {
  return `rpc ${name}(Request) returns (Response) { ${options} }\n`;
}

/** The same with the value of our option only. */
export function annotated(value: string, name = 'Get'): string {
  return rpc(`option (zerotrust.v1.method) = { ${value} };`, name);
}

/** A directory of protos that goes when {@link ProtoDir.remove} is called. */
export interface ProtoDir {
  readonly path: string;
  remove(): Promise<void>;
}

/** Writes protos into a directory of their own, with a copy of our options (as `buf` and `protoc` need it). */
export async function protoDir(texts: ProtoTexts, withOptions = true): Promise<ProtoDir> {
  const path = await mkdtemp(join(tmpdir(), 'policy-'));
  for (const [name, text] of Object.entries(texts)) {
    await mkdir(dirname(join(path, name)), { recursive: true });
    await writeFile(join(path, name), text);
  }
  if (withOptions) {
    await mkdir(join(path, 'zerotrust/v1'), { recursive: true });
    await copyFile('proto/zerotrust/v1/options.proto', join(path, 'zerotrust/v1/options.proto'));
  }
  return { path, remove: () => rm(path, { recursive: true, force: true }) };
}

/** The descriptor set `buf` makes of a directory; rejects with its complaint where it refuses. */
export async function descriptorSet(dir: ProtoDir): Promise<Uint8Array> {
  const out = join(dir.path, 'out.binpb');
  await run(BUF, ['build', dir.path, '--as-file-descriptor-set', '-o', out]);
  return readFile(out);
}

/** All services of a descriptor set, as generated code would hold them. */
export function servicesOf(set: Uint8Array) {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, set));
  return [...registry.files].flatMap((file) =>
    file.services.flatMap(({ typeName }) => registry.getService(typeName) ?? []),
  );
}

/** The same directory as each of the three kinds of source. */
export async function allSources(
  dir: ProtoDir,
  entries: readonly string[],
): Promise<Readonly<Record<string, PolicySource>>> {
  const set = await descriptorSet(dir);
  return {
    descriptorSet: { descriptorSet: set },
    protos: { protos: entries.map((entry) => join(dir.path, entry)), includeDirs: [dir.path] },
    services: { services: servicesOf(set) },
  };
}

/** An API that uses everything the annotations can say and this version enforces. */
export const API: ProtoTexts = {
  'acme/common/v1/common.proto': `syntax = "proto3";
package acme.common.v1;
import "zerotrust/v1/options.proto";
import "google/protobuf/timestamp.proto";
enum Kind { option allow_alias = true; KIND_UNSPECIFIED = 0; KIND_A = 1; KIND_ALSO_A = 1; }
message Owner {
  string name = 2 [(zerotrust.v1.field).sensitive = true];
  int64 number = 1 [(zerotrust.v1.field) = { sensitive: false }];
  Kind kind = 3;
  repeated Owner deputies = 4;
  google.protobuf.Timestamp since = 5;
}
`,
  'acme/public.proto': `syntax = "proto3";
package acme;
import public "acme/common/v1/common.proto";
`,
  'acme/tasks/v1/tasks.proto': `// The service.
syntax = "proto3";
package acme.tasks.v1;
import "acme/public.proto";
import "google/protobuf/empty.proto";
import "zerotrust/v1/options.proto";

message TaskRef { string project_id = 1; string task_id = 2; }
message Selector {
  oneof target { string id = 1; TaskRef ref = 2; }
  optional string note = 3;
  map<string, common.v1.Owner> owners = 4;
  bytes raw = 5; bool dry = 6; double score = 7; float weight = 8;
  acme.common.v1.Owner owner_of_all = 9;
  .acme.common.v1.Kind kind = 10;
  repeated uint32 counts = 11;
  fixed64 field_1_x = 12;
  message Inner { string deep = 1; }
  Inner inner = 13;
}

/* rpc Commented(TaskRef) returns (TaskRef); /*/
service Tasks {
  option (zerotrust.v1.service) = {
    callers: "spiffe://acme.example/**"
    max_token_age { seconds: 120 nanos: 500000000 }
    audit { level: AUDIT_LEVEL_REFUSED }
  };

  rpc Get(TaskRef) returns (google.protobuf.Empty) {
    option idempotency_level = NO_SIDE_EFFECTS;
    option (zerotrust.v1.method) = {
      require: { permission: "tasks.task.read" resource: "projects/{project_id}/tasks/{task_id}" }
      callers: ["spiffe://acme.example/agents/*", "spiffe://other.example/x"]
      max_token_age: { seconds: 60 }
      audit: { level: AUDIT_LEVEL_ALL, required: true };
    };
  }
  rpc Watch(TaskRef) returns (stream TaskRef) {
    option (zerotrust.v1.method) = {
      require { permission: "tasks.task.read" resource: "projects/" "{project_id}" }
      require { permission: "tasks.task.watch" }
      stream { max_age { seconds: 3600 } }
      delegation { mode: DELEGATION_MODE_ALLOWED }
    };
  }
  rpc Put(stream TaskRef) returns (google.protobuf.Empty) {
    option (zerotrust.v1.method).authenticated = "it's \\"safe\\" \\\\ \\x41 \\101 \\t ok";
    option (zerotrust.v1.method).token_use = TOKEN_USE_SINGLE_USE;
    option (zerotrust.v1.method).callers = "spiffe://a.example/a";
    option (zerotrust.v1.method).callers = "spiffe://a.example/b";
    option (zerotrust.v1.method).delegation.mode = DELEGATION_MODE_REQUIRED;
  }
  rpc Chat(stream Selector) returns (stream Selector) {
    option (.zerotrust.v1.method) = { authenticated: 'written \\'so\\'' token_use: 1 };
  }
}
service Probe {
  rpc Ping(google.protobuf.Empty) returns (google.protobuf.Empty) {
    option (zerotrust.v1.method) = { mtls_only: "probes have no token" callers: [ "spiffe://acme.example/probe" ] };
  }
}
`,
};

/** The rules of a policy as plain values, by method. */
export function plainRules(policy: Policy) {
  return Object.fromEntries(
    [...policy.rules].map(([method, rule]) => [
      method,
      {
        ...rule,
        checks: (rule.checks as readonly CompiledCheck[]).map(({ permission, resource, template }) => ({
          permission,
          resource,
          templated: template !== null,
        })),
        callers: rule.callers.map((list) => list.map((pattern) => pattern.text)),
      },
    ]),
  );
}

/** The problems of the `ConfigurationError` that a promise must be rejected with, `place: problem` each. */
export async function problemsOf(policy: Promise<unknown>): Promise<readonly string[]> {
  try {
    await policy;
  } catch (error) {
    if (error instanceof ConfigurationError) return error.problems.map(({ place, problem }) => `${place}: ${problem}`);
    throw error;
  }
  throw new Error('loadPolicy accepted what it must refuse');
}
