/**
 * The token verifier of a guard.
 *
 * @module
 */

import { hash } from 'node:crypto';
import type { PeerIdentity } from '../call.js';
import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError, type Denial, deny, type Problem } from '../errors.js';
import { checkAudience, checkPresenter, checkTime, needsTolerance } from './check.js';
import { readClaims, typeFits } from './claims.js';
import { Interner } from './interner.js';
import { compileIssuers, isAudience, MAX_CLOCK_TOLERANCE_SECONDS } from './issuers.js';
import { type JwsHeader, MAX_TOKEN_BYTES, type ParsedJws, parseJws, selectKey, verifySignature } from './jws.js';
import { createKeyrings, type Keyring } from './keyring.js';
import type { VerificationKey } from './keys.js';
import { Remembered } from './remembered.js';
import { isJsonObject, parseStrictJson } from './strict-json.js';
import type { IssuerOptions, IssuerPosture, TokenVerifier, VerifiedToken } from './types.js';
import { Ceilings, IssuedToken, issue } from './verified.js';

/** Options of {@link createTokenVerifier}. */
export interface TokenVerifierOptions {
  /** Whom to trust, and for what. */
  readonly issuers: readonly IssuerOptions[];
  /** The one value of `aud` that is accepted: by default of the guard the server's own SPIFFE ID. */
  readonly audience: string;
  readonly clock?: Clock;
  /** Accepted difference between clocks. Default and maximum 30. */
  readonly clockToleranceSeconds?: number;
  /** Greatest number of remembered tokens. Default 100,000; 0 remembers none. */
  readonly maxRemembered?: number;
  /** Greatest number of remembered tokens of one owner. Default a tenth of `maxRemembered`. */
  readonly maxRememberedPerOwner?: number;
  /**
   * Accepts the keys of the test kit.
   * @deprecated never outside tests
   */
  readonly unsafeAllowTestAuthority?: boolean;
}

const MAX_PAYLOAD_DEPTH = 16;
const REFRESH_LIMIT_MS = 5000;

/**
 * Creates the verifier: checks the whole configuration, and waits for the first key set of every issuer.
 *
 * It does not close the key sources it was given: whoever made them does.
 *
 * @throws ConfigurationError listing every mistake
 */
export async function createTokenVerifier(options: TokenVerifierOptions): Promise<TokenVerifier> {
  const verifier = compileVerifier(options);
  await verifier.start();
  return verifier;
}

/** Checks the configuration without waiting for keys. @throws ConfigurationError listing every mistake */
export function compileVerifier(options: TokenVerifierOptions): Verifier {
  const problems: Problem[] = [];
  const { audience, clockToleranceSeconds = MAX_CLOCK_TOLERANCE_SECONDS, maxRemembered = 100_000 } = options;
  const { maxRememberedPerOwner = Math.max(1, Math.floor(maxRemembered / 10)) } = options;
  if (!isAudience(audience)) {
    problems.push({
      place: 'audience',
      problem: 'it is missing, malformed or a wildcard',
      remedy: 'Give the one audience of this server, for example its SPIFFE ID',
    });
  }
  if (!(clockToleranceSeconds >= 0 && clockToleranceSeconds <= MAX_CLOCK_TOLERANCE_SECONDS)) {
    problems.push({
      place: 'clockToleranceSeconds',
      problem: 'it is out of range',
      remedy: `Give 0 to ${MAX_CLOCK_TOLERANCE_SECONDS}`,
    });
  }
  if (!Number.isSafeInteger(maxRemembered) || maxRemembered < 0) {
    problems.push({ place: 'maxRemembered', problem: 'it is no count', remedy: 'Give 0 or more' });
  }
  if (!Number.isSafeInteger(maxRememberedPerOwner) || maxRememberedPerOwner < 1) {
    problems.push({ place: 'maxRememberedPerOwner', problem: 'it is no count', remedy: 'Give 1 or more' });
  }
  const rules = compileIssuers(options.issuers, problems);
  if (problems.length > 0) throw new ConfigurationError('Token configuration', problems);
  return new Verifier(createKeyrings(rules, options.unsafeAllowTestAuthority === true), {
    audience,
    clock: options.clock ?? systemClock,
    toleranceMs: clockToleranceSeconds * 1000,
    maxRemembered,
    maxRememberedPerOwner,
  });
}

