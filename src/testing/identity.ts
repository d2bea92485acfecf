/**
 * Identities of a test authority.
 *
 * @module
 */

import type { SpiffeId } from '../call.js';
import { certificatesToPem } from '../identity/pem.js';
import { PublishedIdentity } from '../identity/source.js';
import type { TrustBundles, X509Svid } from '../identity/types.js';

/** How long an identity of the test kit is valid, and what else its certificate says. */
export interface TestIdentityOptions {
  /** From now. Default 3600. Negative for one that has expired. */
  readonly lifetimeSeconds?: number;
  /** Milliseconds since the Unix epoch. Default: 60 s before now. */
  readonly notBefore?: number;
  /** Milliseconds since the Unix epoch; goes before `lifetimeSeconds`. */
  readonly notAfter?: number;
  /** DNS names beside the SPIFFE ID, for peers that check host names. */
  readonly dnsNames?: readonly string[];
  /** Object identifiers, or `clientAuth` and `serverAuth`. Default: both. */
  readonly extendedKeyUsage?: readonly string[];
}

/** What another process needs to have this identity: the options of `staticIdentity`, as texts that survive JSON. */
export interface ExportedIdentity {
  readonly certificate: string;
  /** Secret. */
  readonly privateKey: string;
  readonly bundles: Readonly<Record<string, string>>;
}

/** What an identity asks of the authority that issued it. */
export interface IdentityIssuer {
  issue(spiffeId: SpiffeId, options: TestIdentityOptions): X509Svid;
  bundles(): TrustBundles;
  forgetIdentity(identity: TestIdentity): void;
}

/** An `X509Source` of a test authority. It follows the authority: rotations and federations publish a new generation. */
export class TestIdentity extends PublishedIdentity {
  readonly spiffeId: SpiffeId;
  readonly #issuer: IdentityIssuer;
  readonly #options: TestIdentityOptions;
  #svid: X509Svid;

  constructor(issuer: IdentityIssuer, spiffeId: SpiffeId, options: TestIdentityOptions) {
    const svid = issuer.issue(spiffeId, options);
    super({ svid, bundles: issuer.bundles() });
    this.spiffeId = spiffeId;
    this.#issuer = issuer;
    this.#options = options;
    this.#svid = svid;
  }

  /** The current certificate with its intermediates. */
  get certificatePem(): string {
    return this.#svid.certificatePem;
  }

  /** PKCS #8. Secret. */
  get privateKeyPem(): string {
    return this.#svid.privateKeyPem;
  }

  /** `x5t#S256` of the current certificate: what tokens are bound to. */
  get fingerprint(): string {
    return this.#svid.fingerprint;
  }

  /** The authorities of the own trust domain. */
  get bundlePem(): string {
    return certificatesToPem(this.#issuer.bundles().get(this.#svid.trustDomain) ?? []);
  }

  /** Everything `staticIdentity` needs in another process. Holds the private key. */
  export(): ExportedIdentity {
    const bundles = [...this.#issuer.bundles()].map(([domain, certificates]) => [
      domain,
      certificatesToPem(certificates),
    ]);
    return {
      certificate: this.certificatePem,
      privateKey: this.privateKeyPem,
      bundles: Object.fromEntries(bundles) as Record<string, string>,
    };
  }

  /** Has a new certificate with a new key issued by the current CA, and publishes it. Options default to those it was made with. */
  renew(options: TestIdentityOptions = this.#options): Promise<void> {
    this.#svid = this.#issuer.issue(this.spiffeId, options);
    this.publish({ svid: this.#svid, bundles: this.#issuer.bundles() });
    return Promise.resolve();
  }

  /** Publishes the bundles of now with the certificate it has. Called by the authority. */
  refreshBundles(): void {
    this.publish({ svid: this.#svid, bundles: this.#issuer.bundles() });
  }

  override close(): Promise<void> {
    this.#issuer.forgetIdentity(this);
    return super.close();
  }
}
