import { MAX_PACKET_BYTES } from '../../../core/packets.js';
import { Xorshift } from '../xorshift.js';
import { MaxFilter, MinRtt } from './bbr_filters.js';
import { Rival } from './rival.js';

/** Window at the start and after a timeout: 32 packets. RFC 6928 allows ten, but ours are paced. */
const INITIAL_WINDOW_BYTES = 32 * MAX_PACKET_BYTES;
/** Smallest window. Source: BBRMinPipeCwnd, draft-ietf-ccwg-bbr. */
const MIN_WINDOW_BYTES = 4 * MAX_PACKET_BYTES;
/** Largest window. Everything in flight is kept in memory for retransmission. */
export const MAX_WINDOW_BYTES = 32 * 1024 * 1024;

/** Round-trip time for the first pacing rate, in ms, until one is measured. */
const ASSUMED_RTT_MS = 25;
/** Gain that doubles the rate each round. Source: BBRStartupPacingGain, draft-ietf-ccwg-bbr. */
const STARTUP_GAIN = 2.77;
const DRAIN_GAIN = 1 / STARTUP_GAIN;
/**
 * The path is full when the rate has grown by less than a quarter in each of this many rounds. Source: the
 * same draft.
 */
const FULL_ROUNDS = 3;
const FULL_GROWTH = 1.25;
/** A startup round that loses more than this has reached the end of the queue. */
const STARTUP_LOSS = 0.15;

/** A round that loses more than this may have met a full queue. */
const LOSSY = 0.005;

const PROBE_UP_GAIN = 1.25;
const PROBE_DOWN_GAIN = 0.75;
/** Round trips after which we stop waiting for the queue of a probe to drain. */
const MAX_DOWN_ROUNDS = 4;
/**
 * Keeps the rate below the estimate, so that a standing queue drains. Source: BBRPacingMarginPercent, the
 * same draft.
 */
const PACING_MARGIN = 0.99;
/** Margin after a round with a queue that can only be ours: the estimate, a maximum, was too high. */
const QUEUED_MARGIN = 0.95;
/** A round trip that exceeds the smallest by this much, in ms, met a queue. Less may be only timers. */
const QUEUED_MS = 6;
/** Round trips between two probes. The exact number varies, so that flows do not probe in step. */
const CRUISE_ROUNDS = 5;
const CRUISE_SPREAD = 3;
/** The same next to a rival that never gives way. */
const STUBBORN_CRUISE_ROUNDS = 1;
/** Rounds that a bandwidth sample counts for: more than one probing cycle. */
const BANDWIDTH_ROUNDS = 10;

/** Shorter rounds are counted as one: below this, timers and turns of the event loop set the pace. */
const MIN_ROUND_MS = 2;
/**
 * Delay that the hosts add through timers and delayed acknowledgements; the window leaves room for it. On a
 * path with a shorter round trip this would be most of the window, and a queue in front of each keystroke.
 * There the room is the round trip plus {@link LEAST_HOST_DELAY_MS}, about a turn of both event loops.
 */
const HOST_DELAY_MS = 4;
const LEAST_HOST_DELAY_MS = 1;
/**
 * Bursts of acknowledgements count up to a round trip, and up to this on shorter paths, in ms. On a short
 * path a burst means that a host was late, and room for it would be a queue in front of each keystroke.
 */
const HEAP_MS = 1;
/**
 * Replaces both of these while urgent frames are being sent. On a path within one machine or LAN most of what
 * is in flight waits in the peer's socket, where no keystroke can overtake it. Bulk transfers alone are a
 * little faster with the larger room.
 */
const URGENT_DELAY_MS = 0.2;
/**
 * How long after an urgent frame another one is expected, in ms. Slower typists do not notice a millisecond.
 */
const URGENT_HOLD_MS = 100;

