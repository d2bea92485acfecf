/**
 * Distinguished names for certificates.
 *
 * @module
 */

import { AttributeTypeAndValue, AttributeValue, Name, RelativeDistinguishedName } from '@peculiar/asn1-x509';

const ATTRIBUTES: Readonly<Record<string, string>> = { C: '2.5.4.6', O: '2.5.4.10', OU: '2.5.4.11', CN: '2.5.4.3' };

/** A name from attributes, outermost first: `{ O: 'acme', CN: 'planner' }`. Keys are `C`, `O`, `OU`, `CN` or object identifiers. */
export function distinguishedName(attributes: Readonly<Record<string, string>>): Name {
  return new Name(
    Object.entries(attributes).map(
      ([key, text]) =>
        new RelativeDistinguishedName([
          new AttributeTypeAndValue({ type: ATTRIBUTES[key] ?? key, value: new AttributeValue({ utf8String: text }) }),
        ]),
    ),
  );
}
