import { TunnelError } from '../../core/errors.js';

type Export = (a?: number, b?: number, c?: number, d?: number) => number | undefined;

/** A function that the wasm imports. If C declares it without a result, the engine ignores what it returns. */
export type Import = (a: number, b: number, c: number, d: number) => unknown;

/**
 * Keeps JavaScript exceptions from unwinding C. An exception that unwinds wasm would leave toxcore halfway through
 * its work, with a wrong stack pointer. So the guard keeps what an import throws, and throws it when the outermost
 * call into wasm has returned. Whatever does unwind wasm (a trap, a panic) ends the module: from then on every call
 * is refused.
 */
export class Guard {
  #depth = 0;
  #kept: { readonly error: unknown } | undefined;
  #crash: TunnelError | undefined;
  #later: (() => void)[] = [];

  /** True while wasm is on the stack, that is, in handlers. */
  get inside(): boolean {
    return this.#depth > 0;
  }

  /** Wraps a wasm export: the wrapper throws what imports threw during the call, and remembers a crash. */
  wrapExport(call: Export): Export {
    // No export has more than four parameters, and a rest parameter would allocate.
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

  /**
   * Wraps an import, so that it never throws. Of several errors within one call into wasm, the first one is kept.
   *
   * @param failed what C gets when the import throws
   */
  wrapImport(call: Import, failed = -1): Import {
    return (a, b, c, d) => {
      try {
        return call(a, b, c, d);
      } catch (error) {
        if (this.#crash !== undefined) throw this.#crash;
        this.#kept ??= { error };
        return failed;
      }
    };
  }

  /** Wraps an import that toxcore cannot continue without: the module ends when it throws. */
  wrapVitalImport(call: Import): Import {
    return (a, b, c, d) => {
      try {
        return call(a, b, c, d);
      } catch (error) {
        throw this.crash(error);
      }
    };
  }

  /** Runs `action` as soon as no wasm is on the stack: at once, or after the outermost call. */
  whenOutside(action: () => void): void {
    if (this.#depth === 0) action();
    else this.#later.push(action);
  }

  /** Ends this module. Returns the error to throw through wasm. */
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
