import { onAbort } from '../core/aborting.js';

/** Things that are open, each until it is closed by itself, by its signal or with all the others. */
export class Closables<Thing extends { close(): void }> {
  /** With what forgets their signals. */
  readonly #open = new Map<Thing, () => void>();

  /** @param signal closes it @returns closes it */
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

  /** Those that are open, the oldest first. */
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