/** What one acknowledgement, or one pass of loss detection, reports. The same object is reused. */
export interface AckBatch {
  nowMs: number;
  /** Bytes of packets acknowledged now, including packets that were declared lost before. */
  ackedBytes: number;
  /** Bytes of packets declared lost now. */
  lostBytes: number;
  /** Bytes of packets acknowledged now that had been declared lost: they were only late. */
  lateBytes: number;
  /** Bytes in flight afterwards. */
  inFlightBytes: number;
  /** Bytes acknowledged since the channel started. */
  deliveredBytes: number;
  /** Value of {@link deliveredBytes} when the newest packet acknowledged now was sent; -1 without one. */
  deliveredAtSendBytes: number;
  /** Delivery rate of the path over about a round trip, in bytes per ms; 0 when unknown. */
  deliveryRate: number;
  /** The sample is only a lower bound, because we had too little to send. */
  appLimited: boolean;
  /**
   * Round-trip time of the newest packet acknowledged now, in ms, without the peer's delay; 0 without one.
   */
  rttMs: number;
}

type Mode = 'startup' | 'drain' | 'up' | 'down' | 'cruise' | 'probe-rtt';

/**
 * Models the path as a bandwidth and a round-trip time, after BBR (draft-ietf-ccwg-bbr). Sends at the
 * measured bandwidth, periodically probes a quarter above it, and keeps little more than the bandwidth-delay
 * product in flight, unless a {@link Rival} keeps a queue. Loss alone does not slow it down; docs/channel.md
 * gives the reasons.
 */
export class Bbr {
  windowBytes = INITIAL_WINDOW_BYTES;
  pacingRate = (STARTUP_GAIN * INITIAL_WINDOW_BYTES) / ASSUMED_RTT_MS;

  #mode: Mode = 'startup';
  #modeSinceMs = 0;
  #pacingGain = STARTUP_GAIN;

  readonly #bandwidth = new MaxFilter(BANDWIDTH_ROUNDS);
  readonly #extraAcked = new MaxFilter(BANDWIDTH_ROUNDS);
  readonly #minRtt = new MinRtt();
  readonly #rival = new Rival();

  #round = 0;
  #roundEndBytes = 0;
  #roundSinceMs = 0;
  #roundLostBytes = 0;
  #roundAckedBytes = 0;
  /** Shortest round trip of the round, in ms; Infinity without one. */
  #roundRttMs = Number.POSITIVE_INFINITY;
  /** The last round met a queue, and no rival seems to keep one. */
  #ownQueue = false;
  /** This round's losses date from before a restart. */
  #roundIsStale = false;
  #deliveredBytes = 0;

  #fullBandwidth = 0;
  #fullRounds = 0;
  #filled = false;

  #epochAtMs = 0;
  #epochBytes = 0;
  #cruiseRounds = CRUISE_ROUNDS;
  #urgentAtMs = Number.NEGATIVE_INFINITY;
  readonly #random: Xorshift;

  /** @param seed varies the times of probes from peer to peer */
  constructor(seed: number) {
    this.#random = new Xorshift(seed);
  }

  /** Estimated bandwidth, in bytes per ms; 0 while unknown. */
  get bandwidth(): number {
    return this.#bandwidth.max;
  }

  get mode(): string {
    return this.#mode;
  }

  onUrgent(nowMs: number): void {
    this.#urgentAtMs = nowMs;
  }

  onAcked(batch: AckBatch): void {
    this.#deliveredBytes = batch.deliveredBytes;
    const roundEnded = this.#countRound(batch);
    this.#roundLostBytes += batch.lostBytes - batch.lateBytes;
    this.#roundAckedBytes += batch.ackedBytes;
    if (batch.deliveryRate > 0 && (!batch.appLimited || batch.deliveryRate >= this.bandwidth)) {
      this.#bandwidth.update(batch.deliveryRate, this.#round);
    }
    this.#noteAggregation(batch);
    if (batch.rttMs > 0) {
      this.#minRtt.update(batch.rttMs, batch.nowMs);
      this.#roundRttMs = Math.min(this.#roundRttMs, batch.rttMs);
    }

    if (roundEnded && !this.#roundIsStale) {
      this.#checkFull(batch);
      this.#checkRival(batch.nowMs);
    }
    this.#advance(batch);
    this.#setPacing();
    this.#setWindow(batch);
    if (roundEnded) {
      this.#roundLostBytes = 0;
      this.#roundAckedBytes = 0;
      this.#roundRttMs = Number.POSITIVE_INFINITY;
      this.#roundIsStale = false;
    }
  }

  onTimeout(nowMs: number): void {
    this.#restart(nowMs);
  }

