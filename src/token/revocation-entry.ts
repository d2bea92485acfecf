/**
 * What can be revoked, and whether an entry is well-formed.
 *
 * @module
 */

import { ConfigurationError } from '../errors.js';
import { isBase64urlOf } from './base64url.js';
import { isName } from './claims.js';
import { isWorkloadId } from './subjects.js';

const KINDS = [
  'spiffeId',
  'fingerprint',
  'serialNumber',
  'root',
  'tokenId',
  'subject',
  'keyId',
  'issuedBefore',
] as const;
const MAX_SERIAL = 64;
const WITH_ISSUER: readonly string[] = ['serialNumber', 'tokenId', 'subject', 'keyId', 'issuedBefore'];

interface Bounded {
  /** Milliseconds since the Unix epoch at which the entry lapses. Default: never. Name it where what is revoked ends by itself. */
  readonly until?: number;
}

/** What can be revoked. Where `issuer` may be left out, the entry counts for every issuer. */
export type RevocationEntry = Bounded &
  (
    | {
        /** A workload: its certificates, and every token that names it as subject or actor. */ readonly spiffeId: string;
      }
    | { /** A certificate, by `x5t#S256`, and every token bound to it. */ readonly fingerprint: string }
    | { /** A certificate by serial number, hexadecimal. */ readonly serialNumber: string; readonly issuer?: string }
    | { /** Everything below a root, by the root's `x5t#S256`. */ readonly root: string }
    | { /** `jti`. */ readonly tokenId: string; readonly issuer?: string }
    | {
        /** A subject, wherever it stands in a token: `sub` or `act`. */ readonly subject: string;
        readonly issuer?: string;
      }
    | { /** `kid`: every token it signed. */ readonly keyId: string; readonly issuer?: string }
    | {
        /** Every token issued at or before this time, milliseconds since the Unix epoch. */ readonly issuedBefore: number;
        readonly issuer: string;
      }
  );

/** With and without a leading zero: both are in use for the same number. */
export function spellingsOf(serial: string): readonly string[] {
  const digits = serial.replace(/^0+(?=.)/, '').toUpperCase();
  return digits.length % 2 === 0 ? [digits] : [digits, `0${digits}`];
}

/** An entry that is well-formed. */
export interface CheckedEntry {
  readonly kind: (typeof KINDS)[number];
  readonly issuer: string | undefined;
  readonly until: number;
}

/** Checks an entry. @throws ConfigurationError when it is malformed */
export function checkEntry(entry: unknown): CheckedEntry {
  const fail = (problem: string): never => {
    throw new ConfigurationError('Revocation', [
      {
        place: 'entry',
        problem,
        remedy: `Name exactly one of ${KINDS.join(', ')}, and where it applies issuer and until`,
      },
    ]);
  };
  if (typeof entry !== 'object' || entry === null) return fail('it is not an object');
  const fields = entry as Readonly<Record<string, unknown>>;
  const named = KINDS.filter((kind) => fields[kind] !== undefined);
  const kind = named[0];
  if (kind === undefined || named.length > 1) return fail('it names none, or more than one');
  const unknown = Object.keys(fields).find((name) => name !== kind && name !== 'issuer' && name !== 'until');
  if (unknown !== undefined) return fail(`there is no such member: ${JSON.stringify(unknown)}`);
  const { issuer, until = Number.POSITIVE_INFINITY } = fields;
  if (issuer !== undefined && (!WITH_ISSUER.includes(kind) || !isIssuer(kind, issuer))) {
    return fail('issuer is malformed, or does not belong here');
  }
  if (kind === 'issuedBefore' && issuer === undefined) return fail('issuedBefore needs an issuer');
  if (typeof until !== 'number' || Number.isNaN(until)) return fail('until is no time');
  if (!valueFits(kind, fields[kind])) return fail(`${kind} is malformed`);
  return { kind, issuer: issuer as string | undefined, until };
}

function valueFits(kind: CheckedEntry['kind'], value: unknown): boolean {
  switch (kind) {
    case 'spiffeId':
      return typeof value === 'string' && isWorkloadId(value);
    case 'fingerprint':
    case 'root':
      return isBase64urlOf(value, 32);
    case 'serialNumber':
      return typeof value === 'string' && value.length <= MAX_SERIAL && /^[0-9A-Fa-f]+$/.test(value);
    case 'issuedBefore':
      return typeof value === 'number' && Number.isFinite(value);
    default:
      return isName(value);
  }
}

/** The issuer of a certificate is a distinguished name, which may be written over several lines; that of a token is a name. */
function isIssuer(kind: CheckedEntry['kind'], issuer: unknown): boolean {
  return kind === 'serialNumber' ? typeof issuer === 'string' && issuer !== '' : isName(issuer);
}
