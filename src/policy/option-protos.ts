/**
 * Finds our options among those the protobufjs parser left on an element, however their names are spelled.
 *
 * @module
 */

import type { DescMessage, MessageShape } from '@bufbuild/protobuf';
import type protobuf from 'protobufjs';
import type { Problem } from '../errors.js';
import { field, method, service } from './gen/zerotrust/v1/options_pb.js';
import type { Scope } from './load-protos-symbols.js';
import { optionMessage } from './option-values.js';

const OURS: ReadonlySet<string> = new Set([method.typeName, service.typeName, field.typeName]);

/** Where an element stands: for name resolution, and for the person who reads of a mistake. */
export interface ElementPlace {
  readonly scope: Scope;
  /** Full name of what encloses the element; option names are resolved from there outwards. */
  readonly within: string;
  readonly place: string;
}

/** An option of ours on an element where it belongs. */
export interface OwnOption<T extends DescMessage> {
  readonly typeName: string;
  readonly schema: T;
}

/**
 * The value of `wanted` on `element`; `null` when it is not set. Reports names that mean nothing, our options where
 * they do not belong, and one that is set twice. Options of others are left alone.
 * @param wanted `null` on elements that take none of our options
 */
export function ownOption<T extends DescMessage>(
  element: protobuf.ReflectionObject,
  wanted: OwnOption<T> | null,
  at: ElementPlace,
  problems: Problem[],
): MessageShape<T> | null {
  const values: { readonly name: string; readonly value: unknown }[] = [];
  for (const [name, value] of (element.parsedOptions ?? []).flatMap((option) => Object.entries(option))) {
    if (!name.startsWith('(')) continue;
    const resolved = at.scope.resolve(name.slice(1, -1), at.within, false);
    if (resolved === null || resolved.declared.kind !== 'extension') {
      problems.push({
        place: at.place,
        problem: `the option ${name} is not defined`,
        remedy: 'Correct its name, or import the file that defines it (ours is "zerotrust/v1/options.proto")',
      });
    } else if (resolved.fullName === wanted?.typeName) {
      values.push({ name, value });
    } else if (OURS.has(resolved.fullName)) {
      problems.push({
        place: at.place,
        problem: `the option (${resolved.fullName}) does not belong here`,
        remedy:
          'Use (zerotrust.v1.method) in an rpc, (zerotrust.v1.service) in a service, (zerotrust.v1.field) on a field',
      });
    }
  }
  const [first, second] = values;
  if (first === undefined || wanted === null) return null;
  if (second !== undefined) {
    problems.push({
      place: at.place,
      problem: `the option (${wanted.typeName}) is set more than once: ${values.map(({ name }) => name).join(', ')}`,
      remedy: 'Set it once, with one spelling',
    });
  }
  return optionMessage(wanted.schema, first.value, `(${wanted.typeName})`, (path, problem, remedy) => {
    problems.push({ place: at.place, problem: `${path}: ${problem}`, remedy });
  });
}
