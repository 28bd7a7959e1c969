import type { SimClock } from './sim_clock.js';

/** One way of a path. */
export interface SimLinkOptions {
  readonly delayMs: number;
  /** Added to the delay, uniform, per packet: packets overtake each other. */
  readonly jitterMs?: number;
  /** Mbit/s; without it no packet waits. */
  readonly rateMbps?: number;
  /** Bytes that wait before the link at most; what comes on top is dropped. */
  readonly queueBytes?: number;
  /** Part of the packets that is lost. */
  readonly loss?: number;
  /** Part of the packets that comes twice. */
  readonly duplicate?: number;
  /** Bytes that each packet is longer on the wire: toxcore's, UDP's and IP's headers. */
  readonly overheadBytes?: number;
}

/** A link in virtual time: rate, tail-drop queue, delay, jitter, loss, duplicates and outages. */
export class SimLink {
  loss: number;
  delayMs: number;
  /** Nothing passes while it is set. */
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

  /** How long a packet handed in now would wait, in ms. */
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
