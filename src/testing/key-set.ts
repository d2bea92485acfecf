/**
 * The live key set of a test issuer.
 *
 * @module
 */

import type { JSONWebKeySet } from 'jose';
import { Listeners } from '../lifecycle.js';
import type { JwksSource } from '../token/types.js';

/** A {@link JwksSource} that is set by hand. */
export class TestKeySet implements JwksSource {
  readonly #listeners = new Listeners<void>();
  #set: JSONWebKeySet;

  constructor(set: JSONWebKeySet) {
    this.#set = set;
  }

  ready(): Promise<void> {
    return Promise.resolve();
  }

  current(): JSONWebKeySet {
    return this.#set;
  }

  onChange(listener: () => void): () => void {
    return this.#listeners.add(listener);
  }

  /** Does nothing: the set is never behind. */
  refresh(): Promise<void> {
    return Promise.resolve();
  }

  /** Replaces the set and tells the listeners. */
  replace(set: JSONWebKeySet): void {
    this.#set = set;
    this.#listeners.emit();
  }

  /** Does nothing: the set belongs to its authority, and guards that are closed must not take it from others. */
  close(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
