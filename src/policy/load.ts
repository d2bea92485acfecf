/**
 * From an annotated API to a {@link Policy}.
 *
 * @module
 */

import type { DescService } from '@bufbuild/protobuf';
import { ConfigurationError, type Problem } from '../errors.js';
import { compilePolicy } from './compile.js';
import { digestOf } from './digest.js';
import { loadDescriptorSet } from './load-descriptor-set.js';

import { loadProtos } from './load-protos.js';
import { type LoadedApi, loadServices } from './load-services.js';
import type { Policy } from './types.js';

/** Where the annotated API comes from. Each gives the same policy for the same API. */
export type PolicySource =
  | {
      /**
       * The path or the bytes of a descriptor set, from `buf build --as-file-descriptor-set` or
       * `protoc --include_imports --descriptor_set_out`.
       */
      readonly descriptorSet: string | Uint8Array;
    }
  | {
      /** Plain .proto files, as proto-loader takes them. Their imports are loaded too. */
      readonly protos: readonly string[];
      /** Where `protos` and imports are looked for first. Our own protos and google/protobuf need not be there. */
      readonly includeDirs?: readonly string[];
    }
  | {
      /** Services of generated protobuf-es code (`GenService`), or any of its service descriptors. */
      readonly services: readonly DescService[];
    };

/**
 * Loads the policy of an API: total, or not at all. Every method of every service that the source holds (imported
 * files included) has a rule; the standard health, reflection and channelz services may be left unannotated and are then
 * skipped. Does *not* check that any token grants a permission, nor that the server serves these services.
 *
 * @throws ConfigurationError listing every mistake at once: unannotated methods, annotations that contradict
 * themselves, templates that do not fit the request, anything this version does not know.
 */
export async function loadPolicy(source: PolicySource): Promise<Policy> {
  const api = await loadApi(source);
  const compiled = compilePolicy(api.services);
  const problems: Problem[] = [...api.problems, ...compiled.problems];
  if (problems.length === 0 && compiled.rules.size === 0) {
    problems.push({
      place: 'source',
      problem: 'there is no method in it',
      remedy: 'Name the files or services that define the API',
    });
  }
  if (problems.length > 0) throw new ConfigurationError('loadPolicy', problems);
  return Object.freeze({ rules: compiled.rules, digest: digestOf(compiled.rules) });
}

async function loadApi(source: PolicySource): Promise<LoadedApi> {
  const given = ['descriptorSet', 'protos', 'services'].filter((key) => Object.hasOwn(source, key));
  if (given.length !== 1) {
    throw new ConfigurationError('loadPolicy', [
      {
        place: 'source',
        problem: `${given.length === 0 ? 'none' : 'more than one'} of descriptorSet, protos and services is given`,
        remedy: 'Give exactly one of them',
      },
    ]);
  }
  if ('descriptorSet' in source) return loadDescriptorSet(source.descriptorSet);
  if ('services' in source) return loadServices(source.services);
  return loadProtos(source.protos, source.includeDirs ?? []);
}
