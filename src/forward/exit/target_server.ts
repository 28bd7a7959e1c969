import { systemTimers, type Timers } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { readHost } from '../../core/host.js';
import { type IpAddress, ownAddresses, parseAddress } from '../../core/ip.js';
import { UDP_IDLE_MS } from '../../core/limits.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { MuxStream, OpenRequest } from '../../mux/stream/stream_api.js';
import type { Target, UdpTarget } from '../../mux/wire/target.js';
import type { TargetRules } from '../../rules/allow.js';
import { type Endpoint, isPath, readSocketPath } from '../../rules/endpoint.js';
import type { Protocol } from '../../rules/expose.js';
import { shown } from '../../rules/spec_text.js';
import { Pipe } from '../pipe.js';
import { DenialLog, type ServeCounts } from '../serve_log.js';
import { resetSocket } from '../tcp_socket.js';
import { Dialer, type DialerOptions, type DialFailure } from './dial.js';
import { type Inquirer, type Resolve, systemLookups } from './name_lookups.js';
import { UdpPipe } from './udp_pipe.js';

/** The opener gives up first, because it knows whether its client is still there. */
const OPENERS_IDLE_TIMES = 2;

type LogFields = Readonly<Record<string, unknown>>;

export interface TargetServerOptions extends Omit<DialerOptions, 'resolve'> {
  /** Default: the system's look-ups, taking turns with those of other peers. */
  readonly resolve?: Resolve;
  /** The peer's name in the log. */
  readonly peer: string;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Idle time of a UDP client in milliseconds. Its target is kept for twice as long. Default: {@link UDP_IDLE_MS}. */
  readonly udpIdleMs?: number;
}

