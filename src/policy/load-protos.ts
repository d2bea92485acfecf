/**
 * Loads an API from plain .proto files.
 *
 * @module
 */

import { ProtoFiles } from './load-protos-files.js';
import { ParsedModels } from './load-protos-model.js';
import { definedTwice } from './load-protos-symbols.js';
import type { LoadedApi } from './load-services.js';

/**
 * Reads `protos` and what they import, and every service in them. The protobufjs parser gives the syntax only; names are
 * resolved and option values are read by rules of protoc's that it does not keep.
 */
export async function loadProtos(protos: readonly string[], includeDirs: readonly string[]): Promise<LoadedApi> {
  const files = new ProtoFiles(protos, includeDirs);
  for (const entry of protos) await files.readEntry(entry);
  const problems = [...files.problems, ...definedTwice(files.parsed)];
  // With a file missing, half of what follows would be its echo.
  if (problems.length > 0) return { services: [], problems };
  const models = new ParsedModels(files.parsed);
  const services = models.services();
  return { services, problems: models.problems };
}
