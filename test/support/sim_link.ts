import type { SimClock } from './sim_clock.js';

/** One direction of a path. */
export interface SimLinkOptions {
  readonly delayMs: number;
  /** Extra delay per packet, uniform, so that packets overtake each other. */
  readonly jitterMs?: number;
  /** Mbit/s; without it no packet waits. */
  readonly rateMbps?: number;
  /** Maximum bytes queued before the link; packets beyond that are dropped. */
  readonly queueBytes?: number;
  /** Share of the packets that are lost. */
  readonly loss?: number;
  /** Share of the packets that arrive twice. */
  readonly duplicate?: number;
  /** Bytes that each packet grows by on the wire: headers of toxcore, UDP and IP. */
  readonly overheadBytes?: number;
}

/** A link in virtual time: rate, tail-drop queue, delay, jitter, loss, duplicates and outages. */
export class SimLink {
  loss: number;
  delayMs: number;
  /** Nothing passes while this is set. */
  down = false;
  droppedFull = 0;
  droppedLoss = 0;
  carriedBytes = 0;
  readonly #clock: SimClock;
  readonly #random: () => number;
  readonly #options: SimLinkOptions;
  readonly #bytesPerMs: number;
  #freeAtMs = 0;

  constructor(clock: SimClock, random: () => number, options: SimLinkOptions) {
    this.#clock = clock;
    this.#random = random;
    this.#options = options;
    this.#bytesPerMs = options.rateMbps === undefined ? Number.POSITIVE_INFINITY : options.rateMbps * 125;
    this.loss = options.loss ?? 0;
    this.delayMs = options.delayMs;
  }

  /** Returns how long a packet handed in now would wait, in ms. */
  get queueMs(): number {
    return Math.max(this.#freeAtMs - this.#clock.nowMs, 0);
  }

  send(bytes: number, arrive: () => void): void {
    if (this.down) return;
    const { nowMs } = this.#clock;
    const wireBytes = bytes + (this.#options.overheadBytes ?? 0);
    if (this.#bytesPerMs !== Number.POSITIVE_INFINITY) {
      const waitingBytes = this.queueMs * this.#bytesPerMs;
      if (waitingBytes + wireBytes > (this.#options.queueBytes ?? Number.POSITIVE_INFINITY)) {
        this.droppedFull++;
        return;
      }
    }
    this.#freeAtMs = Math.max(this.#freeAtMs, nowMs) + wireBytes / this.#bytesPerMs;
    if (this.#random() < this.loss) {
      this.droppedLoss++;
      return;
    }
    this.carriedBytes += wireBytes;
    this.#deliver(arrive);
    if (this.#random() < (this.#options.duplicate ?? 0)) this.#deliver(arrive);
  }

  #deliver(arrive: () => void): void {
    const jitterMs = (this.#options.jitterMs ?? 0) * this.#random();
    this.#clock.at(this.#freeAtMs + this.delayMs + jitterMs, () => {
      if (!this.down) arrive();
    });
  }
}
