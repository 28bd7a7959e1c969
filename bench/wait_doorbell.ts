import type { Doorbell } from '../src/ring/doorbell.js';

/**
 * A doorbell on two words of shared memory and `Atomics.waitAsync`, with which bench/doorbell.ts compares
 * ours.
 */
export class WaitDoorbell implements Doorbell {
  readonly #words: Int32Array;
  readonly #ours: number;
  readonly #theirs: number;
  #closed = false;

  /** @param ours 0 in one thread, 1 in the other */
  constructor(memory: SharedArrayBuffer, ours: 0 | 1) {
    this.#words = new Int32Array(memory);
    this.#ours = ours * 16;
    this.#theirs = 16 - this.#ours;
  }

  ring(): void {
    this.#ringAt(this.#theirs);
  }

  onRing(callback: () => void): void {
    let seen = 0;
    const listen = (): void => {
      while (!this.#closed) {
        const wait = Atomics.waitAsync(this.#words, this.#ours, seen);
        if (wait.async) {
          void wait.value.then(answer).then(listen);
          return;
        }
        answer();
      }
    };
    const answer = (): void => {
      seen = Atomics.load(this.#words, this.#ours);
      if (!this.#closed) callback();
    };
    listen();
  }

  close(): void {
    this.#closed = true;
    this.#ringAt(this.#ours);
  }

  #ringAt(index: number): void {
    Atomics.add(this.#words, index, 1);
    Atomics.notify(this.#words, index);
  }
}
