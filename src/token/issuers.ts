/**
 * What each issuer is trusted for: the configuration, checked in full before anything starts.
 *
 * @module
 */

import type { Claims, Grant } from '../call.js';
import type { Problem } from '../errors.js';
import { parseSubjectPattern, type SubjectPattern } from '../pattern.js';
import { isName } from './claims.js';
import { type ParsedGrant, parseGrant } from './grants.js';
import { staticJwks } from './jwks-sources.js';
import { SIGNATURE_ALGORITHMS } from './keys.js';
import type { IssuerOptions, JwksSource, SignatureAlgorithm, TokenProfile } from './types.js';

/** Default of `maxLifetimeSeconds`. */
export const DEFAULT_MAX_LIFETIME_SECONDS = 300;
/** Default and greatest clock tolerance. */
export const MAX_CLOCK_TOLERANCE_SECONDS = 30;

const LONGEST_LIFETIME_SECONDS = 24 * 3600;
const DEFAULT_ALGORITHMS: readonly SignatureAlgorithm[] = ['ES256', 'EdDSA'];

const OPTIONS: Readonly<Record<keyof IssuerOptions, true>> = {
  issuer: true,
  keys: true,
  profile: true,
  subjects: true,
  actors: true,
  permits: true,
  grants: true,
  subject: true,
  binding: true,
  maxLifetimeSeconds: true,
  algorithms: true,
};

/** One issuer, compiled. */
export interface IssuerRules {
  readonly issuer: string;
  readonly profile: TokenProfile;
  readonly subjects: readonly SubjectPattern[];
  readonly actors: readonly SubjectPattern[];
  readonly permits: readonly ParsedGrant[];
  readonly grants: 'authorization_details' | ((claims: Claims) => readonly Grant[]);
  readonly subject: ((claims: Claims) => string) | null;
  readonly binding: 'certificate' | null;
  readonly maxLifetimeSeconds: number;
  readonly algorithms: readonly SignatureAlgorithm[];
  readonly source: JwksSource;
}

/**
 * Checks and compiles the issuers. Nothing is inferred: an option that is unknown, malformed or dangerously empty is a
 * problem, and every one is reported.
 */
export function compileIssuers(issuers: unknown, problems: Problem[]): readonly IssuerRules[] {
  if (!Array.isArray(issuers) || issuers.length === 0) {
    problems.push({ place: 'issuers', problem: 'no issuer is configured', remedy: 'Name at least one issuer' });
    return [];
  }
  const seen = new Set<string>();
  const compiled: IssuerRules[] = [];
  for (const [index, options] of (issuers as readonly unknown[]).entries()) {
    const place = `issuers[${index}]`;
    if (typeof options !== 'object' || options === null) {
      problems.push({ place, problem: 'it is not an object', remedy: 'Give the options of an issuer' });
      continue;
    }
    const rules = new Compiler(place, options as Partial<IssuerOptions>, problems).compile();
    if (seen.has(rules.issuer)) {
      problems.push({ place, problem: 'the same issuer stands twice', remedy: 'Merge the two entries' });
    }
    seen.add(rules.issuer);
    compiled.push(rules);
  }
  return compiled;
}

/** Whether text may be an audience: one name, nothing that reads as a wildcard. */
export function isAudience(value: unknown): value is string {
  return isName(value) && !/[*\s]/.test(value);
}

class Compiler {
  readonly #place: string;
  readonly #options: Partial<IssuerOptions>;
  readonly #problems: Problem[];

  constructor(place: string, options: Partial<IssuerOptions>, problems: Problem[]) {
    this.#place = place;
    this.#options = options;
    this.#problems = problems;
  }

