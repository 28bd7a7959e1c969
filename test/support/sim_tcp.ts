import type { SimClock } from './sim_clock.js';
import type { SimLink } from './sim_link.js';

const SEGMENT_BYTES = 1460;
const ACK_BYTES = 40;
/** Source: C and beta_cubic, RFC 9438 section 4. */
const CUBIC_C = 0.4;
const CUBIC_BETA = 0.7;

/**
 * A simplified kernel TCP flow that always has data to send: slow start, CUBIC or Reno growth, one reduction
 * per round trip with loss, and selective acknowledgements. Just enough to see which flow starves the other.
 */
export class SimTcp {
  receivedBytes = 0;
  readonly #clock: SimClock;
  readonly #out: SimLink;
  readonly #back: SimLink;
  readonly #kind: 'cubic' | 'reno';
  readonly #leavesStartEarly: boolean;
  #window = 10;
  #threshold = Number.POSITIVE_INFINITY;
  #inFlight = new Map<number, number>();
  #next = 0;
  #highest = -1;
  #recoverUntil = -1;
  #windowMax = 0;
  #epochAtMs = -1;
  #rttMs = 100;
  #minRttMs = Number.POSITIVE_INFINITY;
  #timer = 0;

  /**
   * @param leavesStartEarly HyStart leaves slow start at the first sign of a queue; a kernel's often does not
   */
  constructor(clock: SimClock, out: SimLink, back: SimLink, kind: 'cubic' | 'reno', leavesStartEarly = true) {
    this.#leavesStartEarly = leavesStartEarly;
    this.#clock = clock;
    this.#out = out;
    this.#back = back;
    this.#kind = kind;
  }

  start(): void {
    this.#fill();
    this.#watch();
  }

  #fill(): void {
    while (this.#inFlight.size < this.#window) {
      const segment = this.#next++;
      this.#inFlight.set(segment, this.#clock.nowMs);
      this.#out.send(SEGMENT_BYTES, () => {
        this.receivedBytes += SEGMENT_BYTES;
        this.#back.send(ACK_BYTES, () => this.#acked(segment));
      });
    }
  }

  #acked(segment: number): void {
    const { nowMs } = this.#clock;
    const sentAtMs = this.#inFlight.get(segment);
    if (sentAtMs === undefined) return;
    this.#inFlight.delete(segment);
    this.#timer++;
    this.#rttMs = 0.875 * this.#rttMs + 0.125 * (nowMs - sentAtMs);
    this.#minRttMs = Math.min(this.#minRttMs, nowMs - sentAtMs);
    this.#highest = Math.max(this.#highest, segment);
    let lost = false;
    for (const older of this.#inFlight.keys()) {
      if (older >= this.#highest - 3) break;
      this.#inFlight.delete(older);
      if (older > this.#recoverUntil) lost = true;
    }
    if (lost) this.#reduce();
    else this.#grow(nowMs);
    this.#fill();
    this.#watch();
  }

  #reduce(): void {
    this.#recoverUntil = this.#next - 1;
    this.#windowMax = this.#window;
    this.#window = Math.max(this.#window * (this.#kind === 'cubic' ? CUBIC_BETA : 0.5), 2);
    this.#threshold = this.#window;
    this.#epochAtMs = -1;
  }

  #grow(nowMs: number): void {
    if (this.#window < this.#threshold) {
      this.#window += 1;
      // HyStart's delay rule, simplified: leave slow start when a queue shows.
      if (this.#leavesStartEarly && this.#rttMs > this.#minRttMs * 1.25 && this.#window > 16)
        this.#threshold = this.#window;
      return;
    }
    if (this.#kind === 'reno') {
      this.#window += 1 / this.#window;
      return;
    }
    if (this.#epochAtMs < 0) {
      this.#epochAtMs = nowMs;
      this.#windowMax = Math.max(this.#windowMax, this.#window);
    }
    const seconds = (nowMs - this.#epochAtMs + this.#rttMs) / 1000;
    const k = Math.cbrt((this.#windowMax * (1 - CUBIC_BETA)) / CUBIC_C);
    const cubic = CUBIC_C * (seconds - k) ** 3 + this.#windowMax;
    const rounds = (nowMs - this.#epochAtMs) / this.#rttMs;
    const reno = this.#windowMax * CUBIC_BETA + ((3 * (1 - CUBIC_BETA)) / (1 + CUBIC_BETA)) * rounds;
    const target = Math.min(Math.max(cubic, reno), 1.5 * this.#window);
    if (target > this.#window) this.#window += (target - this.#window) / this.#window;
  }

  /** Retransmission timeout: a second without an acknowledgement starts over. */
  #watch(): void {
    const timer = ++this.#timer;
    this.#clock.after(1000, () => {
      if (timer !== this.#timer) return;
      this.#inFlight.clear();
      this.#threshold = Math.max(this.#window / 2, 2);
      this.#window = 2;
      this.#fill();
      this.#watch();
    });
  }
}
