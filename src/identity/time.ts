/**
 * Times in certificates.
 *
 * @module
 */

import { bodyOf, DerError, type DerNode, TAG } from './der.js';

/**
 * Reads a time: `YYMMDDHHMMSSZ` through 2049, `YYYYMMDDHHMMSSZ` from 2050 on, and nothing else (RFC 5280, section
 * 4.1.2.5). Milliseconds since the Unix epoch.
 */
export function readTime(bytes: Uint8Array, node: DerNode | undefined): number {
  if (node === undefined) throw new DerError('a time is missing');
  const text = Buffer.from(bodyOf(bytes, node)).toString('latin1');
  let full: string;
  if (node.tag === TAG.utcTime && /^\d{12}Z$/.test(text)) full = (text < '50' ? '20' : '19') + text;
  else if (node.tag === TAG.generalizedTime && /^\d{14}Z$/.test(text) && text >= '2050') full = text;
  else throw new DerError('a time in another form than RFC 5280 allows');
  const iso = full.replace(/^(....)(..)(..)(..)(..)(..)Z$/, '$1-$2-$3T$4:$5:$6.000Z');
  const time = Date.parse(iso);
  // Date.parse rolls 30 February over; no such day is in no calendar.
  if (Number.isNaN(time) || new Date(time).toISOString() !== iso) throw new DerError('a time that does not exist');
  return time;
}
