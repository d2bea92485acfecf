/**
 * Loads an API from the service descriptors that protobuf-es generates.
 *
 * @module
 */

import type { DescService } from '@bufbuild/protobuf';
import type { Problem } from '../errors.js';
import { DescriptorModels } from './load-descriptor-model.js';
import type { ServiceModel } from './schema.js';

/** An API as one source gave it, with the mistakes found on the way. */
export interface LoadedApi {
  readonly services: readonly ServiceModel[];
  readonly problems: readonly Problem[];
}

/** Converts descriptors; everything an annotation can say is in them. */
export function loadServices(services: Iterable<DescService>): LoadedApi {
  const models = new DescriptorModels();
  const converted = [...services].map((service) => models.service(service));
  return { services: converted, problems: models.problems };
}