  compile(): IssuerRules {
    const { issuer, profile = 'at+jwt', binding = 'certificate', grants, subject } = this.#options;
    const { maxLifetimeSeconds = DEFAULT_MAX_LIFETIME_SECONDS } = this.#options;
    for (const name of Object.keys(this.#options)) {
      if (!Object.hasOwn(OPTIONS, name)) this.#report(name, 'there is no such option', 'Check its spelling');
    }
    if (!isName(issuer)) this.#report('issuer', 'it is missing or malformed', 'Give the exact value of iss');
    if (profile !== 'at+jwt' && profile !== 'jwt-svid') {
      this.#report('profile', 'there is no such profile', "Use 'at+jwt' or 'jwt-svid'");
    }
    if (binding !== 'certificate' && binding !== null) {
      this.#report('binding', 'it is neither certificate nor null', "Leave it out, or say 'certificate'");
    }
    if (binding === null && profile !== 'jwt-svid') {
      this.#report('binding', 'null is allowed for the jwt-svid profile only', 'Have the issuer bind its tokens (cnf)');
    }
    if (grants !== 'authorization_details' && typeof grants !== 'function') {
      this.#report('grants', 'it is missing', "Say 'authorization_details' or give a function of the claims");
    }
    if (subject !== undefined && typeof subject !== 'function') {
      this.#report('subject', 'it is not a function', 'Give a function of the claims, or leave it out');
    }
    if (
      !Number.isInteger(maxLifetimeSeconds) ||
      maxLifetimeSeconds < 1 ||
      maxLifetimeSeconds > LONGEST_LIFETIME_SECONDS
    ) {
      this.#report('maxLifetimeSeconds', 'it is out of range', `Give 1 to ${LONGEST_LIFETIME_SECONDS} seconds`);
    }
    return {
      issuer: String(issuer),
      profile,
      subjects: this.#patterns('subjects', this.#options.subjects, false),
      actors: this.#patterns('actors', this.#options.actors ?? [], true),
      permits: this.#permits(),
      grants: grants ?? 'authorization_details',
      subject: subject ?? null,
      binding,
      maxLifetimeSeconds,
      algorithms: this.#algorithms(),
      source: this.#source(),
    };
  }

  #patterns(option: 'subjects' | 'actors', texts: unknown, mayBeEmpty: boolean): readonly SubjectPattern[] {
    const remedy = 'Name the subjects as patterns, for example spiffe://acme.example/agents/*';
    if (!Array.isArray(texts) || (texts.length === 0 && !mayBeEmpty)) {
      this.#report(option, 'it is missing or empty', remedy);
      return [];
    }
    const patterns: SubjectPattern[] = [];
    for (const [index, text] of (texts as readonly unknown[]).entries()) {
      const pattern = typeof text === 'string' ? parseSubjectPattern(text) : null;
      if (pattern === null) this.#report(`${option}[${index}]`, 'the pattern is malformed', remedy);
      else if (pattern.trustDomain === null && this.#options.profile === 'jwt-svid') {
        this.#report(`${option}[${index}]`, 'a jwt-svid names workloads only', remedy);
      } else patterns.push(pattern);
    }
    return patterns;
  }

  #permits(): readonly ParsedGrant[] {
    const remedy = "Give the ceiling, for example [{ actions: ['tasks.*'], resources: ['**'] }]";
    const { permits } = this.#options;
    if (!Array.isArray(permits) || permits.length === 0) {
      this.#report('permits', 'it is missing or empty', remedy);
      return [];
    }
    const parsed: ParsedGrant[] = [];
    for (const [index, entry] of (permits as readonly unknown[]).entries()) {
      const permit =
        typeof entry === 'object' && entry !== null ? parseGrant(entry as Record<string, unknown>, true) : null;
      if (permit === null) this.#report(`permits[${index}]`, 'an action or resource is missing or malformed', remedy);
      else parsed.push(permit);
    }
    return parsed;
  }

  #algorithms(): readonly SignatureAlgorithm[] {
    const { algorithms = DEFAULT_ALGORITHMS } = this.#options;
    if (!Array.isArray(algorithms) || algorithms.length === 0) {
      this.#report('algorithms', 'it is empty', 'Leave it out for ES256 and EdDSA');
      return [];
    }
    for (const algorithm of algorithms as readonly SignatureAlgorithm[]) {
      if (!SIGNATURE_ALGORITHMS.includes(algorithm)) {
        this.#report(
          'algorithms',
          `${JSON.stringify(algorithm)} is not accepted`,
          `Use ${SIGNATURE_ALGORITHMS.join(', ')}`,
        );
      }
    }
    return [...(algorithms as readonly SignatureAlgorithm[])];
  }

  #source(): JwksSource {
    const { keys } = this.#options;
    if (isSource(keys)) return keys;
    try {
      return staticJwks(keys ?? { keys: [] });
    } catch (error) {
      const inner = (error as { problems?: readonly Problem[] }).problems ?? [];
      for (const { place, problem, remedy } of inner) this.#report(`keys: ${place}`, problem, remedy);
      return staticJwks(null);
    }
  }

  #report(option: string, problem: string, remedy: string): void {
    this.#problems.push({ place: `${this.#place}.${option}`, problem, remedy });
  }
}

function isSource(keys: unknown): keys is JwksSource {
  return typeof keys === 'object' && keys !== null && typeof (keys as Partial<JwksSource>).current === 'function';
}
