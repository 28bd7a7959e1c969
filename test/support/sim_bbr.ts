import type { SimClock } from './sim_clock.js';
import type { SimLink } from './sim_link.js';

const SEGMENT_BYTES = 1460;
const ACK_BYTES = 40;
/** Source: bbr_high_gain and bbr_pacing_gain, Linux tcp_bbr.c (BBR version 1). */
const HIGH_GAIN = 2.885;
const CYCLE = [1.25, 0.75, 1, 1, 1, 1, 1, 1];
const WINDOW_GAIN = 2;
const PACING_MARGIN = 0.99;
const BANDWIDTH_ROUNDS = 10;
const MIN_RTT_HOLD_MS = 10_000;
const PROBE_RTT_MS = 200;
const MIN_WINDOW = 4;

interface Sent {
  readonly atMs: number;
  readonly delivered: number;
  readonly deliveredAtMs: number;
}

/**
 * A simplified kernel TCP with BBR version 1 that always has data to send. It paces at the highest delivery
 * rate of ten rounds, keeps two bandwidth-delay products in flight, and ignores loss. Counts segments.
 */
export class SimBbr {
  receivedBytes = 0;
  readonly #clock: SimClock;
  readonly #out: SimLink;
  readonly #back: SimLink;
  readonly #inFlight = new Map<number, Sent>();
  #next = 0;
  #highest = -1;
  #delivered = 0;
  #deliveredAtMs = 0;
  #round = 0;
  #roundEnd = 0;
  #rates: Array<{ round: number; rate: number }> = [];
  #minRttMs = Number.POSITIVE_INFINITY;
  #minRttAtMs = 0;
  #mode: 'startup' | 'drain' | 'probe' | 'probe-rtt' = 'startup';
  #sinceMs = 0;
  #cycle = 2;
  #lostInCycle = false;
  #fullRate = 0;
  #fullRounds = 0;
  #probeMinMs = Number.POSITIVE_INFINITY;
  #sendAtMs = 0;
  #planned = false;
  #timer = 0;

  constructor(clock: SimClock, out: SimLink, back: SimLink) {
    this.#clock = clock;
    this.#out = out;
    this.#back = back;
  }

  start(): void {
    this.#sinceMs = this.#minRttAtMs = this.#deliveredAtMs = this.#clock.nowMs;
    this.#fill();
    this.#watch();
  }

  /** Segments per ms. */
  get #bandwidth(): number {
    let most = 0;
    for (const { rate } of this.#rates) most = Math.max(most, rate);
    return most;
  }

