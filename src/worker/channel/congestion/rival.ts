/**
 * If the shortest trip of a round exceeds the smallest ever by this factor, others contribute to the queue.
 */
const STANDING = 1.3;
/**
 * Less than this much above the smallest trip, in ms, may be due to the hosts' timers, even on the shortest
 * path.
 */
const STANDING_MS = 8;
/** Half-life, in ms, of the longest of these trips. CUBIC comes back in 5 to 10 s. */
const LEVEL_HALVES_MS = 8_000;

/** Averaging time for rounds with loss in a standing queue, in ms. */
const PRESSURE_MS = 1_500;
/**
 * This share of such rounds means that the queue stays full. CUBIC has loss in one round every several
 * seconds.
 */
const PRESSED = 0.35;
/** Then we give way for this long, in ms. Other channels of our kind do the same, and the queue drains. */
const GIVE_WAY_MS = 1_000;
/** If the queue is full again this soon, in ms, the rival does not give way (BBR, version 1). */
const SOON_MS = 3_000;
/** Then we do not give way either, for this long, in ms. */
const STUBBORN_MS = 30_000;

/**
 * Window without a rival on the path, in smallest round trips. PROBING_GAIN and GIVE_WAY_GAIN: while probing,
 * and while giving way.
 */
const ALONE_GAIN = 1.15;
/**
 * On a short path jitter exceeds that gain. This much is added to the smallest trip, in ms, up to JITTER_GAIN
 * smallest trips.
 */
const JITTER_MS = 6;
const JITTER_GAIN = 1.6;
const PROBING_GAIN = 1.5;
const GIVE_WAY_GAIN = 1.4;
/**
 * A lossy round whose trips exceed the smallest by FULL and by FULL_MS filled a small queue. For SMALL_MS, in
 * ms, we keep nothing in it.
 */
const FULL = 1.15;
const FULL_MS = 6;
const SMALL_MS = 3_000;
const SMALL_GAIN = 1;

/**
 * Share of the longest standing trip that we fill. A rival that gives way (CUBIC) falls back to 0.7 of it and
 * returns.
 */
const BESIDE_LEVEL = 0.88;
/** The same while probing. */
const PROBING_LEVEL = 0.95;
/**
 * Only a rival that fills a deep queue makes trips this many times as long as the smallest. Below that, we
 * stay below SHALLOW_GAIN.
 */
const DEEP = 2.6;
const SHALLOW_GAIN = 1.9;
/** Window next to a stubborn rival: that of BBR, version 1, or a little more than the existing queue. */
const STUBBORN_GAIN = 2;
const STUBBORN_LEVEL = 1.1;
/** Largest window, in smallest round trips, whatever rivals do. */
const MOST_GAIN = 4;

/**
 * Detects whether others keep a queue at the narrowest link, and decides how much to keep in flight next to
 * them. docs/channel.md, section 4, gives the reasons.
 */
export class Rival {
  #levelMs = 0;
  #pressure = 0;
  #roundAtMs = 0;
  #smallUntilMs = Number.NEGATIVE_INFINITY;
  #giveWayUntilMs = Number.NEGATIVE_INFINITY;
  #stubbornUntilMs = Number.NEGATIVE_INFINITY;

  /** Forgets everything: the path may have changed. */
  reset(): void {
    this.#levelMs = 0;
    this.#pressure = 0;
    this.#smallUntilMs = Number.NEGATIVE_INFINITY;
    this.#giveWayUntilMs = Number.NEGATIVE_INFINITY;
    this.#stubbornUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Whether others keep a queue. */
  stands(minRttMs: number): boolean {
    return this.#levelMs > standingMs(minRttMs);
  }

  /** Whether they keep it full without ever giving way. */
  isStubborn(nowMs: number): boolean {
    return nowMs < this.#stubbornUntilMs;
  }

  /** Whether others must contribute to the queue, so that sending less gains nothing. */
  holds(minRttMs: number, nowMs: number): boolean {
    return this.isStubborn(nowMs) || this.#levelMs > SHALLOW_GAIN * minRttMs;
  }

  /** The longest trip that the others' queue causes, in ms. */
  get levelMs(): number {
    return this.#levelMs;
  }

  /**
   * Takes the result of a round trip in which we queued nothing on purpose.
   *
   * @param floorMs the shortest trip of that round
   * @param lossy whether packets of it were lost
   */
  onRound(floorMs: number, minRttMs: number, lossy: boolean, nowMs: number): void {
    const sinceMs = nowMs - this.#roundAtMs;
    this.#roundAtMs = nowMs;
    const kept = 0.5 ** (sinceMs / LEVEL_HALVES_MS);
    this.#levelMs = Math.max(floorMs, floorMs + (this.#levelMs - floorMs) * kept);
    if (lossy && floorMs > Math.max(FULL * minRttMs, minRttMs + FULL_MS))
      this.#smallUntilMs = nowMs + SMALL_MS;
    if (this.isStubborn(nowMs) || nowMs < this.#giveWayUntilMs) return;
    const pressed = lossy && floorMs > standingMs(minRttMs);
    this.#pressure += (Number(pressed) - this.#pressure) * (1 - Math.exp(-sinceMs / PRESSURE_MS));
    if (this.#pressure >= PRESSED) this.#onPressed(nowMs);
  }

  /** The window without a rival on the path, as the round-trip time that it covers, in ms. */
  aloneMs(minRttMs: number, probing: boolean, nowMs: number): number {
    if (nowMs < this.#smallUntilMs) return SMALL_GAIN * minRttMs;
    const jitterMs = Math.min(minRttMs + JITTER_MS, JITTER_GAIN * minRttMs);
    return Math.max((probing ? PROBING_GAIN : ALONE_GAIN) * minRttMs, jitterMs);
  }

  /** The window next to a rival, in the same unit, including all delays of the hosts; 0 without a rival. */
  besideMs(minRttMs: number, probing: boolean, nowMs: number): number {
    if (!this.stands(minRttMs)) return 0;
    let wantedMs = (probing ? PROBING_LEVEL : BESIDE_LEVEL) * this.#levelMs;
    if (this.isStubborn(nowMs)) {
      wantedMs = Math.max(STUBBORN_GAIN * minRttMs, STUBBORN_LEVEL * this.#levelMs);
    } else if (nowMs < this.#giveWayUntilMs) {
      wantedMs = GIVE_WAY_GAIN * minRttMs;
    } else if (this.#levelMs < DEEP * minRttMs) {
      wantedMs = Math.min(wantedMs, SHALLOW_GAIN * minRttMs);
    }
    return Math.min(wantedMs, MOST_GAIN * minRttMs);
  }

  #onPressed(nowMs: number): void {
    this.#pressure = 0;
    // After a stubborn period, too, we first give way and watch what the others do.
    const again = nowMs - this.#giveWayUntilMs < SOON_MS;
    if (again) this.#stubbornUntilMs = nowMs + STUBBORN_MS;
    this.#giveWayUntilMs = again ? this.#stubbornUntilMs + GIVE_WAY_MS : nowMs + GIVE_WAY_MS;
  }
}

function standingMs(minRttMs: number): number {
  return Math.max(STANDING * minRttMs, minRttMs + STANDING_MS);
}
