import { EventEmitter } from 'node:events';
import { systemTimers, Timer, type Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { MuxStream, OpenRequest, StreamOpener } from '../../mux/stream/stream_api.js';
import { isFinalRefusal, type Reason } from '../../mux/wire/reasons.js';
import { idBytes, isIdAt } from '../../mux/wire/stream_id.js';
import type { HostPort } from '../../rules/endpoint.js';
import type { ReverseSpec } from '../../rules/forward_spec.js';

export interface ReverseForwardOptions {
  readonly spec: ReverseSpec;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
}

export interface ReverseForwardEvents {
  /** The far end listens. @param remote where, with the port that it chose for port 0 */
  open: [remote: HostPort];
  /** The far end no longer listens there. The forward asks again, unless it was closed. */
  closed: [remote: HostPort];
  /**
   * The far end refused to listen. Not repeated while the reason stays the same.
   *
   * @param again whether the forward asks again in the same session
   */
  refused: [reason: Reason, text: string, again: boolean];
}

/** The first and the longest wait before the forward asks for a refused port again, in milliseconds. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** Length of the far end's answer, which is the port. */
const PORT_BYTES = 2;

/** One request for a port, in one session. */
interface Attempt {
  readonly session: StreamOpener;
  stream: MuxStream | undefined;
  readonly bytes: number[];
  remote: HostPort | undefined;
}

/**
 * The connector's end of `-R`: asks the far end to listen on a port, again in each new session. The port
 * stays open for as long as the stream that requested it. The forward does not serve the connections itself:
 * the server of the connector's streams calls {@link owns} for each one.
 */
export class ReverseForward extends EventEmitter<ReverseForwardEvents> {
  readonly spec: ReverseSpec;
  #session: StreamOpener | undefined;
  #attempt: Attempt | undefined;
  readonly #retry: Timer;
  #retryMs = RETRY_MS;
  /** The reason of the last refusal that was emitted. */
  #told: Reason | undefined;
  #closed = false;

  constructor({ spec, timers = systemTimers }: ReverseForwardOptions) {
    super();
    this.spec = spec;
    this.#retry = new Timer(timers);
  }

  /** Where the far end listens; undefined while it does not listen. */
  get remote(): HostPort | undefined {
    return this.#attempt?.remote;
  }

  /** Whether the far end has been asked, and has not refused. */
  get isAsked(): boolean {
    return this.#attempt !== undefined;
  }

  /** Sets the session to ask in; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    if (this.#closed) return;
    if (session !== this.#session) this.#told = undefined;
    this.#session = session;
    this.#retry.clear();
    // After an outage the port may still be open.
    if (session !== undefined && this.#attempt === undefined) this.#ask(session);
  }

  /** Tells whether a connection came in on this forward's port: it names our stream, in the same session. */
  owns({ target, opener }: OpenRequest): boolean {
    const attempt = this.#attempt;
    if (attempt?.stream === undefined || target.kind !== 'accepted') return false;
    return opener === attempt.session && isIdAt(target.listener, idBytes(attempt.stream.id), 0);
  }

  /** Has the far end close the port. Open connections continue. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#session = undefined;
    this.#retry.clear();
    const attempt = this.#attempt;
    this.#attempt = undefined;
    attempt?.stream?.reset('cancelled');
    if (attempt?.remote !== undefined) this.emit('closed', attempt.remote);
  }

  #ask(session: StreamOpener): void {
    const { host, port } = this.spec.bind;
    const attempt: Attempt = { session, stream: undefined, bytes: [], remote: undefined };
    this.#attempt = attempt;
    try {
      attempt.stream = session.open(
        { kind: 'listen', host, port },
        {
          onRefused: (reason, text) => this.#refused(attempt, reason, text),
          onData: (chunk) => this.#take(attempt, chunk),
          onEnd: () => this.#giveUp(attempt, 'cancelled'),
          onReset: () => this.#lost(attempt),
        },
      );
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      // This session has ended, but its successor may be on the way.
      if (error.code === 'ERR_PEER_GONE') this.#attempt = undefined;
      else this.#refused(attempt, error.code === 'ERR_LIMIT' ? 'limit' : 'internal', error.message);
    }
  }

  #take(attempt: Attempt, chunk: Uint8Array): void {
    attempt.stream?.consumed(chunk.length);
    if (attempt !== this.#attempt) return;
    attempt.bytes.push(...chunk.subarray(0, PORT_BYTES + 1));
    const [high, low, more] = attempt.bytes;
    if (high === undefined || low === undefined) return;
    const port = high * 256 + low;
    if (more !== undefined || port === 0) {
      this.#giveUp(attempt, 'protocol-error');
      return;
    }
    this.#retryMs = RETRY_MS;
    this.#told = undefined;
    attempt.remote = { host: this.spec.bind.host, port };
    this.emit('open', attempt.remote);
  }

  #giveUp(attempt: Attempt, reason: Reason): void {
    attempt.stream?.reset(reason);
    this.#lost(attempt);
  }

  #lost(attempt: Attempt): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = undefined;
    this.#retryLater();
    if (attempt.remote !== undefined) this.emit('closed', attempt.remote);
  }

  #refused(attempt: Attempt, reason: Reason, text: string): void {
    if (attempt !== this.#attempt) return;
    this.#attempt = undefined;
    const again = !isFinalRefusal(reason);
    if (again) this.#retryLater();
    if (this.#told === reason) return;
    this.#told = reason;
    this.emit('refused', reason, text, again);
  }

  #retryLater(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#retry.set(this.#retryMs, () => this.#ask(session));
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }
}
