import { MAX_STREAMS_PER_PEER } from '../../core/limits.js';

/** The dials of one target. */
interface Dials {
  /** Those that have a place. */
  active: number;
  /** Each takes its place when called; in order of arrival. */
  readonly waiting: Set<() => void>;
}

/**
 * Places for the dials that may be under way at once. A dial gets one while its target has fewer than are
 * free. So a target that never answers takes half of them at most, the next such target half of the rest,
 * and other targets still find one. Dials without a place wait, and targets take turns.
 */
export class DialPlaces {
  readonly #places: number;
  /** By target; the one whose turn was longest ago comes first. */
  readonly #targets = new Map<string, Dials>();
  #active = 0;
  #waiting = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** Places that are taken. */
  get active(): number {
    return this.#active;
  }

  /** Dials that wait for one. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Takes a place if there is one now. Whoever gets it calls {@link leave}. */
  tryEnter(target: string): boolean {
    const dials = this.#targets.get(target) ?? { active: 0, waiting: new Set() };
    if (!this.#hasPlaceFor(dials)) return false;
    this.#targets.set(target, dials);
    this.#take(dials);
    return true;
  }

  /**
   * Waits for a place.
   *
   * @param signal gives it up
   * @returns whether it got one, for which {@link leave} is to be called; false also when as many wait as
   *   one peer may have streams
   */
  enter(target: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted || this.#waiting >= MAX_STREAMS_PER_PEER) return Promise.resolve(false);
    const dials = this.#targets.get(target) ?? { active: 0, waiting: new Set() };
    this.#targets.set(target, dials);
    return new Promise((resolve) => {
      const stopWaiting = (entered: boolean): void => {
        signal.removeEventListener('abort', giveUp);
        dials.waiting.delete(enter);
        this.#waiting--;
        resolve(entered);
      };
      const enter = (): void => {
        this.#take(dials);
        stopWaiting(true);
      };
      const giveUp = (): void => {
        stopWaiting(false);
        this.#forgetIfIdle(target, dials);
      };
      dials.waiting.add(enter);
      this.#waiting++;
      signal.addEventListener('abort', giveUp);
      this.#admit();
    });
  }

  /** Gives a place of the target back. */
  leave(target: string): void {
    const dials = this.#targets.get(target);
    if (dials === undefined) return;
    dials.active--;
    this.#active--;
    this.#forgetIfIdle(target, dials);
    this.#admit();
  }

  #hasPlaceFor({ active }: Dials): boolean {
    return active < this.#places - this.#active;
  }

  #take(dials: Dials): void {
    dials.active++;
    this.#active++;
  }

  #forgetIfIdle(target: string, { active, waiting }: Dials): void {
    if (active === 0 && waiting.size === 0) this.#targets.delete(target);
  }

  #admit(): void {
    while (this.#waiting > 0 && this.#admitOne()) {}
  }

  #admitOne(): boolean {
    for (const [target, dials] of this.#targets) {
      const [enter] = dials.waiting;
      if (enter === undefined || !this.#hasPlaceFor(dials)) continue;
      // To the end of the round.
      this.#targets.delete(target);
      this.#targets.set(target, dials);
      enter();
      return true;
    }
    return false;
  }
}
