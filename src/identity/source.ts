/**
 * What every {@link X509Source} has in common: one generation at a time, published whole.
 *
 * @module
 */

import { Listeners } from '../lifecycle.js';
import type { TrustBundles, X509Context, X509Source, X509Svid } from './types.js';

/** Certificate and bundles that belong together. */
export interface X509Material {
  readonly svid: X509Svid;
  readonly bundles: TrustBundles;
}

/**
 * The generations of an identity. A driver (static, files, Workload API) constructs one with its first good material and
 * calls {@link publish} with each further one; it checks material before (`parseSvid`, `parseBundles`,
 * `identityProblems`), for nothing is checked here.
 */
export class PublishedIdentity implements X509Source {
  readonly #listeners = new Listeners<X509Context>();
  #context: X509Context;
  #closed = false;

  constructor(first: X509Material) {
    this.#context = freeze(1, first);
  }

  /**
   * The generation of now.
   *
   * @throws Error after {@link close}
   */
  current(): X509Context {
    if (this.#closed) throw new Error('X509Source: used after close().');
    return this.#context;
  }

  onChange(listener: (context: X509Context) => void): () => void {
    if (this.#closed) throw new Error('X509Source: used after close().');
    return this.#listeners.add(listener);
  }

  /** Makes `next` the current generation and tells the listeners. Does nothing after {@link close}. */
  publish(next: X509Material): void {
    if (this.#closed) return;
    this.#context = freeze(this.#context.generation + 1, next);
    this.#listeners.emit(this.#context);
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#listeners.clear();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}

function freeze(generation: number, { svid, bundles }: X509Material): X509Context {
  return Object.freeze({ generation, svid, bundles });
}
