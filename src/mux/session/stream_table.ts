import type { Stream } from '../stream/stream.js';
import { idKey, isIdAt } from '../wire/stream_id.js';

/**
 * A session's streams by UUID, found without building a string. Two UUIDs with the same key
 * cannot stand in it together: for honest ends that is one chance in 2^53 for each pair.
 */
export class StreamTable {
  readonly #byKey = new Map<number, Stream>();
  /** Frames come in runs of one stream. */
  #last: Stream | undefined;

  get size(): number {
    return this.#byKey.size;
  }

  /** The stream whose UUID stands at `bytes[at]`. */
  find(bytes: Uint8Array, at: number): Stream | undefined {
    if (this.#last !== undefined && isIdAt(this.#last.idBytes, bytes, at)) return this.#last;
    const found = this.#byKey.get(idKey(bytes, at));
    if (found === undefined || !isIdAt(found.idBytes, bytes, at)) return undefined;
    this.#last = found;
    return found;
  }

  /** True when another stream stands where one with the UUID at `bytes[at]` would. */
  isTaken(bytes: Uint8Array, at: number): boolean {
    return this.#byKey.has(idKey(bytes, at));
  }

  /** The place must not be {@link isTaken}. */
  add(stream: Stream): void {
    this.#byKey.set(stream.key, stream);
  }

  remove(stream: Stream): void {
    if (this.#byKey.get(stream.key) === stream) this.#byKey.delete(stream.key);
    if (this.#last === stream) this.#last = undefined;
  }

  /** What the streams hold of what came, and of what is to go, in bytes. */
  memory(): { heldBytes: number; backlogBytes: number } {
    let heldBytes = 0;
    let backlogBytes = 0;
    for (const stream of this) {
      heldBytes += stream.receiving.heldBytes;
      backlogBytes += stream.backlogBytes;
    }
    return { heldBytes, backlogBytes };
  }

  [Symbol.iterator](): IterableIterator<Stream> {
    return this.#byKey.values();
  }
}
