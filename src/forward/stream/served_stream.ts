import type { Timers } from '../../core/clock.js';
import type { OpenRequest } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { HostPort } from '../../rules/endpoint.js';
import { TunnelStream, type TunnelStreamOptions } from './tunnel_stream.js';

export interface ServedStreamOptions extends Pick<TunnelStreamOptions, 'allowHalfOpen'> {
  readonly request: OpenRequest;
  readonly timers: Timers;
  /** What was offered and asked for. */
  readonly offered: HostPort;
}

/** A connection that the far end asked for and that ends in this process. */
export class ServedStream extends TunnelStream {
  override readonly localAddress: string;
  override readonly localPort: number;
  readonly #cut: (reason: Reason) => void;

  /** @throws {TunnelError} ERR_STREAM_RESET when it is no longer wanted */
  constructor(options: ServedStreamOptions) {
    const { request, offered } = options;
    super({ ...options, target: `${offered.host} port ${offered.port}`, isOpen: true });
    this.localAddress = offered.host;
    this.localPort = offered.port;
    const stream = request.accept(this.streamHandlers());
    this.attach(stream);
    this.#cut = (reason) => stream.reset(reason);
  }

  /** Ends it at once; the far end is told why. */
  cut(reason: Reason): void {
    this.#cut(reason);
    this.destroy();
  }
}