/** Answers one peer's requests: dials the target and joins it to the stream, or refuses with the reason. */
export class TargetServer {
  readonly #peer: string;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #denials: DenialLog;
  readonly #inquirer: Inquirer;
  readonly #dialer: Dialer;
  readonly #rules: TargetRules;
  readonly #isOwn: TargetServerOptions['isOwn'];
  readonly #udpIdleMs: number;
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
    this.#isOwn = options.isOwn;
    this.#udpIdleMs = options.udpIdleMs ?? UDP_IDLE_MS;
    this.#inquirer = systemLookups.join();
    this.#dialer = new Dialer({ ...options, resolve: options.resolve ?? this.#inquirer.resolve });
  }

  get counts(): ServeCounts {
    return {
      opened: this.#opened,
      denied: this.#denials.count,
      limited: this.#limited,
      failed: this.#failed,
    };
  }

  /** Answers the request when the dial has ended; returns at once. @param asked the target to dial */
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
        // A session that closed during the dial accepts no answer, and nobody waits for one.
        const level = TunnelError.is(error) ? 'debug' : 'error';
        this.#logger.log(level, 'cannot answer a request from the peer', { peer: this.#peer, error });
      })
      .finally(() => this.#dials.delete(dial));
  }

  /** Cuts the connections that the rules no longer allow. Call it when the rules have changed. */
  recheck(): void {
    const isOwn = this.#isOwn ?? ownAddresses();
    for (const target of [...this.#open]) if (!target.isPermitted(this.#rules, isOwn)) target.cut();
  }

  /** Cancels the dials in progress and refuses new requests. Open streams end with their session. */
  close(): void {
    this.#closed = true;
    for (const dial of this.#dials) dial.abort();
    this.#inquirer.leave();
  }

  async #answer(request: OpenRequest, asked: Target, signal: AbortSignal): Promise<void> {
    if (asked.kind === 'tcp' || asked.kind === 'path') await this.#serve(request, asked, signal);
    else if (asked.kind === 'udp') await this.#serveUdp(request, asked, signal);
    else request.refuse('unsupported', 'the far end dials only hosts and paths; update it');
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
        const { bytesWritten: bytesToTarget, bytesRead: bytesFromTarget } = socket;
        const how = outcome === 'ended' ? 'has ended' : 'was reset';
        this.#logger.log('debug', `the connection to a target ${how}`, {
          ...fields,
          bytesToTarget,
          bytesFromTarget,
        });
      },
    });
    request.reached = socket.remoteAddress;
    stream = this.#join(request, pipe, target, fields);
    if (stream !== undefined) pipe.flow();
  }

  async #serveUdp(request: OpenRequest, asked: UdpTarget, signal: AbortSignal): Promise<void> {
    const result = await this.#dialer.dialUdp(asked, signal);
    const fields = { peer: this.#peer, target: `${shownEndpoint(asked)} over UDP` };
    if (result.kind === 'failed') {
      this.#refuse(request, result, fields);
      return;
    }
    let stream: MuxStream | undefined;
    const target = new OpenTarget(asked, result.address.text, 'udp', () => this.#cut(pipe, stream, fields));
    const pipe = new UdpPipe(result.socket, {
      timers: this.#timers,
      idleMs: OPENERS_IDLE_TIMES * this.#udpIdleMs,
      onOver: (outcome) => {
        this.#open.delete(target);
        const { sent, received, dropped } = pipe;
        const counts = { datagramsToTarget: sent, datagramsFromTarget: received, dropped };
        this.#logger.log('debug', `the datagrams to a target have ended: ${outcome}`, {
          ...fields,
          ...counts,
        });
      },
    });
    if (signal.aborted) {
      pipe.abort();
      request.refuse('cancelled', 'no longer wanted');
      return;
    }
    request.reached = result.address.text;
    stream = this.#join(request, pipe, target, fields);
  }

  /**
   * Joins the dialled socket to the stream.
   *
   * @returns undefined when the rules have changed during the dial
   */
  #join(
    request: OpenRequest,
    pipe: Pipe | UdpPipe,
    target: OpenTarget,
    fields: LogFields & { readonly target: string },
  ): MuxStream | undefined {
    if (!target.isPermitted(this.#rules, this.#isOwn ?? ownAddresses())) {
      pipe.abort();
      const text = `${fields.target} is no longer exposed`;
      this.#denials.denied(text, fields);
      request.refuse('not-allowed', text);
      return undefined;
    }
    const stream = accept(request, pipe);
    this.#opened++;
    this.#open.add(target);
    this.#logger.log('debug', 'connected to a target', fields);
    return stream;
  }

  #refuse(request: OpenRequest, { reason, text }: DialFailure, fields: LogFields): void {
    if (reason === 'not-allowed') {
      this.#denials.denied(text, fields);
    } else {
      if (reason === 'limit') this.#limited++;
      else this.#failed++;
      this.#logger.log('debug', 'cannot connect to a target', { ...fields, reason });
    }
    request.refuse(reason, text);
  }

  #cut(pipe: { abort(): void }, stream: MuxStream | undefined, fields: LogFields): void {
    this.#logger.log('warn', 'cut a connection that the rules no longer allow', fields);
    stream?.reset('not-allowed');
    pipe.abort();
  }
}

function accept(request: OpenRequest, pipe: Pipe | UdpPipe): MuxStream {
  try {
    const stream = request.accept(pipe);
    pipe.attach(stream);
    return stream;
  } catch (error) {
    pipe.abort();
    throw error;
  }
}

/** A connection to a target. {@link TargetServer.recheck} asks the rules about it again. */
class OpenTarget {
  readonly #target: Endpoint;
  /** The address of the actual connection. */
  readonly #address: string;
  readonly #protocol: Protocol;
  readonly #cut: () => void;

  /**
   * @param address the address of the actual connection; '' for a path
   * @param cut ends the connection and its stream at once
   */
  constructor(target: Endpoint, address: string, protocol: Protocol, cut: () => void) {
    this.#target = target;
    this.#address = address;
    this.#protocol = protocol;
    this.#cut = cut;
  }

  isPermitted(rules: TargetRules, isOwn: (address: IpAddress) => boolean): boolean {
    if (isPath(this.#target)) {
      const path = readSocketPath(this.#target.path);
      return typeof path !== 'string' && rules.permitsPath(path.path);
    }
    const host = readHost(this.#target.host);
    const address = parseAddress(this.#address);
    return (
      typeof host !== 'string' &&
      address !== undefined &&
      rules.permits(host, address, this.#target.port, this.#protocol, isOwn)
    );
  }

  cut(): void {
    this.#cut();
  }
}

function shownEndpoint(asked: Endpoint): string {
  return isPath(asked) ? shown(asked.path) : `${shown(asked.host)} port ${asked.port}`;
}
