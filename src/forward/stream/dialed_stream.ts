import { addAbortSignal } from 'node:stream';
import { expectMany } from '../../core/aborting.js';
import type { Timers } from '../../core/clock.js';
import type { PathTarget, TcpTarget } from '../../mux/wire/target.js';
import { type Endpoint, isPath } from '../../rules/endpoint.js';
import type { StreamGate, StreamWish } from '../stream_gate.js';
import { type StreamPeer, TunnelStream, type TunnelStreamOptions } from './tunnel_stream.js';

export interface DialedStreamOptions extends Pick<TunnelStreamOptions, 'allowHalfOpen'> {
  readonly gate: StreamGate;
  readonly timers: Timers;
  readonly peer: StreamPeer;
  readonly target: TcpTarget | PathTarget;
  /**
   * How long to wait for a session with the peer, in milliseconds; Infinity for no limit. Default: the gate's
   * wait.
   */
  readonly sessionWaitMs?: number;
  /** Destroys the stream with an AbortError when aborted. */
  readonly signal?: AbortSignal;
  /** Set if the stream cannot be opened: it emits this error, like a socket that fails to connect. */
  readonly failure?: Error | undefined;
}

/** Returns the name of a target in errors. */
export function nameOfTarget(target: Endpoint): string {
  return isPath(target) ? target.path : `${target.host} port ${target.port}`;
}

/** A stream to a target that the far end dials. */
export class DialedStream extends TunnelStream {
  override remoteAddress: string | undefined = undefined;
  override remotePort: number | undefined = undefined;
  readonly #gate: StreamGate;
  readonly #wish: StreamWish;

  constructor(options: DialedStreamOptions) {
    const { gate, target, sessionWaitMs, signal, failure } = options;
    super({ ...options, target: nameOfTarget(target), isOpen: false });
    this.#gate = gate;
    this.#wish = {
      target,
      handlers: this.streamHandlers(),
      onAsked: (stream) => this.attach(stream),
      ...(sessionWaitMs === undefined ? {} : { sessionWaitMs }),
    };
    if (signal !== undefined) {
      expectMany(signal);
      addAbortSignal(signal, this);
    }
    // In a later turn of the event loop, as a socket fails or connects: the caller may `await` before it listens.
    setImmediate(() => {
      if (this.destroyed) return;
      if (failure === undefined) this.#gate.open(this.#wish);
      else this.destroy(failure);
    });
  }

  protected override opened(): void {
    const { target } = this.#wish;
    if (target.kind !== 'tcp') return;
    this.remoteAddress = target.host;
    this.remotePort = target.port;
  }

  protected override abandoned(): void {
    this.#gate.forget(this.#wish);
  }
}
