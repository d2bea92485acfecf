/**
 * A certificate authority and token issuer in memory: {@link createTestAuthority}.
 *
 * @module
 */

import type { JSONWebKeySet } from 'jose';
import type { SpiffeId, TrustDomain } from '../call.js';
import { type Clock, systemClock } from '../clock.js';
import { ConfigurationError } from '../errors.js';
import { parseSvid } from '../identity/material.js';
import { certificatesToPem } from '../identity/pem.js';
import { parseSpiffeId, readTrustDomain } from '../identity/spiffe-id.js';
import { TEST_MARK, TEST_ORGANIZATION } from '../identity/test-mark.js';
import type { TrustBundles, X509Svid } from '../identity/types.js';
import type { JwksSource } from '../token/types.js';
import { type MintedCertificate, type MintOptions, mintCertificate } from './certificates.js';
import { type IdentityIssuer, TestIdentity, type TestIdentityOptions } from './identity.js';
import { TestKeySet } from './key-set.js';
import { signTestToken, type TestTokenOptions } from './token.js';
import { createTokenKey, type TokenKey } from './token-key.js';

const SECOND_MS = 1000;
const DAY_MS = 86_400 * SECOND_MS;
const BACKDATE_MS = 60 * SECOND_MS;
const LIFETIME_SECONDS = 3600;

/** Options of {@link createTestAuthority}. */
export interface TestAuthorityOptions {
  /** For example `acme.example`. */
  readonly trustDomain: string;
  /** Default: the clock of the machine. Real TLS looks at the machine's clock whatever this one says. */
  readonly clock?: Clock;
}

/**
 * Makes a certificate authority and token issuer for tests, the same that the project tests itself with. Keys exist in
 * memory only. Its roots and keys carry a mark, and guards refuse it unless `unsafeAllowTestAuthority: true` is spelled.
 *
 * @throws ConfigurationError (as a rejection) where the trust domain is malformed
 */
export async function createTestAuthority(options: TestAuthorityOptions): Promise<TestAuthority> {
  const trustDomain = readTrustDomain(options.trustDomain);
  if (trustDomain === null) {
    const remedy = 'Write acme.example, without spiffe://';
    const problem = { place: 'trustDomain', problem: 'it is not the name of a trust domain', remedy };
    throw new ConfigurationError('createTestAuthority', [problem]);
  }
  return new TestAuthority(trustDomain, options.clock ?? systemClock);
}

/** Made by {@link createTestAuthority}. */
export class TestAuthority {
  readonly trustDomain: TrustDomain;
  /** The `iss` of its tokens. */
  readonly issuer: string;
  /** Its token keys as a live source, which follows {@link rotate} and {@link forget}. */
  readonly keys: JwksSource;
  readonly #keySet: TestKeySet;
  readonly #clock: Clock;
  readonly #identities = new Set<TestIdentity>();
  readonly #federated = new Set<TestAuthority>();
  readonly #followers = new Set<TestAuthority>();
  #generation = 0;
  /** Newest first. */
  #authorities: readonly MintedCertificate[] = [];
  #tokenKeys: readonly TokenKey[] = [];
  #bundles: TrustBundles = new Map();

  /** @internal Use {@link createTestAuthority}. */
  constructor(trustDomain: TrustDomain, clock: Clock) {
    this.trustDomain = trustDomain;
    this.issuer = `https://test-authority.${trustDomain}`;
    this.#clock = clock;
    this.#keySet = new TestKeySet({ keys: [] });
    this.keys = this.#keySet;
    this.#addGeneration();
  }

