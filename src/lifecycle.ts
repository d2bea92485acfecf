/**
 * Ownership: what is created here is closed here.
 *
 * @module
 */

/** Something that holds resources until it is closed. Closing twice does nothing. */
export interface Closeable extends AsyncDisposable {
  close(): Promise<void>;
}

/** Calls every listener that was added and not removed; a listener that throws does not keep the others from hearing. */
export class Listeners<T> {
  readonly #listeners = new Set<(value: T) => void>();

  /** Adds a listener; the returned function removes it. */
  add(listener: (value: T) => void): () => void {
    const own = (value: T): void => listener(value);
    this.#listeners.add(own);
    return () => {
      this.#listeners.delete(own);
    };
  }

  emit(value: T): void {
    for (const listener of [...this.#listeners]) {
      try {
        listener(value);
      } catch {
        // A listener's own failure is its own; the others must still hear.
      }
    }
  }

  clear(): void {
    this.#listeners.clear();
  }

  get size(): number {
    return this.#listeners.size;
  }
}
