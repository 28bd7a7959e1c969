import { systemTimers, type TimerHandle, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { MAX_WAITING_CONNECTIONS, SESSION_WAIT_MS } from '../core/limits.js';
import type { MuxStream, StreamHandlers } from '../mux/stream/stream_api.js';
import type { Target } from '../mux/wire/target.js';
import type { StreamOpener } from './stream_opener.js';

export interface StreamGateOptions {
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /** Milliseconds that an open waits for a session; 0: not at all. Default: {@link SESSION_WAIT_MS}. */
  readonly sessionWaitMs?: number;
  /** Opens that wait so at once. Default: {@link MAX_WAITING_CONNECTIONS}. */
  readonly maxWaiting?: number;
}

/** One stream that somebody wants opened. */
export interface StreamWish {
  readonly target: Target;
  /** All failures are told by `onRefused`, but `onReset` when the gate closes. */
  readonly handlers: StreamHandlers;
  /** The stream was asked for; its answer comes through the handlers. */
  onAsked(stream: MuxStream): void;
  /** Milliseconds, instead of the gate's; Infinity: as long as it takes. */
  readonly sessionWaitMs?: number;
}

/** Opens streams in the session there is, and lets those who want one wait while there is none. */
export class StreamGate {
  readonly #timers: Timers;
  readonly #sessionWaitMs: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Map<StreamWish, TimerHandle>();
  #session: StreamOpener | undefined;
  #closed = false;

  constructor(options: StreamGateOptions = {}) {
    this.#timers = options.timers ?? systemTimers;
    this.#sessionWaitMs = options.sessionWaitMs ?? SESSION_WAIT_MS;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING_CONNECTIONS;
  }

  /** How many wait for a session. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** The session to open streams in from now on; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    if (this.#closed) return;
    this.#session = session;
    if (session === undefined) return;
    for (const wish of [...this.#waiting.keys()]) if (this.forget(wish)) this.open(wish);
  }

  /** Asks the far end now, or when there is a session. */
  open(wish: StreamWish): void {
    if (this.#closed) {
      wish.handlers.onReset?.('cancelled', false);
      return;
    }
    if (this.#session === undefined) {
      this.#wait(wish);
      return;
    }
    let stream: MuxStream;
    try {
      stream = this.#session.open(wish.target, wish.handlers);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      // A session that is over is no session: its successor may be on the way.
      if (error.code === 'ERR_PEER_GONE') this.#wait(wish);
      else wish.handlers.onRefused?.(error.code === 'ERR_LIMIT' ? 'limit' : 'internal', error.message);
      return;
    }
    wish.onAsked(stream);
  }

  /** No longer wanted, if it still waits for a session. @returns whether it did */
  forget(wish: StreamWish): boolean {
    const timer = this.#waiting.get(wish);
    if (!this.#waiting.delete(wish)) return false;
    if (timer !== undefined) this.#timers.clear(timer);
    return true;
  }

  /** Opens no more, and resets what waits. Open streams go on. */
  close(): void {
    this.#closed = true;
    this.#session = undefined;
    for (const wish of [...this.#waiting.keys()]) {
      if (this.forget(wish)) wish.handlers.onReset?.('cancelled', false);
    }
  }

  #wait(wish: StreamWish): void {
    const waitMs = wish.sessionWaitMs ?? this.#sessionWaitMs;
    if (waitMs === 0) {
      wish.handlers.onRefused?.('unreachable', 'there is no session with the peer');
    } else if (this.#waiting.size >= this.#maxWaiting) {
      const text = `${this.#maxWaiting} connections wait for a session with the peer already`;
      wish.handlers.onRefused?.('limit', text);
    } else if (waitMs === Number.POSITIVE_INFINITY) {
      this.#waiting.set(wish, undefined);
    } else {
      const giveUp = (): void => {
        this.forget(wish);
        wish.handlers.onRefused?.('unreachable', `there was no session with the peer for ${waitMs / 1000} s`);
      };
      this.#waiting.set(wish, this.#timers.set(giveUp, waitMs));
    }
  }
}
