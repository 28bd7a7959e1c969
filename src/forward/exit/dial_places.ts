import { MAX_STREAMS_PER_PEER } from '../../core/limits.js';

/** All dials of one target. */
interface Dials {
  /** How many of them have a place. */
  active: number;
  /** The others, in order of arrival. Calling one gives it a place. */
  readonly waiting: Set<() => void>;
}

/**
 * Places for the dials that may be in progress at once. A dial gets a place while its target holds fewer
 * places than are free. So a target that never answers takes at most half of them, a second one half of the
 * rest, and other targets still find a place. Dials without a place wait, and their targets take turns.
 */
export class DialPlaces {
  readonly #places: number;
  /** Dials by target. The target whose last turn is longest ago comes first. */
  readonly #targets = new Map<string, Dials>();
  #active = 0;
  #waiting = 0;
  #left = 0;

  constructor(places: number) {
    this.#places = places;
  }

  /** How many places are taken. */
  get active(): number {
    return this.#active;
  }

  /** How many dials have given their place back so far. */
  get left(): number {
    return this.#left;
  }

  /** How many dials wait for a place. */
  get waiting(): number {
    return this.#waiting;
  }

  /** Takes a place if one is free now. Call {@link leave} afterwards. @returns whether it got a place */
  tryEnter(target: string): boolean {
    const dials = this.#targets.get(target) ?? { active: 0, waiting: new Set() };
    if (!this.#hasPlaceFor(dials)) return false;
    this.#targets.set(target, dials);
    this.#take(dials);
    return true;
  }

  /**
   * Waits for a place. Call {@link leave} afterwards.
   *
   * @param signal ends the wait
   * @returns whether it got a place; false also when as many dials wait as one peer may have streams
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

  /** Gives back a place of the target. */
  leave(target: string): void {
    const dials = this.#targets.get(target);
    if (dials === undefined) return;
    dials.active--;
    this.#active--;
    this.#left++;
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
      // The target goes to the end of the round.
      this.#targets.delete(target);
      this.#targets.set(target, dials);
      enter();
      return true;
    }
    return false;
  }
}
