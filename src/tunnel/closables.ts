import { onAbort } from '../core/aborting.js';

/** A set of open resources. Each is closed by its own function, by its signal, or together with all others. */
export class Closables<Thing extends { close(): void }> {
  /** Each resource, with the function that stops listening to its signal. */
  readonly #open = new Map<Thing, () => void>();

  /** Adds an open resource. @param signal closes it when aborted @returns a function that closes it */
  add(thing: Thing, signal: AbortSignal | undefined): () => void {
    const close = (): void => {
      forget();
      this.#open.delete(thing);
      thing.close();
    };
    const forget = onAbort(signal, close);
    this.#open.set(thing, forget);
    return close;
  }

  /** Iterates over the open resources, oldest first. */
  [Symbol.iterator](): IterableIterator<Thing> {
    return this.#open.keys();
  }

  closeAll(): void {
    for (const [thing, forget] of this.#open) {
      forget();
      thing.close();
    }
    this.#open.clear();
  }
}
