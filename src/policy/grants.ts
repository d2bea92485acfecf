/**
 * What a principal holds, arranged so that a check is a lookup and a few comparisons.
 *
 * @module
 */

import type { Grant, Principal } from '../call.js';
import {
  actionCovers,
  isEverything,
  isPermission,
  matchesPattern,
  parsePattern,
  type SegmentPattern,
} from '../pattern.js';

/** What is held of one permission. */
export interface Held {
  /** On what; empty when nothing names a resource. */
  readonly patterns: readonly SegmentPattern[];
  /** On everything: by a `**` grant or by a scope. */
  readonly onEverything: boolean;
  /** In any way at all. */
  readonly held: boolean;
}

const NOT_HELD: Held = Object.freeze({ patterns: [], onEverything: false, held: false });

/** The grants of one principal. A malformed pattern grants nothing, and nobody holds what is not a permission. */
export class Rights {
  readonly #grants: readonly Grant[];
  readonly #byPermission = new Map<string, Held>();

  constructor(grants: readonly Grant[]) {
    this.#grants = grants;
  }

  /** What is held of `permission`; settled once. */
  of(permission: string): Held {
    return this.#byPermission.get(permission) ?? this.#settle(permission);
  }

  #settle(permission: string): Held {
    // A text such as `tasks.*` or `tasks.` would pass as covered by the action `tasks.*`.
    if (typeof permission !== 'string' || !isPermission(permission)) return NOT_HELD;
    const patterns: SegmentPattern[] = [];
    let onEverything = false;
    let held = false;
    for (const { actions, resources } of this.#grants) {
      if (!actions.some((action) => actionCovers(action, permission))) continue;
      held = true;
      if (resources.length === 0) onEverything = true;
      for (const resource of resources) {
        const pattern = parsePattern(resource);
        if (pattern === null) continue;
        patterns.push(pattern);
        onEverything ||= isEverything(pattern);
      }
    }
    const settled: Held = { patterns, onEverything, held };
    // Permissions asked for by handlers could be unbounded; those of the policy are few.
    if (this.#byPermission.size < MOST_PERMISSIONS) this.#byPermission.set(permission, settled);
    return settled;
  }
}

const MOST_PERMISSIONS = 1_000;

/** Whether one of the patterns matches. */
export function coveredBy(held: Held, segments: readonly string[]): boolean {
  for (const pattern of held.patterns) if (matchesPattern(pattern, segments)) return true;
  return false;
}

const rights = new WeakMap<Principal, Rights>();

/** The rights of a principal; settled once. */
export function rightsOf(principal: Principal): Rights {
  let known = rights.get(principal);
  if (known === undefined) {
    known = new Rights(principal.grants);
    rights.set(principal, known);
  }
  return known;
}
