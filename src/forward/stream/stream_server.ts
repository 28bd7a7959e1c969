import type { Timers } from '../../core/clock.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { OpenRequest } from '../../mux/stream/stream_api.js';
import type { TargetRules } from '../../rules/allow.js';
import { DenialLog } from '../denial_log.js';
import type { ServeCounts } from '../exit/serve.js';
import type { Offer } from './offers.js';
import { ServedStream } from './served_stream.js';

export interface StreamServerOptions {
  /** How the peer is named in the log. */
  readonly peer: string;
  /** Asked before each stream, and when they have changed. */
  readonly rules: Pick<TargetRules, 'permitsName'>;
  readonly timers: Timers;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Whether anybody takes streams now. */
  readonly hasHandler: () => boolean;
  readonly onStream: (stream: ServedStream, offer: Offer) => void;
}

/** Answers the requests of one peer for what this process offers: with a stream, or with why there is none. */
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

  /** Returns at once. Also for datagrams, which are never offered: the name is still not to be resolved. */
  handle(request: OpenRequest, offer: Offer): void {
    // Not inside the session: what a handler throws would be a loss for other streams.
    process.nextTick(() => this.#answer(request, offer));
  }

  /** The rules have changed: cuts the streams that they no longer allow. */
  recheck(): void {
    const { rules, peer } = this.#options;
    for (const [stream, { host, port }] of [...this.#open]) {
      if (rules.permitsName(host, port)) continue;
      this.#logger.log('warn', 'a connection was cut: the rules no longer allow it', { peer, host, port });
      stream.cut('not-allowed');
    }
  }

  /** Refuses what comes. Open streams end with their session. */
  close(): void {
    this.#closed = true;
  }

  #answer(request: OpenRequest, offer: Offer): void {
    if (request.isCancelled) return;
    const { rules, timers, hasHandler, onStream } = this.#options;
    const { host, port, allowHalfOpen = false } = offer;
    if (this.#closed) {
      request.refuse('peer-shutdown', 'shutting down');
    } else if (!rules.permitsName(host, port)) {
      const text = `${host} port ${port} is not exposed; its owner can allow it with --expose ${host}:${port}`;
      request.refuse('not-allowed', text);
      this.#denials.denied(text, { peer: this.#options.peer });
    } else if (request.target.kind === 'udp') {
      this.#failed++;
      request.refuse('refused', `${host} port ${port} takes connections, and no datagrams`);
    } else if (hasHandler()) {
      const stream = new ServedStream({ request, timers, offered: { host, port }, allowHalfOpen });
      this.#opened++;
      this.#open.set(stream, offer);
      stream.once('close', () => this.#open.delete(stream));
      onStream(stream, offer);
    } else {
      this.#failed++;
      request.refuse('refused', `${host} port ${port}: nobody there takes connections now`);
    }
  }
}