  /** The public token keys, with the mark `zerotrust_test: true`: a snapshot; {@link keys} is live. */
  jwks(): JSONWebKeySet {
    return { keys: this.#tokenKeys.map((key) => ({ ...key.jwk })) };
  }

  /** The CA certificates in PEM, newest first. */
  bundle(): string {
    return certificatesToPem(this.#authorities.map((authority) => authority.der));
  }

  /** The CA that issues now, with its key: for certificates of your own making with {@link mintCertificate}. */
  get ca(): MintedCertificate {
    return this.#newest(this.#authorities);
  }

  /** The key that signs tokens now: for tokens of your own making. */
  get tokenKey(): TokenKey {
    return this.#newest(this.#tokenKeys);
  }

  /**
   * Issues an X509-SVID, valid for an hour from a minute ago unless told otherwise, and keeps its bundles current.
   *
   * @param path of the SPIFFE ID, without a leading slash: `agents/planner`
   * @throws RefusalError (as a rejection) where the path makes no SPIFFE ID
   */
  async identity(path: string, options: TestIdentityOptions = {}): Promise<TestIdentity> {
    const identity = new TestIdentity(this.#asIssuer(), parseSpiffeId(`spiffe://${this.trustDomain}/${path}`), options);
    this.#identities.add(identity);
    return identity;
  }

  /** Signs a token (`at+jwt`, ES256), bound to `boundTo`. See {@link TestTokenOptions}. */
  async token(options: TestTokenOptions): Promise<string> {
    return signTestToken(this.tokenKey, this.issuer, this.#clock.now(), options);
  }

  /**
   * Mints a certificate under the current CA from exactly these options, with nothing added, so that it can be malformed
   * in any way: for tests of refusals. `issuer` may name another CA, to forge; {@link mintCertificate} signs with itself.
   *
   * @example a leaf that is a CA: `authority.mint({ ca: true, uriNames: ['spiffe://acme.example/x'] })`
   */
  mint(options: MintOptions): MintedCertificate {
    const now = this.#clock.now();
    const lifetime = { notBefore: now - BACKDATE_MS, notAfter: now + LIFETIME_SECONDS * SECOND_MS };
    return mintCertificate({ issuer: this.ca, ...lifetime, ...options });
  }

  /** Adds a new CA and a new token key, which are used from now on. The old ones stay trusted until {@link forget}. */
  async rotate(): Promise<void> {
    this.#addGeneration();
    this.#publish();
  }

  /**
   * Drops the CAs and token keys before the current ones: what they issued is trusted no longer. Renew identities
   * before, as a real rotation would.
   */
  async forget(): Promise<void> {
    this.#authorities = this.#authorities.slice(0, 1);
    this.#tokenKeys = this.#tokenKeys.slice(0, 1);
    this.#publish();
  }

  /** Gives every identity of this authority the bundle of `other` too, now and after each of its rotations. One way only. */
  federate(other: TestAuthority): void {
    this.#federated.add(other);
    other.#followers.add(this);
    this.#publish();
  }

  #addGeneration(): void {
    const now = this.#clock.now();
    this.#generation += 1;
    const ca = mintCertificate({
      subject: { O: TEST_ORGANIZATION, CN: `${this.trustDomain.slice(0, 48)} CA ${this.#generation}` },
      notBefore: now - DAY_MS,
      notAfter: now + 3650 * DAY_MS,
      ca: true,
      keyUsage: ['keyCertSign', 'cRLSign'],
      uriNames: [`spiffe://${this.trustDomain}`],
      extensions: [{ oid: TEST_MARK, value: Uint8Array.of(5, 0) }],
    });
    this.#authorities = [ca, ...this.#authorities];
    this.#tokenKeys = [createTokenKey(), ...this.#tokenKeys];
    this.#keySet.replace(this.jwks());
    this.#bundles = this.#collectBundles();
  }

  #collectBundles(): TrustBundles {
    const bundles = new Map<TrustDomain, readonly Uint8Array[]>();
    for (const authority of [this, ...this.#federated]) {
      bundles.set(authority.trustDomain, Object.freeze(authority.#authorities.map((ca) => ca.der)));
    }
    return bundles;
  }

  #publish(): void {
    this.#keySet.replace(this.jwks());
    for (const authority of [this, ...this.#followers]) {
      authority.#bundles = authority.#collectBundles();
      for (const identity of authority.#identities) identity.refreshBundles();
    }
  }

  #asIssuer(): IdentityIssuer {
    return {
      issue: (spiffeId, options) => this.#issue(spiffeId, options),
      bundles: () => this.#bundles,
      forgetIdentity: (identity) => {
        this.#identities.delete(identity);
      },
    };
  }

  #issue(spiffeId: SpiffeId, options: TestIdentityOptions): X509Svid {
    const {
      lifetimeSeconds = LIFETIME_SECONDS,
      dnsNames = [],
      extendedKeyUsage = ['serverAuth', 'clientAuth'],
    } = options;
    const now = this.#clock.now();
    const notAfter = options.notAfter ?? now + lifetimeSeconds * SECOND_MS;
    const leaf = mintCertificate({
      issuer: this.ca,
      subject: { O: TEST_ORGANIZATION, CN: (spiffeId.split('/').at(-1) ?? '').slice(0, 64) },
      // An expired identity must still have begun before it ended.
      notBefore: options.notBefore ?? Math.min(now, notAfter) - BACKDATE_MS,
      notAfter,
      ca: false,
      keyUsage: ['digitalSignature'],
      extendedKeyUsage,
      uriNames: [spiffeId],
      dnsNames,
    });
    return parseSvid(leaf.pem, leaf.privateKeyPem);
  }

  #newest<T>(generations: readonly T[]): T {
    const [newest] = generations;
    if (newest === undefined) throw new Error('TestAuthority: it has no generation.');
    return newest;
  }
}
