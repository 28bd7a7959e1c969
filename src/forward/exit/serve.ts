import { systemTimers, type Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { UDP_IDLE_MS } from '../../core/limits.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { MuxStream, OpenRequest } from '../../mux/stream/stream_api.js';
import type { Target, UdpTarget } from '../../mux/wire/target.js';
import type { TargetRules } from '../../rules/allow.js';
import { type Endpoint, isPath } from '../../rules/endpoint.js';
import { shown } from '../../rules/spec_text.js';
import { DenialLog } from '../denial_log.js';
import { Pipe } from '../pipe.js';
import { resetSocket } from '../reset_socket.js';
import { Dialer, type DialerOptions, type DialFailure } from './dial.js';
import { OpenTarget } from './open_target.js';
import { UdpPipe } from './udp_pipe.js';

/** The opener gives up first, as it knows whether its client is there. */
const TARGET_UDP_IDLE_MS = 2 * UDP_IDLE_MS;

type LogFields = Readonly<Record<string, unknown>>;

export interface TargetServerOptions extends DialerOptions {
  /** How the peer is named in the log. */
  readonly peer: string;
  /** Default: silent. */
  readonly logger?: Logger;
}

/** What became of a peer's requests so far. */
export interface ServeCounts {
  readonly opened: number;
  /** Against the rules. */
  readonly denied: number;
  /** Waited for their turn too long, or for lack of memory or sockets. */
  readonly limited: number;
  /** All other refusals. */
  readonly failed: number;
}

export function addCounts(a: ServeCounts, b: ServeCounts): ServeCounts {
  return {
    opened: a.opened + b.opened,
    denied: a.denied + b.denied,
    limited: a.limited + b.limited,
    failed: a.failed + b.failed,
  };
}

/** Answers the requests of one peer: dials the target, and joins it to the stream or says why not. */
export class TargetServer {
  readonly #peer: string;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #denials: DenialLog;
  readonly #dialer: Dialer;
  readonly #rules: TargetRules;
  readonly #dials = new Set<AbortController>();
  readonly #open = new Set<OpenTarget>();
  #opened = 0;
  #limited = 0;
  #failed = 0;
  #closed = false;

  constructor(options: TargetServerOptions) {
    this.#peer = options.peer;
    this.#logger = options.logger ?? silentLogger;
    this.#timers = options.timers ?? systemTimers;
    this.#denials = new DenialLog(this.#logger);
    this.#rules = options.rules;
    this.#dialer = new Dialer(options);
  }

  get counts(): ServeCounts {
    return {
      opened: this.#opened,
      denied: this.#denials.count,
      limited: this.#limited,
      failed: this.#failed,
    };
  }

  /** Returns at once; the request is answered when the dial has an end. @param asked what is dialled for it */
  handle(request: OpenRequest, asked: Target = request.target): void {
    if (this.#closed) {
      request.refuse('peer-shutdown', 'shutting down');
      return;
    }
    const dial = new AbortController();
    this.#dials.add(dial);
    request.onCancelled = () => dial.abort();
    this.#answer(request, asked, dial.signal)
      .catch((error: unknown) => {
        // A session that closed while we dialled refuses our answer: nobody waits for one.
        const level = TunnelError.is(error) ? 'debug' : 'error';
        this.#logger.log(level, 'a request of the peer could not be answered', { peer: this.#peer, error });
      })
      .finally(() => this.#dials.delete(dial));
  }

  /** The rules have changed: cuts the connections that they no longer allow. */
  recheck(): void {
    for (const target of [...this.#open]) if (!target.isPermitted(this.#rules)) target.cut();
  }

  /** Gives up the dials under way and refuses what comes. Joined streams end with their session. */
  close(): void {
    this.#closed = true;
    for (const dial of this.#dials) dial.abort();
  }

  async #answer(request: OpenRequest, asked: Target, signal: AbortSignal): Promise<void> {
    if (asked.kind === 'tcp' || asked.kind === 'path') await this.#serve(request, asked, signal);
    else if (asked.kind === 'udp') await this.#serveUdp(request, asked, signal);
    else request.refuse('unsupported', 'this version dials hosts and paths only; update it');
  }

  async #serve(request: OpenRequest, asked: Endpoint, signal: AbortSignal): Promise<void> {
    const result = await this.#dialer.dial(asked, signal);
    const fields = { peer: this.#peer, target: shownEndpoint(asked) };
    if (result.kind === 'failed') {
      this.#refuse(request, result, fields);
      return;
    }
    const { socket } = result;
    if (signal.aborted) {
      resetSocket(socket);
      request.refuse('cancelled', 'no longer wanted');
      return;
    }
    const target = new OpenTarget(asked, socket.remoteAddress ?? '', 'tcp', () =>
      this.#cut(pipe, stream, fields),
    );
    let stream: MuxStream | undefined;
    const pipe = new Pipe(socket, {
      isPath: isPath(asked),
      onOver: (outcome) => {
        this.#open.delete(target);
        this.#logger.log(
          'debug',
          `a connection to a target has ${outcome === 'ended' ? 'ended' : 'been reset'}`,
          {
            ...fields,
            bytesToTarget: socket.bytesWritten,
            bytesFromTarget: socket.bytesRead,
          },
        );
      },
    });
    stream = this.#join(request, pipe, target, fields);
    if (stream !== undefined) pipe.flow();
  }

  async #serveUdp(request: OpenRequest, asked: UdpTarget, signal: AbortSignal): Promise<void> {
    const result = await this.#dialer.dialUdp(asked, signal);
    const fields = { peer: this.#peer, target: `${shownEndpoint(asked)} by UDP` };
    if (result.kind === 'failed') {
      this.#refuse(request, result, fields);
      return;
    }
    let stream: MuxStream | undefined;
    const target = new OpenTarget(asked, result.address.text, 'udp', () => this.#cut(pipe, stream, fields));
    const pipe = new UdpPipe(result.socket, {
      timers: this.#timers,
      idleMs: TARGET_UDP_IDLE_MS,
      onOver: (outcome) => {
        this.#open.delete(target);
        const { sent, received, dropped } = pipe;
        const counts = { datagramsToTarget: sent, datagramsFromTarget: received, dropped };
        this.#logger.log('debug', `datagrams to a target have ended: ${outcome}`, { ...fields, ...counts });
      },
    });
    if (signal.aborted) {
      pipe.abort();
      request.refuse('cancelled', 'no longer wanted');
      return;
    }
    stream = this.#join(request, pipe, target, fields);
  }

  /** Joins what was dialled to a stream. @returns undefined when the rules have changed while it was dialled */
  #join(
    request: OpenRequest,
    pipe: Pipe | UdpPipe,
    target: OpenTarget,
    fields: LogFields & { readonly target: string },
  ): MuxStream | undefined {
    if (!target.isPermitted(this.#rules)) {
      pipe.abort();
      const text = `${fields.target} is no longer exposed`;
      this.#denials.denied(text, fields);
      request.refuse('not-allowed', text);
      return undefined;
    }
    const stream = accepted(request, pipe);
    this.#opened++;
    this.#open.add(target);
    this.#logger.log('debug', 'a target was dialled', fields);
    return stream;
  }

  #refuse(request: OpenRequest, { reason, text }: DialFailure, fields: LogFields): void {
    if (reason === 'not-allowed') {
      this.#denials.denied(text, fields);
    } else {
      if (reason === 'limit') this.#limited++;
      else this.#failed++;
      this.#logger.log('debug', 'a target could not be dialled', { ...fields, reason });
    }
    request.refuse(reason, text);
  }

  #cut(pipe: { abort(): void }, stream: MuxStream | undefined, fields: LogFields): void {
    this.#logger.log('warn', 'a connection was cut: the rules no longer allow it', fields);
    stream?.reset('not-allowed');
    pipe.abort();
  }
}

/** Joins what was dialled to the request's stream. */
function accepted(request: OpenRequest, pipe: Pipe | UdpPipe): MuxStream {
  try {
    const stream = request.accept(pipe);
    pipe.attach(stream);
    return stream;
  } catch (error) {
    pipe.abort();
    throw error;
  }
}

function shownEndpoint(asked: Endpoint): string {
  return isPath(asked) ? shown(asked.path) : `${shown(asked.host)} port ${asked.port}`;
}
