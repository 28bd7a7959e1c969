import type { Pointer } from './exports.js';
import type { WasmMemoryObject } from './webassembly.js';

const decoder = new TextDecoder();

/** The wasm memory, seen through one array that is made anew only when the memory has grown. */
export class WasmMemory {
  /** All of it. Never keep it past a call into wasm. */
  bytes: Uint8Array;
  readonly #memory: WasmMemoryObject;
  #lastAt: Pointer = -1;
  #last: Uint8Array = new Uint8Array(0);

  constructor(memory: WasmMemoryObject) {
    this.#memory = memory;
    this.bytes = new Uint8Array(memory.buffer);
  }

  /** To be called when the memory has grown: the old buffer is detached then. */
  refresh(): void {
    this.bytes = new Uint8Array(this.#memory.buffer);
    this.#lastAt = -1;
  }

  view(at: Pointer, length: number): Uint8Array {
    return this.bytes.subarray(at, at + length);
  }

  /** As {@link view}, for a buffer that is asked for again and again: toxcore's for datagrams. */
  sameView(at: Pointer, length: number): Uint8Array {
    if (at !== this.#lastAt || length !== this.#last.length) {
      this.#last = this.bytes.subarray(at, at + length);
      this.#lastAt = at;
    }
    return this.#last;
  }

  /** The string that starts at `at` and ends before a NUL. */
  text(at: Pointer): string {
    return decoder.decode(this.bytes.subarray(at, this.bytes.indexOf(0, at)));
  }
}
