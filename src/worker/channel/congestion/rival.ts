/** A round whose shortest trip is longer than this many smallest ones met a queue that is not ours alone. */
const STANDING = 1.3;
/** Less than so much on top of the smallest trip, in ms, may be the hosts' timers, on a path however short. */
const STANDING_MS = 8;
/** What the longest of these trips still counts for halves in so long, in ms: CUBIC comes back in 5 to 10 s. */
const LEVEL_HALVES_MS = 8_000;

/** Rounds with loss in a standing queue are averaged over so long, in ms. */
const PRESSURE_MS = 1_500;
/** So many of them are a queue that stays full: CUBIC loses one round in several seconds. */
const PRESSED = 0.35;
/** Then we give way, for so long, in ms: our own kind does too, and the queue is gone. */
const GIVE_WAY_MS = 1_000;
/** If it is full again so soon, in ms, the rival does not give way (BBR, version 1) … */
const SOON_MS = 3_000;
/** … and neither do we, for so long, in ms. */
const STUBBORN_MS = 30_000;

/** Round trips in flight, of the smallest one: alone, while probing for more, and while giving way. */
const ALONE_GAIN = 1.15;
/** On a short path jitter is more than that: so much on top of the smallest trip, in ms, up to so many of them. */
const JITTER_MS = 6;
const JITTER_GAIN = 1.6;
const PROBING_GAIN = 1.5;
const GIVE_WAY_GAIN = 1.4;
/** A round with loss and a trip of so many smallest ones filled a queue that is small: for so long, in ms, … */
const FULL = 1.15;
const FULL_MS = 6;
const SMALL_MS = 3_000;
/** … we keep nothing in it. */
const SMALL_GAIN = 1;

/** Part of the longest standing trip that we fill: a rival that gives way (CUBIC) goes to 0.7 of it and back. */
const BESIDE_LEVEL = 0.88;
/** The same while probing for more. */
const PROBING_LEVEL = 0.95;
/** Nothing but a rival that fills a deep queue makes trips of so many smallest ones; below, we stay below. */
const DEEP = 2.6;
const SHALLOW_GAIN = 1.9;
/** Beside a stubborn rival: as BBR, version 1, or what there is. */
const STUBBORN_GAIN = 2;
const STUBBORN_LEVEL = 1.1;
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
  #smallUntilMs = Number.NEGATIVE_INFINITY;
  #giveWayUntilMs = Number.NEGATIVE_INFINITY;
  #stubbornUntilMs = Number.NEGATIVE_INFINITY;

  /** What was seen before says nothing any more. */
  reset(): void {
    this.#levelMs = 0;
    this.#pressure = 0;
    this.#smallUntilMs = Number.NEGATIVE_INFINITY;
    this.#giveWayUntilMs = Number.NEGATIVE_INFINITY;
    this.#stubbornUntilMs = Number.NEGATIVE_INFINITY;
  }

  /** Others keep a queue. */
  stands(minRttMs: number): boolean {
    return this.#levelMs > standingMs(minRttMs);
  }

  /** They do not give way when it is full. */
  isStubborn(nowMs: number): boolean {
    return nowMs < this.#stubbornUntilMs;
  }

  /** What is queued can not be ours alone: nothing is won by sending less. */
  holds(minRttMs: number, nowMs: number): boolean {
    return this.isStubborn(nowMs) || this.#levelMs > SHALLOW_GAIN * minRttMs;
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
    if (lossy && floorMs > Math.max(FULL * minRttMs, minRttMs + FULL_MS))
      this.#smallUntilMs = nowMs + SMALL_MS;
    if (this.isStubborn(nowMs) || nowMs < this.#giveWayUntilMs) return;
    const pressed = lossy && floorMs > standingMs(minRttMs);
    this.#pressure += (Number(pressed) - this.#pressure) * (1 - Math.exp(-sinceMs / PRESSURE_MS));
    if (this.#pressure >= PRESSED) this.#onPressed(nowMs);
  }

  /** How long a round trip may be until the window holds us, in ms, were we alone. */
  aloneMs(minRttMs: number, probing: boolean, nowMs: number): number {
    if (nowMs < this.#smallUntilMs) return SMALL_GAIN * minRttMs;
    const jitterMs = Math.min(minRttMs + JITTER_MS, JITTER_GAIN * minRttMs);
    return Math.max((probing ? PROBING_GAIN : ALONE_GAIN) * minRttMs, jitterMs);
  }

  /** The same beside a rival, all that hosts hold back counted; 0 without one. */
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
    // After a stubborn time, too, we give way first to see what others do.
    const again = nowMs - this.#giveWayUntilMs < SOON_MS;
    if (again) this.#stubbornUntilMs = nowMs + STUBBORN_MS;
    this.#giveWayUntilMs = again ? this.#stubbornUntilMs + GIVE_WAY_MS : nowMs + GIVE_WAY_MS;
  }
}

function standingMs(minRttMs: number): number {
  return Math.max(STANDING * minRttMs, minRttMs + STANDING_MS);
}
