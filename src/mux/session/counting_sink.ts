import type { FrameSink } from '../wire/frame_sink.js';

/** A sink that counts: BYE tells the peer how many frames there were, but for those that may get lost. */
export class CountingSink implements FrameSink {
  readonly #sink: FrameSink;
  #reservedBytes = 0;
  #reservedLossy = false;
  #frames = 0;
  #bytes = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  /** Lossy ones are not among them. */
  get frames(): number {
    return this.#frames;
  }

  get bytes(): number {
    return this.#bytes;
  }

  reserve(bytes: number, urgent: boolean, lossy = false): Uint8Array | undefined {
    this.#reservedBytes = bytes;
    this.#reservedLossy = lossy;
    return this.#sink.reserve(bytes, urgent, lossy);
  }

  commit(): void {
    this.#sink.commit();
    if (!this.#reservedLossy) this.#frames++;
    this.#bytes += this.#reservedBytes;
  }
}
