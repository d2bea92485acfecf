/**
 * Rights as tokens carry them (RFC 9396 `authorization_details`, RFC 6749 `scope`), and the ceiling of their issuer.
 *
 * @module
 */

import type { Grant } from '../call.js';
import { type Denial, deny } from '../errors.js';
import {
  intersectActions,
  intersectPatterns,
  isActionPattern,
  isEverything,
  isPermission,
  parsePattern,
  type SegmentPattern,
} from '../pattern.js';
import type { JsonObject } from './strict-json.js';

const MAX_ENTRIES = 128;
const MAX_LIST = 256;
const DETAIL_TYPE = 'zerotrust';
const DETAIL_MEMBERS: readonly string[] = ['type', 'actions', 'resources'];
// RFC 6749, section 3.3.
const SCOPE = /^[\x21\x23-\x5B\x5D-\x7E]+(?: [\x21\x23-\x5B\x5D-\x7E]+)*$/;

/** A grant with its patterns parsed. */
export interface ParsedGrant {
  readonly actions: readonly string[];
  readonly resources: readonly SegmentPattern[];
}

/**
 * The grants of a token: the `zerotrust` entries of `authorization_details`, strictly, and the permissions in `scope` as
 * grants without resources. Entries of other types, and scope values that are no permission, are ignored.
 */
export function readGrants(claims: JsonObject): readonly ParsedGrant[] | Denial {
  const grants: ParsedGrant[] = [];
  const details = claims['authorization_details'];
  if (details !== undefined) {
    if (!Array.isArray(details) || details.length > MAX_ENTRIES) return malformed('authorization_details is no array');
    for (const entry of details as readonly unknown[]) {
      if (!isObject(entry) || typeof entry['type'] !== 'string') return malformed('an entry without a type');
      if (entry['type'] !== DETAIL_TYPE) continue;
      if (Object.keys(entry).some((name) => !DETAIL_MEMBERS.includes(name))) return malformed('an unknown member');
      const grant = parseGrant(entry, false);
      if (grant === null) return malformed('actions or resources are missing, empty or malformed');
      grants.push(grant);
    }
  }
  const { scope } = claims;
  if (scope !== undefined && scope !== '') {
    if (typeof scope !== 'string' || !SCOPE.test(scope)) return deny('TOKEN_MALFORMED', 'scope is malformed');
    const actions = [...new Set(scope.split(' ').filter(isPermission))];
    if (actions.length > 0) grants.push({ actions, resources: [] });
  }
  return grants;
}

/** Checks what a `grants` function of the configuration returned; `null` when it is no list of grants. */
export function parseGrants(value: unknown): readonly ParsedGrant[] | null {
  if (!Array.isArray(value) || value.length > MAX_ENTRIES) return null;
  const grants: ParsedGrant[] = [];
  for (const entry of value as readonly unknown[]) {
    const grant = isObject(entry) ? parseGrant(entry, true) : null;
    if (grant === null) return null;
    grants.push(grant);
  }
  return grants;
}

/**
 * Parses one grant; `null` when its actions are missing, empty or malformed, or its resources are.
 * @param mayLackResources whether an empty list of resources is accepted (a right only for checks that name no resource)
 */
export function parseGrant(entry: Readonly<Record<string, unknown>>, mayLackResources: boolean): ParsedGrant | null {
  const { actions, resources } = entry;
  if (!isTextList(actions) || actions.length === 0 || !actions.every(isActionPattern)) return null;
  if (!isTextList(resources) || (resources.length === 0 && !mayLackResources)) return null;
  const patterns: SegmentPattern[] = [];
  for (const resource of resources) {
    const pattern = parsePattern(resource);
    if (pattern === null) return null;
    patterns.push(pattern);
  }
  return { actions: [...actions], resources: patterns };
}

/**
 * What remains of grants under a ceiling: each pair of grant and permit leaves the actions and the resources that both
 * cover. A grant without resources stands for checks that name no resource; only a permit on everything, or one without
 * resources itself, lets it pass.
 */
export function intersectGrants(grants: readonly ParsedGrant[], permits: readonly ParsedGrant[]): readonly Grant[] {
  const left: Grant[] = [];
  for (const grant of grants) {
    for (const permit of permits) {
      const resources = intersectResources(grant.resources, permit.resources);
      if (resources === null) continue;
      const actions = pairs(grant.actions, permit.actions, intersectActions);
      if (actions.length === 0) continue;
      left.push(Object.freeze({ actions: Object.freeze(actions), resources: Object.freeze(resources) }));
    }
  }
  return Object.freeze(left);
}

function intersectResources(a: readonly SegmentPattern[], b: readonly SegmentPattern[]): string[] | null {
  if (a.length === 0) return b.length === 0 || b.some(isEverything) ? [] : null;
  if (b.length === 0) return a.some(isEverything) ? [] : null;
  const both = pairs(a, b, (x, y) => intersectPatterns(x, y)?.text ?? null);
  return both.length === 0 ? null : both;
}

function pairs<T>(a: readonly T[], b: readonly T[], meet: (x: T, y: T) => string | null): string[] {
  const met = new Set<string>();
  for (const x of a) {
    for (const y of b) {
      const both = meet(x, y);
      if (both !== null) met.add(both);
    }
  }
  return [...met];
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTextList(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.length <= MAX_LIST && value.every((item) => typeof item === 'string');
}

function malformed(detail: string): Denial {
  return deny('TOKEN_MALFORMED', `authorization_details: ${detail}`);
}
