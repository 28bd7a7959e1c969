import { Allowance } from '../core/allowance.js';
import type { PendingRequest } from './open_request.js';
import type { SessionLimits } from './session_options.js';
import type { Stream } from './stream.js';

/** How long an OPEN waits for a place among the peer's streams before it is refused, in milliseconds. */
export const PLACE_WAIT_MS = 10_000;

interface WaitingOpen {
  readonly request: PendingRequest;
  readonly sinceMs: number;
}

/**
 * The peer's streams, and its OPENs on their way to our consumer, in order of arrival. OPENs pass at the
 * rate that the limits allow, and only while the peer has fewer streams than it may. The others wait:
 * each is one of the OPENs that a peer may have unanswered, which bounds the queue.
 */
export class TheirOpens {
  readonly #streams: number;
  readonly #rate: Allowance;
  readonly #waiting = new Map<Stream, WaitingOpen>();
  /** Streams that have passed and are not over. */
  #open = 0;
  #refused = 0;

  constructor({ streams, opensPerSecond }: Required<SessionLimits>, nowMs: number) {
    this.#streams = streams;
    this.#rate = new Allowance(2 * opensPerSecond, opensPerSecond, nowMs);
  }

  /** OPENs that have not passed. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** OPENs refused so far because of a limit. */
  get refused(): number {
    return this.#refused;
  }

  add(stream: Stream, request: PendingRequest, nowMs: number): void {
    this.#waiting.set(stream, { request, sinceMs: nowMs });
  }

  /** A stream is over, whether it has passed or waits. */
  forget(stream: Stream): void {
    if (!this.#waiting.delete(stream)) this.#open--;
  }

  /**
   * Lets OPENs pass that may, and refuses those that have waited too long for another stream to end.
   *
   * @param onOpen takes each request that passes
   * @returns whether there were any
   */
  admit(nowMs: number, onOpen: (request: PendingRequest) => void): boolean {
    let any = false;
    for (const [stream, { request, sinceMs }] of this.#waiting) {
      if (this.#open < this.#streams) {
        if (!this.#rate.take(nowMs)) break;
        this.#waiting.delete(stream);
        this.#open++;
        onOpen(request);
      } else {
        if (nowMs - sinceMs < PLACE_WAIT_MS) break;
        this.#refused++;
        request.refuse(
          'limit',
          `${this.#streams} connections are open, as many as one peer may have (--max-streams), and none has ended for ${PLACE_WAIT_MS / 1000} s`,
        );
      }
      any = true;
    }
    return any;
  }

  /** Milliseconds until {@link admit} may have something to do; Infinity while nothing waits. */
  nextMs(nowMs: number): number {
    for (const { sinceMs } of this.#waiting.values()) {
      if (this.#open < this.#streams) return this.#rate.waitMs(nowMs);
      return Math.max(0, sinceMs + PLACE_WAIT_MS - nowMs);
    }
    return Number.POSITIVE_INFINITY;
  }
}