interface VerifierSettings {
  readonly audience: string;
  readonly clock: Clock;
  readonly toleranceMs: number;
  readonly maxRemembered: number;
  readonly maxRememberedPerOwner: number;
}

/** See {@link TokenVerifier}. */
export class Verifier implements TokenVerifier {
  readonly #rings: ReadonlyMap<string, Keyring>;
  readonly #settings: VerifierSettings;
  readonly #remembered: Remembered<VerifiedToken>;
  readonly #interner = new Interner();
  readonly #ceilings = new Ceilings();
  readonly #flights = new Map<string, Promise<VerifiedToken | Denial>>();
  readonly #unsubscribe: (() => void)[] = [];
  #toleranceUsed = 0;
  #closed = false;

  constructor(rings: ReadonlyMap<string, Keyring>, settings: VerifierSettings) {
    this.#rings = rings;
    this.#settings = settings;
    this.#remembered = new Remembered(settings.maxRemembered, settings.maxRememberedPerOwner);
  }

  get toleranceUsed(): number {
    return this.#toleranceUsed;
  }

  /** Waits for the key sources and takes their keys into use. @throws ConfigurationError listing every mistake */
  async start(): Promise<void> {
    const problems: Problem[] = [];
    for (const ring of this.#rings.values()) {
      const { issuer, source, algorithms } = ring.rules;
      const before = problems.length;
      const report = ({ place, problem, remedy }: Problem): void => {
        problems.push({ place: `issuer ${JSON.stringify(issuer)}: ${place}`, problem, remedy });
      };
      try {
        await source.ready();
        ring.start().forEach(report);
      } catch (error) {
        if (!(error instanceof ConfigurationError)) throw error;
        error.problems.forEach(report);
      }
      const keys = [...(ring.inForce?.byId.values() ?? [])];
      if (problems.length === before && !keys.some((key) => key.algorithms.some((alg) => algorithms.includes(alg)))) {
        const remedy = 'Allow the algorithm of its keys, or publish keys for the allowed ones';
        report({ place: 'keys', problem: `no key fits ${algorithms.join(' or ')}`, remedy });
      }
    }
    if (problems.length > 0) throw new ConfigurationError('Token configuration', problems);
    for (const ring of this.#rings.values()) {
      // Parsing a new key set when it arrives keeps that work out of the next call.
      this.#unsubscribe.push(ring.rules.source.onChange(() => void ring.keys()));
    }
  }

  recall(token: string): VerifiedToken | null {
    return token.length > MAX_TOKEN_BYTES ? null : this.#remembered.recall(digestOf(token));
  }

  current(token: VerifiedToken): boolean {
    const key = IssuedToken.keyOf(token);
    const keys = this.#rings.get(token.issuer)?.keys() ?? null;
    return key !== null && keys !== null && keys.byId.get(key.kid)?.thumbprint === key.thumbprint;
  }

