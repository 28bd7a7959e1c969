import { EventEmitter } from 'node:events';
import { createServer, type Server, type Socket } from 'node:net';
import { systemTimers, Timer, type Timers } from '../../core/clock.js';
import { type DescriptorShare, unboundedShare } from '../../core/descriptors.js';
import { MAX_WAITING_CONNECTIONS } from '../../core/limits.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { ProxyCredentials } from '../../core/proxy.js';
import type { StreamOpener } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import type { Bind } from '../../rules/forward_spec.js';
import { closedEarly, listenBeside, listenOn, warnWhenPublic } from '../listen.js';
import { ProxyClient } from '../proxy/proxy_client.js';
import { type Authorize, authorizer } from '../proxy/proxy_handshake.js';
import { StreamGate, type StreamGateOptions } from '../stream_gate.js';
import { type CreateServer, resetSocket, TCP_OPTIONS, turnAway } from '../tcp_socket.js';
import type { RefusedConnection } from './local.js';

export interface DynamicForwardOptions extends StreamGateOptions {
  readonly bind: Bind;
  /** User name and password that clients must give. Default: none. */
  readonly credentials?: ProxyCredentials;
  /** File descriptors for clients. Default: unlimited. */
  readonly descriptors?: DescriptorShare;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Default: `createServer` of `node:net`. */
  readonly createServer?: CreateServer | undefined;
  /** How many clients may be in their handshake at once. Further ones wait, unread. Default: 128. */
  readonly maxHalfOpen?: number;
}

export interface DynamicForwardEvents {
  /** @param from the client's address; undefined for a client that is already gone */
  connection: [from: HostPort | undefined];
  refused: [refused: RefusedConnection];
}

const MAX_HALF_OPEN = 128;
/** How long a client may be silent in its handshake while others wait, in milliseconds. */
const SILENT_MS = 1_000;

/** A SOCKS5 and HTTP CONNECT proxy. The far end resolves the names and dials the targets. */
export class DynamicForward extends EventEmitter<DynamicForwardEvents> {
  readonly #bind: Bind;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #descriptors: DescriptorShare;
  readonly #gate: StreamGate;
  readonly #authorize: Authorize | undefined;
  readonly #maxHalfOpen: number;
  readonly #server: Server;
  readonly #newServer: () => Server;
  /** Listens at ::1, if {@link #server} listens at the default loopback. */
  #beside: Server | undefined;
  readonly #maxWaiting: number;
  readonly #halfOpen = new Set<ProxyClient>();
  /**
   * Accepted clients that are not read until a half-open one has left. Each has a handler for its `close`.
   */
  readonly #unread = new Map<Socket, () => void>();
  readonly #roomTimer: Timer;
  #closed = false;

  constructor(options: DynamicForwardOptions) {
    super();
    this.#bind = options.bind;
    this.#logger = options.logger ?? silentLogger;
    this.#timers = options.timers ?? systemTimers;
    this.#roomTimer = new Timer(this.#timers);
    this.#descriptors = options.descriptors ?? unboundedShare();
    this.#gate = new StreamGate(options);
    this.#authorize = options.credentials === undefined ? undefined : authorizer(options.credentials);
    this.#maxHalfOpen = options.maxHalfOpen ?? MAX_HALF_OPEN;
    this.#maxWaiting = options.maxWaiting ?? MAX_WAITING_CONNECTIONS;
    this.#newServer = () => {
      const server = (options.createServer ?? createServer)(TCP_OPTIONS);
      return server.on('connection', (socket) => this.#onConnection(socket));
    };
    this.#server = this.#newServer();
  }

  /** How many clients are in their handshake. */
  get halfOpen(): number {
    return this.#halfOpen.size;
  }

  /** How many clients wait for a place in {@link halfOpen}. */
  get unread(): number {
    return this.#unread.size;
  }

  /** How many clients wait for a session. */
  get waiting(): number {
    return this.#gate.waiting;
  }

  /**
   * Starts listening. Call it once.
   *
   * @returns where the proxy listens, with the port that the system chose for port 0
   * @throws {TunnelError} ERR_LISTEN, with the address and what to do; ERR_CLOSED when closed during the call
   */
  async listen(): Promise<HostPort> {
    if (this.#closed) throw closedEarly();
    const local = await listenOn(this.#server, { bind: this.#bind });
    const onAcceptError = (error: Error): void => {
      if (this.#descriptors.note(error)) return;
      this.#logger.log('warn', `${printHostPort(this.#bind)}: cannot accept a connection`, { error });
    };
    this.#server.on('error', onAcceptError);
    this.#beside = await listenBeside(this.#bind, local, this.#logger, async (beside) => {
      const server = this.#newServer();
      await listenOn(server, { bind: beside });
      return server.on('error', onAcceptError);
    });
    if (this.#isClosed()) {
      this.#beside?.close();
      throw closedEarly();
    }
    const remedy = this.#authorize === undefined ? '; require a password with --socks-user' : '';
    warnWhenPublic(local, this.#logger, remedy);
    return local;
  }

  /** A method, because TypeScript assumes that a property keeps its value across an `await`. */
  #isClosed(): boolean {
    return this.#closed;
  }

  /** Sets the session to open streams in; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#gate.setSession(session);
  }

  /** Listening does not keep the process running. */
  unref(): void {
    this.#server.unref();
    this.#beside?.unref();
  }

  /** Accepts no more clients, and resets those that have no stream yet. Open connections continue. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#server.close();
    this.#beside?.close();
    this.#gate.close();
    this.#roomTimer.clear();
    for (const socket of this.#unread.keys()) resetSocket(socket);
    for (const client of [...this.#halfOpen]) client.abort();
  }

  #onConnection(socket: Socket): void {
    if (!this.#descriptors.accept(socket)) {
      turnAway(socket);
      return;
    }
    const { remoteAddress: host, remotePort: port } = socket;
    this.emit('connection', host === undefined || port === undefined ? undefined : { host, port });
    if (this.#halfOpen.size < this.#maxHalfOpen) {
      this.#serve(socket);
      return;
    }
    socket.on('error', ignore);
    if (this.#unread.size >= this.#maxWaiting) {
      this.#logger.log(
        'warn',
        `proxy: turned a client away, because ${this.#maxWaiting} are already waiting`,
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
      onHandshakeOver: () => {
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

  /** Drops half-open clients that have been silent too long while others wait, the longest-silent first. */
  #makeRoom(): void {
    if (this.#roomTimer.isSet || this.#closed) return;
    while (this.#unread.size > 0) {
      const silent = this.#longestSilent();
      if (silent === undefined) return;
      const leftMs = silent.heardMs + SILENT_MS - this.#timers.nowMs();
      if (leftMs > 0) {
        this.#roomTimer.set(leftMs, () => this.#makeRoom());
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
