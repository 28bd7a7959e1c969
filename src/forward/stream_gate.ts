import { systemTimers, Timer, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { MAX_WAITING_CONNECTIONS, SESSION_WAIT_MS } from '../core/limits.js';
import type { MuxStream, StreamHandlers, StreamOpener } from '../mux/stream/stream_api.js';
import type { Target } from '../mux/wire/target.js';

export interface StreamGateOptions {
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /**
   * How long a stream waits for a session, in milliseconds; 0 for not at all. Default:
   * {@link SESSION_WAIT_MS}.
   */
  readonly sessionWaitMs?: number;
  /** How many streams may wait at once. Default: {@link MAX_WAITING_CONNECTIONS}. */
  readonly maxWaiting?: number;
}

/** One stream that a forward wants to open. */
export interface StreamWish {
  readonly target: Target;
  /** `onRefused` reports every failure, except that `onReset` reports the closing of the gate. */
  readonly handlers: StreamHandlers;
  /** Called when the request has been passed to the session. The peer's answer comes through the handlers. */
  onAsked(stream: MuxStream): void;
  /** Overrides the gate's wait, in milliseconds; Infinity for no limit. */
  readonly sessionWaitMs?: number;
}

/** Opens streams in the current session. Streams wait while there is none. */
export class StreamGate {
  readonly #timers: Timers;
  readonly #sessionWaitMs: number;
  readonly #maxWaiting: number;
  readonly #waiting = new Map<StreamWish, Timer>();
  #session: StreamOpener | undefined;
  #closed = false;

  constructor(options: StreamGateOptions = {}) {
    this.#timers = options.timers ?? systemTimers;
    this.#sessionWaitMs = options.sessionWaitMs ?? SESSION_WAIT_MS;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING_CONNECTIONS;
  }

  /** How many streams wait for a session. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Sets the session to open streams in; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    if (this.#closed) return;
    this.#session = session;
    if (session === undefined) return;
    for (const wish of [...this.#waiting.keys()]) if (this.forget(wish)) this.open(wish);
  }

  /** Opens the stream now, or as soon as there is a session. */
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
      // This session has ended, but its successor may be on the way.
      if (error.code === 'ERR_PEER_GONE') this.#wait(wish);
      else wish.handlers.onRefused?.(error.code === 'ERR_LIMIT' ? 'limit' : 'internal', error.message);
      return;
    }
    wish.onAsked(stream);
  }

  /** Withdraws a stream that waits for a session. @returns false when it does not wait */
  forget(wish: StreamWish): boolean {
    this.#waiting.get(wish)?.clear();
    return this.#waiting.delete(wish);
  }

  /** Resets the streams that wait, and opens no more. Open streams continue. */
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
      return;
    }
    if (this.#waiting.size >= this.#maxWaiting) {
      const text = `${this.#maxWaiting} connections are already waiting for a session with the peer`;
      wish.handlers.onRefused?.('limit', text);
      return;
    }
    const timer = new Timer(this.#timers);
    this.#waiting.set(wish, timer);
    if (waitMs === Number.POSITIVE_INFINITY) return;
    timer.set(waitMs, () => {
      this.forget(wish);
      wish.handlers.onRefused?.('unreachable', `there was no session with the peer for ${waitMs / 1000} s`);
    });
  }
}