  get #product(): number {
    return this.#minRttMs === Number.POSITIVE_INFINITY ? 10 : this.#bandwidth * this.#minRttMs;
  }

  get #window(): number {
    if (this.#mode === 'probe-rtt') return MIN_WINDOW;
    const gain = this.#mode === 'startup' || this.#mode === 'drain' ? HIGH_GAIN : WINDOW_GAIN;
    return Math.max(gain * this.#product + 3, 10);
  }

  get #pacing(): number {
    const gain = {
      startup: HIGH_GAIN,
      drain: 1 / HIGH_GAIN,
      probe: CYCLE[this.#cycle]!,
      'probe-rtt': 1,
    }[this.#mode];
    return Math.max(gain * this.#bandwidth, 0.1) * PACING_MARGIN;
  }

  #fill(): void {
    const { nowMs } = this.#clock;
    while (this.#inFlight.size < this.#window) {
      if (this.#sendAtMs > nowMs) {
        if (this.#planned) return;
        this.#planned = true;
        this.#clock.at(this.#sendAtMs, () => {
          this.#planned = false;
          this.#fill();
        });
        return;
      }
      this.#send(nowMs);
      if (this.#bandwidth > 0) this.#sendAtMs = Math.max(this.#sendAtMs, nowMs - 1) + 1 / this.#pacing;
    }
  }

  #send(nowMs: number): void {
    const segment = this.#next++;
    this.#inFlight.set(segment, {
      atMs: nowMs,
      delivered: this.#delivered,
      deliveredAtMs: this.#inFlight.size === 0 ? nowMs : this.#deliveredAtMs,
    });
    this.#out.send(SEGMENT_BYTES, () => {
      this.receivedBytes += SEGMENT_BYTES;
      this.#back.send(ACK_BYTES, () => this.#acked(segment));
    });
  }

  #acked(segment: number): void {
    const { nowMs } = this.#clock;
    const sent = this.#inFlight.get(segment);
    if (sent === undefined) return;
    this.#inFlight.delete(segment);
    this.#delivered++;
    this.#deliveredAtMs = nowMs;
    this.#timer++;
    this.#highest = Math.max(this.#highest, segment);
    for (const older of this.#inFlight.keys()) {
      if (older >= this.#highest - 3) break;
      this.#inFlight.delete(older);
      this.#lostInCycle = true;
    }
    const rttMs = nowMs - sent.atMs;
    const roundEnded = sent.delivered >= this.#roundEnd;
    if (roundEnded) {
      this.#round++;
      this.#roundEnd = this.#delivered;
      this.#rates = this.#rates.filter(({ round }) => round > this.#round - BANDWIDTH_ROUNDS);
    }
    this.#note((this.#delivered - sent.delivered) / Math.max(nowMs - sent.deliveredAtMs, 0.1));
    this.#probeMinMs = Math.min(this.#probeMinMs, rttMs);
    if (rttMs <= this.#minRttMs) {
      this.#minRttMs = rttMs;
      this.#minRttAtMs = nowMs;
    }
    if (roundEnded && this.#mode === 'startup') this.#checkFull();
    this.#advance(nowMs);
    this.#fill();
    this.#watch();
  }

  #note(rate: number): void {
    const last = this.#rates.at(-1);
    if (last?.round === this.#round) last.rate = Math.max(last.rate, rate);
    else this.#rates.push({ round: this.#round, rate });
  }

  #checkFull(): void {
    if (this.#bandwidth >= this.#fullRate * 1.25) {
      this.#fullRate = this.#bandwidth;
      this.#fullRounds = 0;
    } else if (++this.#fullRounds >= 3) {
      this.#enter('drain');
    }
  }

  #advance(nowMs: number): void {
    const elapsedMs = nowMs - this.#sinceMs;
    const inFlight = this.#inFlight.size;
    if (this.#mode === 'drain' && inFlight <= this.#product) {
      this.#enter('probe');
      this.#cycle = 2 + (this.#next % 6);
    } else if (this.#mode === 'probe') {
      const gain = CYCLE[this.#cycle]!;
      const full = elapsedMs > this.#minRttMs;
      let over = full;
      if (gain > 1) over = full && (this.#lostInCycle || inFlight >= gain * this.#product);
      if (gain < 1) over = full || inFlight <= this.#product;
      if (over) {
        this.#cycle = (this.#cycle + 1) % CYCLE.length;
        this.#sinceMs = nowMs;
        this.#lostInCycle = false;
      }
    } else if (this.#mode === 'probe-rtt' && elapsedMs > PROBE_RTT_MS + this.#minRttMs) {
      this.#minRttMs = this.#probeMinMs;
      this.#minRttAtMs = nowMs;
      this.#enter('probe');
      return;
    }
    if (this.#mode !== 'probe-rtt' && nowMs - this.#minRttAtMs > MIN_RTT_HOLD_MS) {
      this.#probeMinMs = Number.POSITIVE_INFINITY;
      this.#enter('probe-rtt');
    }
  }

  #enter(mode: 'drain' | 'probe' | 'probe-rtt'): void {
    this.#mode = mode;
    this.#sinceMs = this.#clock.nowMs;
  }

  /** Retransmission timeout: a second without an acknowledgement. */
  #watch(): void {
    const timer = ++this.#timer;
    this.#clock.after(1000, () => {
      if (timer !== this.#timer) return;
      this.#inFlight.clear();
      this.#fill();
      this.#watch();
    });
  }
}
