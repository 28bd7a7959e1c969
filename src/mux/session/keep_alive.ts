export interface KeepAliveOptions {
  /** Silence after which to ask whether the peer is there, in milliseconds. */
  readonly keepAliveMs: number;
  /** Silence after which the peer counts as dead, in milliseconds; longer than `keepAliveMs`. */
  readonly deadlineMs: number;
}

/** How long the peer has been silent, and what that asks for. Stands still while frozen. */
export class KeepAlive {
  readonly #options: KeepAliveOptions;
  #heardMs: number;
  #frozen = false;

  constructor(options: KeepAliveOptions, nowMs: number) {
    this.#options = options;
    this.#heardMs = nowMs;
  }

  heard(nowMs: number): void {
    this.#heardMs = nowMs;
  }

  freeze(): void {
    this.#frozen = true;
  }

  /** The peer has all of its time again. */
  thaw(nowMs: number): void {
    this.#frozen = false;
    this.#heardMs = nowMs;
  }

  check(nowMs: number): 'alive' | 'idle' | 'dead' {
    if (this.#frozen) return 'alive';
    const silentMs = nowMs - this.#heardMs;
    if (silentMs >= this.#options.deadlineMs) return 'dead';
    return silentMs >= this.#options.keepAliveMs ? 'idle' : 'alive';
  }

  /** Milliseconds until {@link check} says something else, 0 or more; Infinity while frozen. */
  nextMs(nowMs: number): number {
    if (this.#frozen) return Number.POSITIVE_INFINITY;
    const silentMs = nowMs - this.#heardMs;
    const { keepAliveMs, deadlineMs } = this.#options;
    return Math.max(0, (silentMs < keepAliveMs ? keepAliveMs : deadlineMs) - silentMs);
  }
}
