import type { TimerHandle, Timers } from '../core/clock.js';

/** Datagrams taken in one turn, half a millisecond of work: then sockets, rings and timers get theirs. */
const DATAGRAMS_PER_TURN = 64;

/** A wait shorter than a timer can measure is spent in turns of the event loop. */
const SHORTEST_TIMER_MS = 0.5;

/** Longer waits may end late: Node cuts timers to whole milliseconds, and what is left would be spent in turns. */
const EXACT_TIMER_MS = 5;

/** A tunnel's Tox instance or a bootstrap node, as far as the pump drives it. */
export interface Pumped {
  /** All of toxcore's work. */
  iterate(): void;
  /** Only the datagrams that wait. */
  poll(): void;
  intervalMs(): number;
}

/** The datagrams that wait for toxcore. */
export interface PumpedNetwork {
  readonly datagramsWaiting: number;
  allowDatagrams(count: number): void;
}

/** The channels, driven in the same turns. */
export interface PumpedChannels {
  /** Drives those that have something to do. @returns when the next one has, in ms; Infinity: none by itself */
  pump(nowMs: number): number;
}

export interface PumpParts {
  readonly instance: Pumped;
  readonly network: PumpedNetwork;
  readonly channels: PumpedChannels;
  readonly timers: Timers;
  /** Calls back after waiting events have had their turn: `setImmediate`. */
  readonly nextTurn: (callback: () => void) => void;
}

/**
 * Drives one node. Each turn takes a budget of datagrams, then lets the channels send; toxcore's
 * full work is done by its own interval, and at once when TCP connections have moved. Between
 * turns the event loop has its way, so that neither direction starves the other.
 */
export class Pump {
  readonly #parts: PumpParts;
  #iterateAtMs = Number.NEGATIVE_INFINITY;
  #streamsMoved = false;
  #turnDue = false;
  #timer: TimerHandle | undefined;
  #timerAtMs = Number.POSITIVE_INFINITY;
  #stopped = false;
  #iterations = 0;

  constructor(parts: PumpParts) {
    this.#parts = parts;
  }

  /** How often toxcore's full work was done. */
  get iterations(): number {
    return this.#iterations;
  }

  /** There is something to do: datagrams or frames wait. Calls before the turn melt into one. */
  wake(): void {
    if (this.#turnDue || this.#stopped) return;
    this.#turnDue = true;
    this.#parts.nextTurn(() => {
      this.#turnDue = false;
      if (!this.#stopped) this.#turn();
    });
  }

  /** TCP connections have moved, or toxcore was told something new: its full work is due. */
  wakeFully(): void {
    this.#streamsMoved = true;
    this.wake();
  }

  /** No turn comes any more, not even one that is due. */
  stop(): void {
    this.#stopped = true;
    this.#clearTimer();
  }

  #turn(): void {
    const { instance, network, channels, timers } = this.#parts;
    network.allowDatagrams(DATAGRAMS_PER_TURN);
    if (this.#streamsMoved || timers.nowMs() >= this.#iterateAtMs) {
      this.#streamsMoved = false;
      instance.iterate();
      this.#iterations++;
      this.#iterateAtMs = Number.POSITIVE_INFINITY;
    } else if (network.datagramsWaiting > 0) {
      instance.poll();
    }
    if (this.#stopped) return; // by a handler of toxcore's events
    const channelsAtMs = channels.pump(timers.nowMs());
    // Having sent, toxcore wants to look after it sooner than it said before.
    this.#iterateAtMs = Math.min(this.#iterateAtMs, timers.nowMs() + instance.intervalMs());

    if (network.datagramsWaiting > 0) this.wake();
    else this.#sleepUntil(Math.min(this.#iterateAtMs, channelsAtMs));
  }

  #sleepUntil(atMs: number): void {
    if (this.#stopped || this.#turnDue) return;
    const delayMs = atMs - this.#parts.timers.nowMs();
    if (delayMs < SHORTEST_TIMER_MS) {
      this.wake();
      return;
    }
    // An earlier timer stays: its turn finds out that it came too early, and sets the next.
    if (this.#timer !== undefined && this.#timerAtMs <= atMs) return;
    this.#clearTimer();
    this.#timerAtMs = atMs;
    this.#timer = this.#parts.timers.set(
      () => {
        this.#timer = undefined;
        this.wake();
      },
      delayMs > EXACT_TIMER_MS ? Math.ceil(delayMs) : delayMs,
    );
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.#parts.timers.clear(this.#timer);
    this.#timer = undefined;
  }
}
