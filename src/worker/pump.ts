import type { TimerHandle, Timers } from '../core/clock.js';

/** Datagrams taken in one turn: half a millisecond of work. Then sockets, rings and timers get their turn. */
const DATAGRAMS_PER_TURN = 64;

/** A wait shorter than a timer's resolution is spent in turns of the event loop. */
const SHORTEST_TIMER_MS = 0.5;

/**
 * Waits longer than this may end late. Node truncates timers to whole milliseconds; the rest would be spent
 * in turns.
 */
const EXACT_TIMER_MS = 5;

/** The part of a Tox instance or a bootstrap node that the pump drives. */
export interface Pumped {
  /** Does all of toxcore's work. */
  iterate(): void;
  /** Handles only the datagrams that are waiting. */
  poll(): void;
  intervalMs(): number;
}

/** The datagrams waiting for toxcore. */
export interface PumpedNetwork {
  readonly datagramsWaiting: number;
  allowDatagrams(count: number): void;
}

/** The channels, which the pump drives in the same turns. */
export interface PumpedChannels {
  /**
   * Drives the channels that are due.
   * @returns when the next one is due, in ms; Infinity when none is due by time
   */
  pump(nowMs: number): number;
}

export interface PumpParts {
  readonly instance: Pumped;
  readonly network: PumpedNetwork;
  readonly channels: PumpedChannels;
  readonly timers: Timers;
  /** Calls back after the pending events: `setImmediate`. */
  readonly nextTurn: (callback: () => void) => void;
}

/**
 * Drives one Tox node. Each turn takes a budget of datagrams, then lets the channels send. toxcore's
 * full work runs at its own interval, and at once when TCP connections have moved. Between turns
 * the event loop runs, so that neither direction starves the other.
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

  /** How often toxcore's full work has run. */
  get iterations(): number {
    return this.#iterations;
  }

  /** Schedules a turn, because datagrams or frames wait. Calls before that turn are combined. */
  wake(): void {
    if (this.#turnDue || this.#stopped) return;
    this.#turnDue = true;
    this.#parts.nextTurn(() => {
      this.#turnDue = false;
      if (!this.#stopped) this.#turn();
    });
  }

  /**
   * Schedules toxcore's full work, because TCP connections have moved, or a call gave toxcore something to
   * do.
   */
  wakeFully(): void {
    this.#streamsMoved = true;
    this.wake();
  }

  /** Runs no further turn, not even one that is due. */
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
    if (this.#stopped) return; // a handler of toxcore's events stopped it
    const channelsAtMs = channels.pump(timers.nowMs());
    // After sending, toxcore may want to run sooner than it said before.
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
    // Keep an earlier timer. Its turn finds that it is too early, and sets the next one.
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
