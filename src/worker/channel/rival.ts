/** A round whose shortest trip is longer than this many smallest ones met a queue that is not ours alone. */
const STANDING = 1.3;
/** What the longest of these trips still counts for halves in so long, in ms: CUBIC comes back in 5 to 10 s. */
const LEVEL_HALVES_MS = 8_000;

/** Rounds with loss in a standing queue are averaged over so long, in ms. */
const PRESSURE_MS = 1_500;
/** With so many of them, though we give way, a rival does not: CUBIC loses a round in several seconds. */
const PRESSED = 0.35;
/** Then we do not either, for so long, in ms, until we look again. */
const STUBBORN_MS = 10_000;

/** Round trips in flight, of the smallest one: alone, while probing for more, and beside a stubborn rival (BBR's own). */
const ALONE_GAIN = 1.15;
const PROBING_GAIN = 1.5;
const STUBBORN_GAIN = 2;
/** Part of the longest standing trip that we fill: a rival that gives way (CUBIC) goes to 0.7 of it and back. */
const YIELDING_LEVEL = 0.88;
const STUBBORN_LEVEL = 1.1;
/** A round of loss that had a queue of this part of the smallest trip under it filled it: for so long, in ms, we keep less. */
const FULL = 1.15;
const YIELD_MS = 3_000;
const YIELDING_GAIN = 1;
/** The same while probing for more. */
const PROBING_LEVEL = 0.95;
/** Never more than this many smallest round trips, whatever rivals do. */
const MOST_GAIN = 4;

/**
 * Whether others keep a queue at the narrowest link, and how much to keep in flight beside them:
 * docs/channel.md, section 4.
 */
export class Rival {
  #levelMs = 0;
  #pressure = 0;
  #roundAtMs = 0;
  #yieldUntilMs = Number.NEGATIVE_INFINITY;
  #stubbornUntilMs = Number.NEGATIVE_INFINITY;

  /** What was seen before says nothing any more. */
  reset(): void {
    this.#levelMs = 0;
    this.#pressure = 0;
    this.#stubbornUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Others keep a queue. */
  stands(minRttMs: number): boolean {
    return this.#levelMs > STANDING * minRttMs;
  }

  /** They do not give way when it is full. */
  isStubborn(nowMs: number): boolean {
    return nowMs < this.#stubbornUntilMs;
  }

  /** The longest trip that others' queue makes, in ms. */
  get levelMs(): number {
    return this.#levelMs;
  }

  /**
   * A round trip ended in which we queued nothing on purpose.
   *
   * @param floorMs the shortest trip of that round
   * @param lossy packets of it were lost
   */
  onRound(floorMs: number, minRttMs: number, lossy: boolean, nowMs: number): void {
    const sinceMs = nowMs - this.#roundAtMs;
    this.#roundAtMs = nowMs;
    const kept = 0.5 ** (sinceMs / LEVEL_HALVES_MS);
    this.#levelMs = Math.max(floorMs, floorMs + (this.#levelMs - floorMs) * kept);
    if (lossy && floorMs > FULL * minRttMs) this.#yieldUntilMs = nowMs + YIELD_MS;
    if (this.isStubborn(nowMs)) return;
    const pressed = lossy && floorMs > STANDING * minRttMs;
    this.#pressure += (Number(pressed) - this.#pressure) * (1 - Math.exp(-sinceMs / PRESSURE_MS));
    if (this.#pressure < PRESSED) return;
    this.#pressure = 0;
    this.#stubbornUntilMs = nowMs + STUBBORN_MS;
  }

  /** How long a round trip may be until the window holds us, in ms, were we alone. */
  aloneMs(minRttMs: number, probing: boolean, nowMs: number): number {
    if (nowMs < this.#yieldUntilMs) return YIELDING_GAIN * minRttMs;
    return (probing ? PROBING_GAIN : ALONE_GAIN) * minRttMs;
  }

  /** The same beside a rival, all that hosts hold back counted; 0 without one. */
  besideMs(minRttMs: number, probing: boolean, nowMs: number): number {
    if (!this.stands(minRttMs)) return 0;
    const wantedMs = this.isStubborn(nowMs)
      ? Math.max(STUBBORN_GAIN * minRttMs, STUBBORN_LEVEL * this.#levelMs)
      : (probing ? PROBING_LEVEL : YIELDING_LEVEL) * this.#levelMs;
    return Math.min(wantedMs, MOST_GAIN * minRttMs);
  }
}
