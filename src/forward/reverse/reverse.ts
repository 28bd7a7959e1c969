import { EventEmitter } from 'node:events';
import { systemTimers, type TimerHandle, type Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import type { MuxStream, OpenRequest } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { idBytes, isIdAt } from '../../mux/wire/stream_id.js';
import type { HostPort } from '../../rules/endpoint.js';
import type { ReverseSpec } from '../../rules/forward_spec.js';
import type { StreamOpener } from '../stream_opener.js';

export interface ReverseForwardOptions {
  readonly spec: ReverseSpec;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
}

export interface ReverseForwardEvents {
  /** The far end listens. @param remote where, with the port that was picked for port 0 */
  open: [remote: HostPort];
  /** It listens there no more; the forward asks again. */
  closed: [remote: HostPort];
  /** It does not listen; told once for each reason. @param again whether we ask again in the same session */
  refused: [reason: Reason, text: string, again: boolean];
}

/** Before a port that was refused is asked for again, in milliseconds: the first wait and the longest. */
const RETRY_MS = 1_000;
const RETRY_MAX_MS = 60_000;
/** The port, as the far end tells it. */
const PORT_BYTES = 2;

/** Refusals of a port that nothing but another session may overcome. */
export const FINAL_REFUSALS: ReadonlySet<Reason> = new Set<Reason>(['not-allowed', 'unsupported']);

/** One request for a port, in one session. */
interface Attempt {
  readonly session: StreamOpener;
  stream: MuxStream | undefined;
  readonly bytes: number[];
  remote: HostPort | undefined;
}

/**
 * Has the far end listen at a port, in every session anew: the port is open as long as a stream lasts
 * that was opened for it. It only asks; who serves its connections asks {@link owns}.
 */
export class ReverseForward extends EventEmitter<ReverseForwardEvents> {
  readonly spec: ReverseSpec;
  readonly #timers: Timers;
  #session: StreamOpener | undefined;
  #attempt: Attempt | undefined;
  #retry: TimerHandle | undefined;
  #retryMs = RETRY_MS;
  #told: Reason | undefined;
  #closed = false;

  constructor({ spec, timers = systemTimers }: ReverseForwardOptions) {
    super();
    this.spec = spec;
    this.#timers = timers;
  }

  /** Where the far end listens; undefined while it does not. */
  get remote(): HostPort | undefined {
    return this.#attempt?.remote;
  }

  /** The session to ask in from now on; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    if (this.#closed) return;
    if (session !== this.#session) this.#told = undefined;
    this.#session = session;
    this.#stopRetry();
    // One that waits out an outage is still there.
    if (session !== undefined && this.#attempt === undefined) this.#ask(session);
  }

  /** Whether a connection came at our port: the stream that it names is ours, and of the same session. */
  owns({ target, opener }: OpenRequest): boolean {
    const attempt = this.#attempt;
    if (attempt?.stream === undefined || target.kind !== 'accepted') return false;
    return opener === attempt.session && isIdAt(target.listener, idBytes(attempt.stream.id), 0);
  }

  /** Has the port closed. Open connections go on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#session = undefined;
    this.#stopRetry();
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
      // A session that is over is no session: its successor may be on the way.
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
    const again = !FINAL_REFUSALS.has(reason);
    if (again) this.#retryLater();
    if (this.#told === reason) return;
    this.#told = reason;
    this.emit('refused', reason, text, again);
  }

  #retryLater(): void {
    const session = this.#session;
    if (session === undefined) return;
    this.#stopRetry();
    this.#retry = this.#timers.set(() => {
      this.#retry = undefined;
      this.#ask(session);
    }, this.#retryMs);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_MAX_MS);
  }

  #stopRetry(): void {
    if (this.#retry !== undefined) this.#timers.clear(this.#retry);
    this.#retry = undefined;
  }
}
