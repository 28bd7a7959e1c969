import type { FrameSink } from './frame_sink.js';

/** A sink that counts: BYE tells the peer how many frames there were. */
export class CountingSink implements FrameSink {
  readonly #sink: FrameSink;
  #reservedBytes = 0;
  #frames = 0;
  #bytes = 0;

  constructor(sink: FrameSink) {
    this.#sink = sink;
  }

  get frames(): number {
    return this.#frames;
  }

  get bytes(): number {
    return this.#bytes;
  }

  reserve(bytes: number, urgent: boolean): Uint8Array | undefined {
    this.#reservedBytes = bytes;
    return this.#sink.reserve(bytes, urgent);
  }

  commit(): void {
    this.#sink.commit();
    this.#frames++;
    this.#bytes += this.#reservedBytes;
  }
}
