/**
 * Encoded options carry a number only. This makes sure that, in the files an API was built from, our number means our
 * options, and that their fields are numbered as ours are.
 *
 * @module
 */

import type { DescExtension, DescFile, DescMessage } from '@bufbuild/protobuf';
import type { Problem } from '../errors.js';
import { field, file_zerotrust_v1_options, method, service } from './gen/zerotrust/v1/options_pb.js';

const OURS: ReadonlyMap<string, DescExtension> = new Map([method, service, field].map((ext) => [ext.typeName, ext]));
const OUR_MESSAGES: ReadonlyMap<string, DescMessage> = new Map(
  file_zerotrust_v1_options.messages.map((message) => [message.typeName, message]),
);

/** Checks each file, and what it imports, once. */
export class OptionDeclarations {
  readonly #seen = new Set<DescFile>();
  readonly #problems: Problem[];

  constructor(problems: Problem[]) {
    this.#problems = problems;
  }

  check(file: DescFile): void {
    if (this.#seen.has(file)) return;
    this.#seen.add(file);
    for (const extension of file.extensions) this.#extension(extension, file);
    for (const message of file.messages) this.#message(message, file);
    for (const imported of file.dependencies) this.check(imported);
  }

  #extension(extension: DescExtension, file: DescFile): void {
    const own = OURS.get(extension.typeName);
    const taken = [...OURS.values()].find(
      (ours) => ours.number === extension.number && ours.extendee.typeName === extension.extendee.typeName,
    );
    if (own === undefined && taken === undefined) return;
    if (own === taken) return;
    this.#problems.push({
      place: `${extension.typeName} (${file.proto.name})`,
      problem: `extension ${extension.number} of ${extension.extendee.typeName} is not what it is in this version`,
      remedy: `Option ${(own ?? taken)?.number} belongs to zerotrust.v1: give the other option another number`,
    });
  }

  #message(message: DescMessage, file: DescFile): void {
    const own = OUR_MESSAGES.get(message.typeName);
    for (const theirs of own === undefined ? [] : message.fields) {
      const ours = own?.fields.find((candidate) => candidate.number === theirs.number);
      if (ours === undefined || (ours.name === theirs.name && ours.proto.type === theirs.proto.type)) continue;
      this.#problems.push({
        place: `${message.typeName}.${theirs.name} (${file.proto.name})`,
        problem: `field ${theirs.number} is ${ours.name} in this version`,
        remedy: 'Build against the zerotrust/v1/options.proto of this version',
      });
    }
    for (const nested of message.nestedExtensions) this.#extension(nested, file);
    for (const nested of message.nestedMessages) this.#message(nested, file);
  }
}
