import { TunnelError } from '../../core/errors.js';

type WasmFunction = (a?: number, b?: number, c?: number, d?: number) => number | undefined;

/**
 * Keeps JavaScript exceptions and C apart. An exception that unwinds wasm would leave toxcore in
 * the middle of what it did and its stack pointer where it was, so one thrown by a handler is kept
 * until the outermost call into wasm has returned, and thrown then. What does unwind wasm (a trap,
 * a panic) is its end: from then on every call is refused.
 */
export class Guard {
  #depth = 0;
  #kept: { readonly error: unknown } | undefined;
  #crash: TunnelError | undefined;
  #later: (() => void)[] = [];

  /** True while wasm is on the stack: in handlers, that is. */
  get inside(): boolean {
    return this.#depth > 0;
  }

  /** `call`, a wasm export, with kept exceptions thrown after it and crashes remembered. */
  wrap(call: WasmFunction): WasmFunction {
    // Four named parameters, as no export has more, and a rest parameter would allocate.
    return (a, b, c, d) => {
      if (this.#crash !== undefined) throw this.#crash;
      this.#depth++;
      let result: number | undefined;
      try {
        result = call(a, b, c, d);
      } catch (error) {
        this.#depth--;
        throw this.crash(error);
      }
      this.#depth--;
      if (this.#depth === 0 && (this.#kept !== undefined || this.#later.length > 0)) this.#settle();
      return result;
    };
  }

  /** Keeps what a handler threw; the first one wins. @returns -1, which is what C is told */
  keep(error: unknown): -1 {
    if (this.#crash !== undefined) throw this.#crash;
    this.#kept ??= { error };
    return -1;
  }

  /** Does `action` once no wasm is on the stack: at once, unless a handler asks for it. */
  whenOutside(action: () => void): void {
    if (this.#depth === 0) action();
    else this.#later.push(action);
  }

  /** The end of this module. @returns what is to be thrown through wasm */
  crash(error: unknown): TunnelError {
    this.#crash ??= TunnelError.is(error)
      ? error
      : new TunnelError('ERR_TOX_CRASHED', String(error), { cause: error });
    return this.#crash;
  }

  #settle(): void {
    const later = this.#later;
    const kept = this.#kept;
    this.#later = [];
    this.#kept = undefined;
    for (const action of later) action();
    if (kept !== undefined) throw kept.error;
  }
}
