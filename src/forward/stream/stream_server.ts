import type { Timers } from '../../core/clock.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { OpenRequest } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import type { TargetRules } from '../../rules/allow.js';
import type { HostPort } from '../../rules/endpoint.js';
import { ruleForAll } from '../../rules/expose.js';
import { DenialLog, type ServeCounts } from '../serve_log.js';
import type { Offer } from './offers.js';
import { TunnelStream, type TunnelStreamOptions } from './tunnel_stream.js';

export interface StreamServerOptions {
  /** 64 hexadecimal digits. */
  readonly peer: string;
  /** Name of the ticket or allowed peer that lets the peer in now. */
  readonly nameOf: () => string;
  /** An IP address that stands for the peer. */
  readonly peerAddress: string;
  /** Asked before each stream, and again by {@link StreamServer.recheck}. */
  readonly rules: Pick<TargetRules, 'permitsName'>;
  readonly timers: Timers;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Tells whether the program takes streams now. */
  readonly hasHandler: () => boolean;
  readonly onStream: (stream: ServedStream, offer: Offer) => void;
}

/**
 * Answers one peer's requests for offers of this program: gives the program a stream, or refuses with the
 * reason.
 */
export class StreamServer {
  readonly #options: StreamServerOptions;
  readonly #logger: Logger;
  readonly #denials: DenialLog;
  readonly #open = new Map<ServedStream, Offer>();
  #opened = 0;
  #failed = 0;
  #closed = false;

  constructor(options: StreamServerOptions) {
    this.#options = options;
    this.#logger = options.logger ?? silentLogger;
    this.#denials = new DenialLog(this.#logger);
  }

  get counts(): ServeCounts {
    return { opened: this.#opened, denied: this.#denials.count, limited: 0, failed: this.#failed };
  }

  /**
   * Answers the request later; returns at once. Also refuses datagrams, so that nobody resolves the offer's
   * name.
   */
  handle(request: OpenRequest, offer: Offer): void {
    // Answer outside the session's call: an error that a handler throws inside it would harm other streams.
    process.nextTick(() => this.#answer(request, offer));
  }

  /** Cuts the streams that the rules no longer allow. Call it when the rules have changed. */
  recheck(): void {
    const { rules, peer } = this.#options;
    for (const [stream, { host, port }] of [...this.#open]) {
      if (rules.permitsName(host, port)) continue;
      this.#logger.log('warn', 'cut a connection that the rules no longer allow', { peer, host, port });
      stream.cut('not-allowed');
    }
  }

  /** Refuses new requests. Open streams end with their session. */
  close(): void {
    this.#closed = true;
  }

  #answer(request: OpenRequest, offer: Offer): void {
    if (request.isCancelled) return;
    const { rules, timers, hasHandler, onStream, peerAddress } = this.#options;
    const { host, port, allowHalfOpen = false } = offer;
    if (this.#closed) {
      request.refuse('peer-shutdown', 'shutting down');
    } else if (!rules.permitsName(host, port)) {
      const hint = `the listener's owner can allow it with --expose ${ruleForAll(`${host}:${port}`)}`;
      const text = `${host} port ${port} is not exposed; ${hint}`;
      request.refuse('not-allowed', text);
      this.#denials.denied(text, { peer: this.#options.peer });
    } else if (request.target.kind === 'udp') {
      this.#failed++;
      request.refuse('refused', `${host} port ${port} takes connections, not datagrams`);
    } else if (hasHandler()) {
      const stream = new ServedStream({
        request,
        timers,
        peer: { publicKey: this.#options.peer, name: this.#options.nameOf() },
        offered: { host, port },
        peerAddress,
        allowHalfOpen,
      });
      this.#opened++;
      this.#open.set(stream, offer);
      stream.once('close', () => this.#open.delete(stream));
      onStream(stream, offer);
    } else {
      this.#failed++;
      request.refuse('refused', `${host} port ${port}: no program takes connections there now`);
    }
  }
}

interface ServedStreamOptions extends Pick<TunnelStreamOptions, 'allowHalfOpen' | 'peer'> {
  readonly request: OpenRequest;
  readonly timers: Timers;
  /** The requested offer. */
  readonly offered: HostPort;
  readonly peerAddress: string;
}

/** A stream that the far end requested and that ends in this program. */
export class ServedStream extends TunnelStream {
  override readonly localAddress: string;
  override readonly localPort: number;
  override readonly remoteAddress: string;
  readonly #cut: (reason: Reason) => void;

  /** Accepts the request. @throws {TunnelError} ERR_STREAM_RESET if the peer has cancelled it */
  constructor(options: ServedStreamOptions) {
    const { request, offered, peerAddress } = options;
    super({ ...options, target: `${offered.host} port ${offered.port}`, isOpen: true });
    this.localAddress = offered.host;
    this.localPort = offered.port;
    this.remoteAddress = peerAddress;
    const stream = request.accept(this.streamHandlers());
    this.attach(stream);
    this.#cut = (reason) => stream.reset(reason);
  }

  /** Ends the stream at once, and tells the far end why. */
  cut(reason: Reason): void {
    this.#cut(reason);
    this.destroy();
  }
}