  onPathChanged(nowMs: number): void {
    this.#minRtt.reset();
    this.#restart(nowMs);
  }

  #restart(nowMs: number): void {
    this.#bandwidth.reset();
    this.#extraAcked.reset();
    this.#filled = false;
    this.#fullBandwidth = 0;
    this.#fullRounds = 0;
    this.#epochBytes = 0;
    this.#epochAtMs = nowMs;
    // The next round consists of packets sent from now on. Losses until then no longer matter.
    this.#roundEndBytes = this.#deliveredBytes + 1;
    this.#roundIsStale = true;
    this.#rival.reset();
    this.windowBytes = INITIAL_WINDOW_BYTES;
    this.pacingRate = (STARTUP_GAIN * INITIAL_WINDOW_BYTES) / this.#minRtt.valueOr(ASSUMED_RTT_MS);
    this.#enter('startup', STARTUP_GAIN, nowMs);
  }

  #countRound(batch: AckBatch): boolean {
    if (batch.deliveredAtSendBytes < this.#roundEndBytes) return false;
    if (batch.nowMs - this.#roundSinceMs < MIN_ROUND_MS) return false;
    this.#roundEndBytes = batch.deliveredBytes;
    this.#roundSinceMs = batch.nowMs;
    this.#round++;
    return true;
  }

  /** Measures bursts of acknowledgements: by how much they exceed what the bandwidth explains. */
  #noteAggregation(batch: AckBatch): void {
    const expected = this.bandwidth * (batch.nowMs - this.#epochAtMs);
    if (this.#epochBytes <= expected) {
      this.#epochBytes = 0;
      this.#epochAtMs = batch.nowMs;
    }
    this.#epochBytes += batch.ackedBytes;
    const extra = this.#epochBytes - this.bandwidth * (batch.nowMs - this.#epochAtMs);
    const most =
      this.bandwidth *
      Math.max(this.#shortPathMs(HEAP_MS, batch.nowMs), this.#minRtt.valueOr(ASSUMED_RTT_MS));
    this.#extraAcked.update(Math.min(Math.max(extra, 0), most), this.#round);
  }

  #checkFull(batch: AckBatch): void {
    if (this.#filled || batch.appLimited) return;
    const total = this.#roundLostBytes + this.#roundAckedBytes;
    if (this.#roundLostBytes > STARTUP_LOSS * total && total > INITIAL_WINDOW_BYTES) {
      this.#filled = true;
      return;
    }
    if (this.bandwidth >= this.#fullBandwidth * FULL_GROWTH) {
      this.#fullBandwidth = this.bandwidth;
      this.#fullRounds = 0;
      return;
    }
    this.#filled = ++this.#fullRounds >= FULL_ROUNDS;
  }

  /** Judges rivals only in rounds in which we add nothing to the queue. */
  #checkRival(nowMs: number): void {
    const floorMs = this.#roundRttMs;
    if (floorMs === Number.POSITIVE_INFINITY || (this.#mode !== 'cruise' && this.#mode !== 'down')) return;
    const lossy = this.#roundLostBytes > LOSSY * (this.#roundLostBytes + this.#roundAckedBytes);
    const minRttMs = this.#minRtt.valueOr(floorMs);
    this.#rival.onRound(floorMs, minRttMs, lossy, nowMs);
    this.#ownQueue = floorMs > minRttMs + QUEUED_MS && !this.#rival.holds(minRttMs, nowMs);
  }

  #advance(batch: AckBatch): void {
    const now = batch.nowMs;
    const elapsed = now - this.#modeSinceMs;
    const product = this.#product(now);
    switch (this.#mode) {
      case 'startup':
        if (this.#filled) this.#enter('drain', DRAIN_GAIN, now);
        break;
      case 'drain':
        if (batch.inFlightBytes <= product) this.#cruise(now);
        break;
      case 'cruise':
        if (elapsed > this.#cruiseRounds * this.#phaseMs()) this.#enter('up', PROBE_UP_GAIN, now);
        break;
      case 'up':
        if (
          elapsed > this.#upMs() &&
          (batch.inFlightBytes >= PROBE_UP_GAIN * product ||
            this.#roundLostBytes > 0 ||
            elapsed > 3 * this.#phaseMs())
        ) {
          this.#enter('down', PROBE_DOWN_GAIN, now);
        }
        break;
      case 'down':
        if (batch.inFlightBytes <= product || elapsed > this.#downRounds() * this.#phaseMs())
          this.#cruise(now);
        break;
      case 'probe-rtt':
        if (this.#minRtt.probeEnded(now)) {
          if (this.#filled) this.#cruise(now);
          else this.#enter('startup', STARTUP_GAIN, now);
        }
        return;
    }
    if (this.#minRtt.needsProbe(now)) {
      this.#minRtt.startProbe(now);
      this.#enter('probe-rtt', 1, now);
    }
  }

  #cruise(nowMs: number): void {
    const rounds = this.#rival.isStubborn(nowMs) ? STUBBORN_CRUISE_ROUNDS : CRUISE_ROUNDS;
    this.#cruiseRounds = rounds + this.#random.next() * CRUISE_SPREAD;
    this.#enter('cruise', 1, nowMs);
  }

  #enter(mode: Mode, pacingGain: number, nowMs: number): void {
    this.#mode = mode;
    this.#pacingGain = pacingGain;
    this.#modeSinceMs = nowMs;
  }

  /**
   * Our own queue gets the time it needs to drain. Next to a rival, any room we leave would soon be the
   * rival's.
   */
  #downRounds(): number {
    return this.#rival.stands(this.#minRtt.valueOr(ASSUMED_RTT_MS)) ? 1 : MAX_DOWN_ROUNDS;
  }

  /** A probe must last a round trip to be measured, and round trips through a rival's queue are longer. */
  #upMs(): number {
    const phaseMs = this.#phaseMs();
    return this.#rival.stands(phaseMs) ? Math.max(this.#rival.levelMs, phaseMs) : phaseMs;
  }

  #phaseMs(): number {
    return Math.max(this.#minRtt.valueOr(ASSUMED_RTT_MS), MIN_ROUND_MS);
  }

  /** `bulkMs`, or less while urgent frames are being sent. */
  #shortPathMs(bulkMs: number, nowMs: number): number {
    return nowMs - this.#urgentAtMs < URGENT_HOLD_MS ? URGENT_DELAY_MS : bulkMs;
  }

  #hostDelayMs(nowMs: number): number {
    const leastMs = this.#shortPathMs(LEAST_HOST_DELAY_MS, nowMs);
    return Math.min(HOST_DELAY_MS, leastMs + this.#minRtt.valueOr(ASSUMED_RTT_MS));
  }

  /** Bandwidth-delay product: what the path itself holds, in bytes. */
  #product(nowMs: number): number {
    return this.bandwidth * (this.#minRtt.valueOr(ASSUMED_RTT_MS) + this.#hostDelayMs(nowMs));
  }

  #setPacing(): void {
    if (this.bandwidth === 0) return;
    const cruising = this.#ownQueue ? QUEUED_MARGIN : PACING_MARGIN;
    const margin = this.#pacingGain === 1 ? cruising : 1;
    const rate = this.#pacingGain * margin * this.bandwidth;
    if (this.#filled || rate > this.pacingRate) this.pacingRate = rate;
  }

  #setWindow(batch: AckBatch): void {
    const probing = this.#mode === 'up' || !this.#filled;
    const minRttMs = this.#minRtt.valueOr(ASSUMED_RTT_MS);
    const aloneMs = this.#rival.aloneMs(minRttMs, probing, batch.nowMs) + this.#hostDelayMs(batch.nowMs);
    const alone = this.bandwidth * aloneMs + this.#extraAcked.max;
    const target = Math.max(alone, this.bandwidth * this.#rival.besideMs(minRttMs, probing, batch.nowMs));
    let window = this.windowBytes + batch.ackedBytes;
    if (this.#filled) window = Math.min(window, target);
    else if (this.windowBytes >= target && batch.deliveredBytes >= INITIAL_WINDOW_BYTES)
      window = this.windowBytes;
    if (this.#mode === 'probe-rtt') window = Math.min(window, 0.5 * this.#product(batch.nowMs));
    this.windowBytes = Math.min(Math.max(window, MIN_WINDOW_BYTES), MAX_WINDOW_BYTES);
  }
}
