import { Allowance } from '../../core/allowance.js';
import type { Clock } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { MAX_STREAMS_PER_PEER, MAX_WAITING_OPENS } from '../../core/limits.js';
import type { Stream } from '../stream/stream.js';
import type { ToldLimits } from '../wire/told_limits.js';
import type { PendingRequest } from './open_request.js';
import type { SessionLimits } from './session_options.js';

/** A waiting OPEN is refused when no stream has ended for this long, in milliseconds. */
export const PLACE_WAIT_MS = 10_000;
/** An OPEN is refused when it has waited this long for any reason, in milliseconds. */
export const OPEN_WAIT_MS = 300_000;

/** How often to check whether other peers have given memory back, in milliseconds. */
const MEMORY_POLL_MS = 100;
const NO_MEMORY = `this process has had no memory for another connection for ${PLACE_WAIT_MS / 1000} s, because the targets of others read too slowly; close some`;

export interface OpensOptions {
  readonly limits: Required<SessionLimits>;
  /** The peer's limits for our streams. */
  readonly told: ToldLimits | undefined;
  /** Lets the peer's OPENs pass. */
  readonly theirRate: Allowance;
  readonly clock: Clock;
  /** Whether the process has memory for another stream. */
  readonly hasMemory: () => boolean;
  /** For how long OPENs of one end have to wait because of other frames, in milliseconds. */
  readonly pauseMs: (isOurs: boolean) => number;
  /** Sends the OPEN of our stream. */
  readonly send: (stream: Stream) => void;
  /** Takes a request from the peer. */
  readonly onOpen: (request: PendingRequest) => void;
}

/** Decides when our OPENs are sent, and when the peer's OPENs reach our consumer. */
export class Opens {
  readonly #clock: Clock;
  readonly #send: OpensOptions['send'];
  readonly #onOpen: OpensOptions['onOpen'];
  readonly #ours: OpenQueue;
  readonly #theirs: OpenQueue;
  #refused = 0;
  #frozenAtMs: number | undefined;
  /** Total time for which the session was frozen, which does not count as waiting. */
  #frozenMs = 0;

