/**
 * Where a workload's own certificate, key and trust bundles come from.
 *
 * @module
 */

import type { SpiffeId, TrustDomain } from '../call.js';
import type { Problem } from '../errors.js';
import type { Closeable } from '../lifecycle.js';

/** A workload's own X.509-SVID. */
export interface X509Svid {
  readonly spiffeId: SpiffeId;
  readonly trustDomain: TrustDomain;
  /** DER, leaf first, then intermediates. */
  readonly chain: readonly Uint8Array[];
  /** The same in PEM. */
  readonly certificatePem: string;
  /** PKCS #8. Secret. */
  readonly privateKeyPem: string;
  /** `x5t#S256` of the leaf. */
  readonly fingerprint: string;
  /** Milliseconds since the Unix epoch. */
  readonly notBefore: number;
  /** Milliseconds since the Unix epoch. */
  readonly notAfter: number;
}

/** The authorities of each trust domain, DER. */
export type TrustBundles = ReadonlyMap<TrustDomain, readonly Uint8Array[]>;

/** One generation of identity: what is used together is published together. */
export interface X509Context {
  /** Rises with every change. */
  readonly generation: number;
  readonly svid: X509Svid;
  readonly bundles: TrustBundles;
}

/** How a source is doing. */
export interface X509SourceStatus {
  /** Why the material it found last is not in use, or is no good any more; `null` when all is well. */
  readonly lastError: Problem | null;
  /** All of it; empty when all is well. */
  readonly problems: readonly Problem[];
  /** Since when there have been problems, milliseconds since the Unix epoch; `null` when there are none. */
  readonly since: number | null;
  /** What is unwise, and no reason to refuse. */
  readonly warnings: readonly Problem[];
}

/** A source of identity. It exists only once it holds its first good material, and never publishes half of a change. */
export interface X509Source extends Closeable {
  current(): X509Context;
  /** Called after each change; the returned function removes the listener. */
  onChange(listener: (context: X509Context) => void): () => void;
  /** How it is doing, where it can say. */
  readonly status?: X509SourceStatus;
  /**
   * Called with the problems of material that is not used, once for each new set of problems; the returned function
   * removes the listener. Absent where a source has nothing to report.
   */
  onProblem?(listener: (problems: readonly Problem[]) => void): () => void;
}
