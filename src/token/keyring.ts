/**
 * The keys of each issuer as they are in force now.
 *
 * @module
 */

import type { JSONWebKeySet } from 'jose';
import { ConfigurationError, type Problem } from '../errors.js';
import type { IssuerRules } from './issuers.js';
import { type KeySet, parseJwks } from './keys.js';

/** Why a key set may not be used although it is well-formed; `null` when it may. */
export type Admission = (set: KeySet, ring: Keyring) => Problem | null;

/**
 * One issuer and its keys: follows the source, and keeps the last good set where a new one is refused. Where the source
 * says that no set may be used any more, there are none.
 */
export class Keyring {
  readonly rules: IssuerRules;
  readonly #admit: Admission;
  #seen: JSONWebKeySet | null = null;
  #keys: KeySet | null = null;
  #problem: string | null = null;
  #generation = 0;

  constructor(rules: IssuerRules, admit: Admission) {
    this.rules = rules;
    this.#admit = admit;
  }

  get problem(): string | null {
    return this.#problem;
  }

  get generation(): number {
    return this.#generation;
  }

  /** The set last taken into use, without looking at the source: what other issuers' keys are compared with. */
  get inForce(): KeySet | null {
    return this.#keys;
  }

  /** The keys in force; `null` when there are none that may be used. A comparison unless the source has a new set. */
  keys(): KeySet | null {
    const jwks = this.rules.source.current();
    if (jwks === null) return null;
    if (jwks !== this.#seen) this.#take(jwks);
    return this.#keys;
  }

  /** Takes what the source has now, and returns why it is refused. */
  start(): readonly Problem[] {
    const jwks = this.rules.source.current();
    if (jwks === null) {
      return [{ place: 'keys', problem: 'the source has no keys', remedy: 'Publish the keys of the issuer' }];
    }
    return this.#take(jwks);
  }

  #take(jwks: JSONWebKeySet): readonly Problem[] {
    this.#seen = jwks;
    const problems = this.#parse(jwks);
    this.#problem = problems[0]?.problem ?? null;
    return problems;
  }

  #parse(jwks: JSONWebKeySet): readonly Problem[] {
    let set: KeySet;
    try {
      set = parseJwks(jwks, 'keys');
    } catch (error) {
      return error instanceof ConfigurationError
        ? error.problems
        : [{ place: 'keys', problem: 'the key set cannot be read', remedy: 'Publish a JWK set' }];
    }
    const refused = this.#admit(set, this);
    if (refused !== null) return [refused];
    this.#keys = set;
    this.#generation++;
    return [];
  }
}

/**
 * Builds the keyrings of all issuers. A key set is admitted when it carries no test mark (unless that is allowed) and no
 * key of it belongs to another issuer: otherwise either could speak for both.
 */
export function createKeyrings(issuers: readonly IssuerRules[], allowTest: boolean): ReadonlyMap<string, Keyring> {
  const rings = new Map<string, Keyring>();
  const admit: Admission = (set, ring) => {
    if (set.test && !allowTest) {
      return {
        place: 'keys',
        problem: 'the key set is the one of a test authority',
        remedy: 'Never deploy test keys; in tests say unsafeAllowTestAuthority: true',
      };
    }
    for (const other of rings.values()) {
      if (other === ring || other.inForce === null) continue;
      for (const key of other.inForce.byId.values()) {
        for (const own of set.byId.values()) {
          if (own.thumbprint !== key.thumbprint) continue;
          return {
            place: 'keys',
            problem: `the key ${JSON.stringify(own.kid)} is also a key of issuer ${JSON.stringify(other.rules.issuer)}`,
            remedy: 'Give each issuer keys of its own',
          };
        }
      }
    }
    return null;
  };
  for (const rules of issuers) rings.set(rules.issuer, new Keyring(rules, admit));
  return rings;
}