  constructor({ limits, told, theirRate, clock, hasMemory, pauseMs, send, onOpen }: OpensOptions) {
    const { streams, opensPerSecond } = limits;
    this.#clock = clock;
    this.#send = send;
    this.#onOpen = onOpen;
    // Our limits apply to the peer. Its limits and the protocol apply to our own streams.
    const places = Math.min(MAX_STREAMS_PER_PEER, told?.streams ?? MAX_STREAMS_PER_PEER);
    const perSecond = told?.opensPerSecond ?? Number.POSITIVE_INFINITY;
    const most = `${places} connections to this peer are open, as many as it allows (--max-streams there)`;
    this.#ours = new OpenQueue(
      places,
      new Allowance(2 * perSecond, perSecond, clock.nowMs()),
      { hasMemory, pauseMs: () => pauseMs(true) },
      {
        noPlace: `${most}, and none has ended for ${PLACE_WAIT_MS / 1000} s; close some first`,
        tooLong: `no turn within ${OPEN_WAIT_MS / 1000} s: ${most}, or open too fast (--max-opens-per-second there); close some first`,
      },
    );
    this.#theirs = new OpenQueue(
      streams,
      theirRate,
      { hasMemory, pauseMs: () => pauseMs(false) },
      {
        noPlace: `${streams} connections are open, as many as one peer may have (--max-streams), and none has ended for ${PLACE_WAIT_MS / 1000} s`,
        tooLong: `no turn within ${OPEN_WAIT_MS / 1000} s: one peer may have ${streams} connections (--max-streams) and open ${opensPerSecond} a second (--max-opens-per-second)`,
      },
    );
  }

  get waiting(): number {
    return this.#ours.waiting + this.#theirs.waiting;
  }

  /** The peer's OPENs that a limit has refused so far. */
  get refused(): number {
    return this.#refused;
  }

  /**
   * Each that waits holds a socket or a caller, so the limit on open files is usually reached first.
   *
   * @throws {TunnelError} ERR_LIMIT when too many of our streams wait already
   */
  expectRoom(): void {
    const { open, waiting } = this.#ours;
    if (waiting < MAX_WAITING_OPENS) return;
    throw new TunnelError(
      'ERR_LIMIT',
      `${open} connections to this peer are open and ${waiting} wait; close some first`,
    );
  }

  addOurs(stream: Stream): void {
    this.#ours.add(stream, {
      sinceMs: this.#nowMs(),
      pass: () => this.#send(stream),
      refuse: (text) => stream.giveUp('limit', text),
    });
  }

  /** The number is bounded by the peer's limit of unanswered OPENs. */
  addTheirs(stream: Stream, request: PendingRequest): void {
    this.#theirs.add(stream, {
      sinceMs: this.#nowMs(),
      pass: () => this.#onOpen(request),
      refuse: (text) => {
        this.#refused++;
        request.refuse('limit', text);
      },
    });
  }

  /** Forgets a stream that has ended, whether its OPEN was passed on or still waits. */
  forget(stream: Stream): void {
    (stream.isOurs ? this.#ours : this.#theirs).forget(stream);
  }

  /** Passes on or refuses the OPENs that are due. @returns whether there were any */
  admit(): boolean {
    const nowMs = this.#nowMs();
    const anyOfOurs = this.#ours.admit(nowMs);
    return this.#theirs.admit(nowMs) || anyOfOurs;
  }

  /** Milliseconds until {@link admit} may have work; Infinity while nothing waits, or while frozen. */
  nextMs(): number {
    if (this.#frozenAtMs !== undefined) return Number.POSITIVE_INFINITY;
    const nowMs = this.#nowMs();
    return Math.min(this.#ours.nextMs(nowMs), this.#theirs.nextMs(nowMs));
  }

  /** Stops the clock for all waits: no stream can end while the peer is offline. */
  freeze(): void {
    this.#frozenAtMs ??= this.#clock.nowMs();
  }

  thaw(): void {
    if (this.#frozenAtMs !== undefined) this.#frozenMs += this.#clock.nowMs() - this.#frozenAtMs;
    this.#frozenAtMs = undefined;
  }

  #nowMs(): number {
    return (this.#frozenAtMs ?? this.#clock.nowMs()) - this.#frozenMs;
  }
}

/** What else an OPEN waits for, besides a place and its turn. */
interface OpenConditions {
  hasMemory(): boolean;
  pauseMs(): number;
}

interface WaitingOpen {
  readonly sinceMs: number;
  pass(): void;
  refuse(text: string): void;
}

/**
 * The streams that one end opened, and its waiting OPENs in order of arrival. OPENs pass at a limited
 * rate, and only while the end has fewer streams than its limit. An OPEN is refused only when no
 * stream has ended for a while, or when it has waited very long. So an end that opens many short
 * streams is slowed down, not refused.
 */
class OpenQueue {
  readonly #places: number;
  readonly #rate: Allowance;
  readonly #conditions: OpenConditions;
  readonly #texts: { readonly noPlace: string; readonly tooLong: string };
  readonly #waiting = new Map<Stream, WaitingOpen>();
  /** Streams whose OPEN has passed and that are not over. */
  #open = 0;
  /** When the last place was taken. */
  #fullSinceMs = 0;

  constructor(
    places: number,
    rate: Allowance,
    conditions: OpenConditions,
    texts: { noPlace: string; tooLong: string },
  ) {
    this.#places = places;
    this.#rate = rate;
    this.#conditions = conditions;
    this.#texts = texts;
  }

  get open(): number {
    return this.#open;
  }

  get waiting(): number {
    return this.#waiting.size;
  }

  add(stream: Stream, open: WaitingOpen): void {
    this.#waiting.set(stream, open);
  }

  forget(stream: Stream): void {
    if (!this.#waiting.delete(stream)) this.#open--;
  }

  admit(nowMs: number): boolean {
    let any = false;
    for (const [stream, waiting] of this.#waiting) {
      const passes = !this.#isFull() && this.#conditionsMs() === 0 && this.#rate.take(nowMs);
      if (!passes && nowMs < this.#refusedAtMs(waiting)) break;
      any = true;
      // A refused stream counts until it is forgotten, a moment later.
      this.#waiting.delete(stream);
      this.#open++;
      if (passes) {
        if (this.#isFull()) this.#fullSinceMs = nowMs;
        stream.reserve();
        waiting.pass();
      } else {
        waiting.refuse(this.#whyNot(waiting, nowMs));
      }
    }
    return any;
  }

  nextMs(nowMs: number): number {
    for (const waiting of this.#waiting.values()) {
      const refusedInMs = Math.max(0, this.#refusedAtMs(waiting) - nowMs);
      if (this.#isFull()) return refusedInMs;
      return Math.min(refusedInMs, this.#conditionsMs() || this.#rate.waitMs(nowMs));
    }
    return Number.POSITIVE_INFINITY;
  }

  /** Milliseconds after which to look at the conditions again; 0 when they are met. */
  #conditionsMs(): number {
    const pauseMs = this.#conditions.pauseMs();
    return this.#conditions.hasMemory() ? pauseMs : Math.max(MEMORY_POLL_MS, pauseMs);
  }

  #whyNot({ sinceMs }: WaitingOpen, nowMs: number): string {
    if (nowMs >= sinceMs + OPEN_WAIT_MS) return this.#texts.tooLong;
    return this.#isFull() ? this.#texts.noPlace : NO_MEMORY;
  }

  #isFull(): boolean {
    return this.#open >= this.#places;
  }

  #refusedAtMs({ sinceMs }: WaitingOpen): number {
    const tooLongMs = sinceMs + OPEN_WAIT_MS;
    if (!this.#isFull() && !this.#conditions.hasMemory()) return Math.min(tooLongMs, sinceMs + PLACE_WAIT_MS);
    // While all places are taken, no stream has ended since the last place was taken.
    return this.#isFull()
      ? Math.min(tooLongMs, Math.max(sinceMs, this.#fullSinceMs) + PLACE_WAIT_MS)
      : tooLongMs;
  }
}
