import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { systemTimers, type TimerHandle, type Timers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { MAX_WAITING_CONNECTIONS } from '../../core/limits.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { ProxyCredentials } from '../../core/proxy.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import { boundAddress } from '../bound_address.js';
import { authorizer } from '../proxy/credentials.js';
import { ProxyClient } from '../proxy/proxy_client.js';
import type { Authorize } from '../proxy/proxy_handshake.js';
import { resetSocket, turnAway } from '../reset_socket.js';
import { StreamGate, type StreamGateOptions } from '../stream_gate.js';
import type { StreamOpener } from '../stream_opener.js';
import { TCP_OPTIONS } from '../tcp_options.js';
import { bindError, closedEarly } from './listen_error.js';
import type { RefusedConnection } from './local.js';
import { warnWhenPublic } from './public_bind.js';

export interface DynamicForwardOptions extends StreamGateOptions {
  readonly bind: HostPort;
  /** What clients must name. Default: nobody is asked. */
  readonly credentials?: ProxyCredentials;
  /** What clients may use. Default: no bound. */
  readonly descriptors?: DescriptorShare;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Clients at once that have not yet said what they want; further ones wait, unread. Default 128. */
  readonly maxHalfOpen?: number;
}

export interface DynamicForwardEvents {
  refused: [refusal: RefusedConnection];
}

const MAX_HALF_OPEN = 128;
/** How long a client in the handshake may be silent while others wait, in milliseconds. */
const SILENT_MS = 1_000;

/** A SOCKS5 and HTTP CONNECT proxy whose targets the far end dials, names and all. */
export class DynamicForward extends EventEmitter<DynamicForwardEvents> {
  readonly #bind: HostPort;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #descriptors: DescriptorShare;
  readonly #gate: StreamGate;
  readonly #authorize: Authorize | undefined;
  readonly #maxHalfOpen: number;
  readonly #server: Server;
  readonly #maxWaiting: number;
  readonly #halfOpen = new Set<ProxyClient>();
  /** Accepted, and not read before a half-open client has left. Each with what forgets it when it closes. */
  readonly #unread = new Map<Socket, () => void>();
  #roomTimer: TimerHandle | undefined;
  #closed = false;

  constructor(options: DynamicForwardOptions) {
    super();
    this.#bind = options.bind;
    this.#logger = options.logger ?? silentLogger;
    this.#timers = options.timers ?? systemTimers;
    this.#descriptors = options.descriptors ?? unboundedShare();
    this.#gate = new StreamGate(options);
    this.#authorize = options.credentials === undefined ? undefined : authorizer(options.credentials);
    this.#maxHalfOpen = options.maxHalfOpen ?? MAX_HALF_OPEN;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING_CONNECTIONS;
    this.#server = createServer(TCP_OPTIONS);
    this.#server.on('connection', (socket) => this.#onConnection(socket));
  }

  /** Clients that have not yet said what they want. */
  get halfOpen(): number {
    return this.#halfOpen.size;
  }

  /** Clients that wait until fewer are half-open. */
  get unread(): number {
    return this.#unread.size;
  }

  /** Clients that wait for a session. */
  get waiting(): number {
    return this.#gate.waiting;
  }

  /**
   * Starts to listen; to be called once.
   *
   * @returns where, with the port that was picked for port 0
   * @throws {TunnelError} ERR_LISTEN, with the address and what to do; ERR_CLOSED when closed meanwhile
   */
  listen(): Promise<HostPort> {
    return new Promise((resolve, reject) => {
      const server = this.#server;
      server.once('error', (error) => reject(bindError('-D', this.#bind, error)));
      server.listen({ host: this.#bind.host, port: this.#bind.port }, () => {
        if (this.#closed) {
          server.close();
          reject(closedEarly());
          return;
        }
        server.removeAllListeners('error').on('error', (error) => {
          if (this.#descriptors.note(error)) return;
          this.#logger.log('warn', `${printHostPort(this.#bind)}: a connection could not be accepted`, {
            error,
          });
        });
        const local = boundAddress(server, this.#bind);
        const remedy = this.#authorize === undefined ? '; ask for a password with --socks-user' : '';
        warnWhenPublic(local, this.#logger, remedy);
        resolve(local);
      });
    });
  }

  /** The session to open streams in from now on; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#gate.setSession(session);
  }

  /** Accepts no more, and resets who has no stream yet. Open connections go on. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    this.#gate.close();
    if (this.#roomTimer !== undefined) this.#timers.clear(this.#roomTimer);
    for (const socket of this.#unread.keys()) resetSocket(socket);
    for (const client of [...this.#halfOpen]) client.abort();
  }

  #onConnection(socket: Socket): void {
    if (!this.#descriptors.accept(socket)) {
      turnAway(socket);
      return;
    }
    if (this.#halfOpen.size < this.#maxHalfOpen) {
      this.#serve(socket);
      return;
    }
    socket.on('error', ignore);
    if (this.#unread.size >= this.#maxWaiting) {
      this.#logger.log(
        'warn',
        `${this.#maxWaiting} clients of the proxy wait already: one more is turned away`,
      );
      resetSocket(socket);
      return;
    }
    const forget = (): void => void this.#unread.delete(socket);
    this.#unread.set(socket, forget);
    socket.on('close', forget);
    this.#makeRoom();
  }

  #serve(socket: Socket): void {
    const { remoteAddress = 'a client' } = socket;
    const client: ProxyClient = new ProxyClient({
      socket,
      gate: this.#gate,
      timers: this.#timers,
      authorize: this.#authorize,
      onAsked: () => {
        this.#halfOpen.delete(client);
        this.#serveNext();
      },
      onRefused: (target, reason, text) => this.#refused(target, reason, text),
      onFailed: (why) => this.#logger.log('info', `proxy: ${remoteAddress}: ${why}`),
    });
    this.#halfOpen.add(client);
  }

  #serveNext(): void {
    for (const [socket, forget] of this.#unread) {
      if (this.#closed || this.#halfOpen.size >= this.#maxHalfOpen) return;
      this.#unread.delete(socket);
      socket.off('error', ignore).off('close', forget);
      this.#serve(socket);
    }
  }

  /** While others wait, drops the clients that have been silent too long, the longest-silent first. */
  #makeRoom(): void {
    if (this.#roomTimer !== undefined || this.#closed) return;
    while (this.#unread.size > 0) {
      const silent = this.#longestSilent();
      if (silent === undefined) return;
      const leftMs = silent.heardMs + SILENT_MS - this.#timers.nowMs();
      if (leftMs > 0) {
        this.#roomTimer = this.#timers.set(() => {
          this.#roomTimer = undefined;
          this.#makeRoom();
        }, leftMs);
        return;
      }
      this.#halfOpen.delete(silent);
      this.#logger.log(
        'info',
        `proxy: dropped a client that was silent for ${SILENT_MS / 1000} s while others waited`,
      );
      silent.abort();
      this.#serveNext();
    }
  }

  #longestSilent(): ProxyClient | undefined {
    let silent: ProxyClient | undefined;
    for (const client of this.#halfOpen) {
      if (silent === undefined || client.heardMs < silent.heardMs) silent = client;
    }
    return silent;
  }

  #refused(target: HostPort, reason: Reason, text: string): void {
    const detail = text === '' ? '' : ` (${text})`;
    this.#logger.log('warn', `no connection to ${printHostPort(target)}: ${reason}${detail}`);
    this.emit('refused', { target, reason, text });
  }
}

function ignore(): void {
  // `close` follows.
}
