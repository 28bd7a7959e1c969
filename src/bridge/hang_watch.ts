import { Timer, type Timers } from '../core/clock.js';

const LOOK_MS = 2_000;

/**
 * A look that comes later than this says nothing about the worker: the process was stopped, the machine slept, or this
 * thread was busy.
 */
const LATE_MS = 1_000;

/** A worker takes a turn at least each second. Much less than this can also be a machine that is short of CPU time. */
export const HUNG_MS = 30_000;

export interface HangWatchParts {
  readonly timers: Timers;
  /** Changes with each turn of the worker. */
  beats(): number;
  /** Whether a debugger may have paused the worker. */
  isDebugged(): boolean;
  /** The worker took no turn for {@link HUNG_MS} while this thread ran as usual. Called once. */
  onHung(): void;
}

/** Watches from the main thread whether the worker still takes turns. It begins at once. */
export class HangWatch {
  readonly #parts: HangWatchParts;
  readonly #timer: Timer;
  #beats: number;
  #lookedAtMs: number;
  /** How long the worker has been silent, without the times that say nothing. */
  #silentMs = 0;

  constructor(parts: HangWatchParts) {
    this.#parts = parts;
    this.#timer = new Timer(parts.timers);
    this.#beats = parts.beats();
    this.#lookedAtMs = parts.timers.nowMs();
    this.#timer.every(LOOK_MS, () => this.#look());
  }

  stop(): void {
    this.#timer.clear();
  }

  #look(): void {
    const { timers, isDebugged, onHung } = this.#parts;
    const nowMs = timers.nowMs();
    const sinceMs = nowMs - this.#lookedAtMs;
    this.#lookedAtMs = nowMs;
    const beats = this.#parts.beats();
    if (beats !== this.#beats) {
      this.#beats = beats;
      this.#silentMs = 0;
      return;
    }
    if (sinceMs > LOOK_MS + LATE_MS || isDebugged()) return;
    this.#silentMs += LOOK_MS;
    if (this.#silentMs < HUNG_MS) return;
    this.stop();
    onHung();
  }
}

/** Whether Node's inspector is open. A debugger can pause one thread and leave the others running. */
export function inspectorIsOpen(): boolean {
  // Some builds of Node have no inspector, so this module cannot be imported there.
  if (!process.features.inspector) return false;
  return process.getBuiltinModule('node:inspector').url() !== undefined;
}
