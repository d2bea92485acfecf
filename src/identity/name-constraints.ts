/**
 * Name constraints (RFC 5280, section 4.2.1.10). URI, DNS and IP names are processed. A constraint on any other kind of
 * name refuses every certificate that has a name of that kind: what is not understood is not passed.
 *
 * @module
 */

import { type Certificate, isSelfIssued } from './certificate.js';
import type { GeneralName, NameKind, Subtree } from './extensions.js';

const PROCESSED: ReadonlySet<NameKind> = new Set<NameKind>(['uri', 'dns', 'ip']);
// 1.2.840.113549.1.9.1: an e-mail address in a distinguished name, to which constraints on e-mail names apply too.
const EMAIL_ATTRIBUTE = Buffer.from('06092a864886f70d010901', 'hex');
const EMPTY_NAME = 2;

/** What is wrong with the names along a path (leaf first) under the constraints of its authorities, or `null`. */
export function nameConstraintProblem(path: readonly Certificate[]): string | null {
  for (let i = 1; i < path.length; i++) {
    const constraints = path[i]?.nameConstraints;
    if (constraints == null) continue;
    for (let below = 0; below < i; below++) {
      const certificate = path[below] as Certificate;
      if (below > 0 && isSelfIssued(certificate)) continue;
      const problem =
        excludedProblem(certificate, constraints.excluded) ?? permittedProblem(certificate, constraints.permitted);
      if (problem !== null) return `${below === 0 ? 'the leaf' : 'an intermediate'} has ${problem} of its authority`;
    }
  }
  return null;
}

function excludedProblem(certificate: Certificate, subtrees: readonly Subtree[]): string | null {
  for (const subtree of subtrees) {
    const kind = subtree.name.kind;
    if (!understood(subtree)) {
      if (hasName(certificate, kind)) return `a ${kind} name under a constraint that is not processed`;
      continue;
    }
    for (const name of certificate.names) {
      if (name.kind === kind && within(name, subtree.name, true))
        return `a ${kind} name that is excluded by the constraints`;
    }
  }
  return null;
}

function permittedProblem(certificate: Certificate, subtrees: readonly Subtree[]): string | null {
  for (const kind of new Set(subtrees.map((subtree) => subtree.name.kind))) {
    const ofKind = subtrees.filter((subtree) => subtree.name.kind === kind);
    if (!ofKind.every(understood)) {
      if (hasName(certificate, kind)) return `a ${kind} name under a constraint that is not processed`;
      continue;
    }
    for (const name of certificate.names) {
      if (name.kind === kind && !ofKind.some((subtree) => within(name, subtree.name, false))) {
        return `a ${kind} name that is not permitted by the constraints`;
      }
    }
  }
  return null;
}

function understood(subtree: Subtree): boolean {
  return PROCESSED.has(subtree.name.kind) && !subtree.bounded;
}

function hasName(certificate: Certificate, kind: NameKind): boolean {
  if (kind === 'directory' && certificate.subject.length > EMPTY_NAME) return true;
  if (kind === 'email' && Buffer.from(certificate.subject).includes(EMAIL_ATTRIBUTE)) return true;
  return certificate.names.some((name) => name.kind === kind);
}

/**
 * Whether a name lies within a constraint. What is malformed counts as within an excluded subtree and as outside of a
 * permitted one.
 */
function within(name: GeneralName, constraint: GeneralName, excluded: boolean): boolean {
  if (name.kind === 'ip') return ipWithin(name.bytes, constraint.bytes) ?? excluded;
  const base = constraint.text.toLowerCase();
  if (!/^\.?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(base)) return excluded;
  if (name.kind === 'uri') {
    const host = hostOf(name.text);
    if (host === null) return excluded;
    // A leading dot means one or more labels before; otherwise exactly that host.
    return base.startsWith('.') ? host.endsWith(base) && host.length > base.length : host === base;
  }
  return dnsWithin(name.text.toLowerCase(), base, excluded);
}

function dnsWithin(name: string, base: string, excluded: boolean): boolean {
  if (!/^(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*$/.test(name)) return excluded;
  const domain = base.startsWith('.') ? base.slice(1) : base;
  const below = name.endsWith(`.${domain}`);
  if (!excluded) return below || (name === domain && base === domain);
  // A wildcard covers hosts below it, so it reaches into an excluded domain from above.
  return below || name === domain || (name.startsWith('*.') && domain.endsWith(name.slice(1)));
}

/** The host of a URI in lower case; `null` where it has none that is a name. */
function hostOf(uri: string): string | null {
  const match = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@[\]]*@)?([A-Za-z0-9._-]+)(?::\d*)?(?:[/?#]|$)/.exec(uri);
  const host = match?.[1]?.toLowerCase();
  return host === undefined || /^[\d.]+$/.test(host) ? null : host;
}

function ipWithin(address: Uint8Array, constraint: Uint8Array): boolean | null {
  const size = constraint.length / 2;
  if (size !== 4 && size !== 16) return null;
  if (address.length !== 4 && address.length !== 16) return null;
  if (address.length !== size) return false;
  for (let i = 0; i < size; i++) {
    const mask = constraint[size + i] ?? 0;
    if (((address[i] ?? 0) & mask) !== ((constraint[i] ?? 0) & mask)) return false;
  }
  return true;
}
