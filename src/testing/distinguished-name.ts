/**
 * Distinguished names for certificates.
 *
 * @module
 */

import { objectIdentifier, sequence, setOf, utf8 } from './der-writer.js';

const ATTRIBUTES: Readonly<Record<string, string>> = { C: '2.5.4.6', O: '2.5.4.10', OU: '2.5.4.11', CN: '2.5.4.3' };

/** A name from attributes, outermost first: `{ O: 'acme', CN: 'planner' }`. Keys are `C`, `O`, `OU`, `CN` or object identifiers. */
export function distinguishedName(attributes: Readonly<Record<string, string>>): Buffer {
  const parts = Object.entries(attributes).map(([key, text]) =>
    setOf(sequence(objectIdentifier(ATTRIBUTES[key] ?? key), utf8(text))),
  );
  return sequence(...parts);
}