  verify(token: string, owner: string): Promise<VerifiedToken | Denial> {
    if (this.#closed) return Promise.resolve(deny('STATE_UNAVAILABLE', 'the token verifier is closed'));
    if (typeof token !== 'string' || token.length > MAX_TOKEN_BYTES) {
      return Promise.resolve(deny('TOKEN_MALFORMED', 'the token is not text of at most 8 KiB'));
    }
    const digest = digestOf(token);
    const running = this.#flights.get(digest);
    if (running !== undefined) return running;
    const flight = this.#verify(token)
      .then(
        (result) => {
          if (!('reason' in result)) this.#remember(digest, result, owner);
          return result;
        },
        () => deny('STATE_UNAVAILABLE', 'verification failed unexpectedly'),
      )
      .finally(() => this.#flights.delete(digest));
    this.#flights.set(digest, flight);
    return flight;
  }

  check(token: VerifiedToken, peer: PeerIdentity, now: number): Denial | null {
    const rules = IssuedToken.rulesOf(token);
    if (rules === null) return deny('STATE_UNAVAILABLE', 'the token was not verified here');
    const refused =
      checkTime(token, rules, now, this.#settings.toleranceMs) ??
      checkAudience(token, this.#settings.audience) ??
      checkPresenter(token, rules, peer);
    if (refused === null && needsTolerance(token, now)) this.#toleranceUsed++;
    return refused;
  }

  /** The part of {@link check} that needs no connection. */
  checkWithoutPeer(token: VerifiedToken, now: number): Denial | null {
    const rules = IssuedToken.rulesOf(token);
    if (rules === null) return deny('STATE_UNAVAILABLE', 'the token was not verified here');
    return checkTime(token, rules, now, this.#settings.toleranceMs) ?? checkAudience(token, this.#settings.audience);
  }

  posture(): readonly IssuerPosture[] {
    return [...this.#rings.values()].map((ring) => ({
      issuer: ring.rules.issuer,
      keyIds: [...(ring.keys()?.byId.keys() ?? [])],
      generation: ring.generation,
      problem: ring.problem,
    }));
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    this.#remembered.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Only what can still be used here is worth a place: not what has expired or is meant for another server. */
  #remember(digest: string, token: VerifiedToken, owner: string): void {
    const { audience, clock, toleranceMs, maxRemembered } = this.#settings;
    const now = clock.now();
    if (this.#closed || maxRemembered === 0 || token.audience !== audience) return;
    if (token.expiresAt + toleranceMs <= now) return;
    this.#remembered.remember(digest, token, owner, now - toleranceMs);
  }

  /** The order is the one of the token profile: header, the issuer `iss` names, only its keys, signature, claims, bounds. */
  async #verify(token: string): Promise<VerifiedToken | Denial> {
    const jws = parseJws(token);
    if ('reason' in jws) return jws;
    const parsed = parseStrictJson(jws.payload, { maxBytes: MAX_TOKEN_BYTES, maxDepth: MAX_PAYLOAD_DEPTH });
    if ('problem' in parsed) return deny('TOKEN_MALFORMED', `the payload is ${parsed.problem}`);
    const payload = parsed.value;
    if (!isJsonObject(payload)) return deny('TOKEN_MALFORMED', 'the payload is not an object');
    if (typeof payload['iss'] !== 'string') return deny('TOKEN_MALFORMED', 'the claim iss is missing or not text');
    const ring = this.#rings.get(payload['iss']);
    if (ring === undefined)
      return deny('TOKEN_ISSUER', `the issuer ${JSON.stringify(payload['iss'])} is not configured`);
    const { rules } = ring;
    if (!typeFits(rules.profile, jws.header['typ'])) {
      return deny('TOKEN_TYPE', `typ ${JSON.stringify(jws.header['typ'])} is not of the profile ${rules.profile}`);
    }
    const key = await this.#keyFor(jws, ring);
    if ('reason' in key) return key;
    const refused = await verifySignature(jws, key);
    if (refused !== null) return refused;
    const shape = readClaims(payload, rules, this.#interner);
    return 'reason' in shape ? shape : issue(rules, key, shape, this.#ceilings);
  }

  async #keyFor({ header }: ParsedJws, ring: Keyring): Promise<VerificationKey | Denial> {
    const found = lookUp(header, ring);
    if (!('reason' in found) || found.reason !== 'TOKEN_KEY_UNKNOWN') return found;
    const timer = new AbortController();
    try {
      const { clock } = this.#settings;
      await Promise.race([ring.rules.source.refresh(), clock.delay(REFRESH_LIMIT_MS, timer.signal)]);
    } catch {
      return found;
    } finally {
      timer.abort();
    }
    return lookUp(header, ring);
  }
}

function lookUp(header: JwsHeader, ring: Keyring): VerificationKey | Denial {
  const keys = ring.keys();
  if (keys === null) return deny('STATE_UNAVAILABLE', 'the issuer has no key set that may be used');
  return selectKey(header, keys, ring.rules.algorithms);
}

/** SHA-256 as 32 one-byte characters: half the memory of hexadecimal. */
function digestOf(token: string): string {
  return hash('sha256', token, 'binary');
}
