import type { RemoteInfo, Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { systemTimers, type Timers } from '../../core/clock.js';
import { MAX_UDP_CLIENTS, UDP_IDLE_MS } from '../../core/limits.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { StreamOpener } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import type { UdpSpec } from '../../rules/forward_spec.js';
import { boundAddress, closedEarly, listenBeside, listenError, warnWhenPublic } from '../listen.js';
import { StreamGate, type StreamGateOptions, type StreamWish } from '../stream_gate.js';
import { UdpClient } from '../udp_client.js';
import { bindUdp, hasRoom } from '../udp_socket.js';
import type { LocalForwardEvents } from './local.js';

export interface UdpForwardOptions extends StreamGateOptions {
  readonly spec: UdpSpec;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Idle time after which a client is forgotten, in milliseconds. Default: {@link UDP_IDLE_MS}. */
  readonly idleMs?: number;
  /**
   * How many clients are served at once. Beyond that, the longest-idle one is dropped. Default:
   * {@link MAX_UDP_CLIENTS}.
   */
  readonly maxClients?: number;
}

/**
 * A UDP forward: opens one stream to the target for each client, as a NAT keeps one mapping for each. The
 * target's datagrams go back to the client whose stream they arrive on. Any datagram may be lost.
 */
export class UdpForward extends EventEmitter<LocalForwardEvents> {
  readonly #spec: UdpSpec;
  readonly #logger: Logger;
  readonly #timers: Timers;
  readonly #gate: StreamGate;
  readonly #idleMs: number;
  readonly #maxClients: number;
  readonly #clients = new Map<string, UdpClient>();
  #socket: Socket | undefined;
  /** Bound to ::1, if {@link #socket} is bound to the default loopback. */
  #beside: Socket | undefined;
  #state: 'new' | 'listening' | 'closed' = 'new';
  /** Datagrams for clients that were dropped because the socket had no room. */
  dropped = 0;

  constructor(options: UdpForwardOptions) {
    super();
    this.#spec = options.spec;
    this.#logger = options.logger ?? silentLogger;
    this.#timers = options.timers ?? systemTimers;
    this.#gate = new StreamGate(options);
    this.#idleMs = options.idleMs ?? UDP_IDLE_MS;
    this.#maxClients = options.maxClients ?? MAX_UDP_CLIENTS;
  }

  /** How many clients are served now. */
  get clients(): number {
    return this.#clients.size;
  }

  /**
   * Starts taking datagrams. Call it once.
   *
   * @returns where the forward listens, with the port that the system chose for port 0
   * @throws {TunnelError} ERR_LISTEN, with the address and what to do; ERR_CLOSED when closed during the call
   */
  async listen(): Promise<HostPort> {
    if (this.#state !== 'new') throw closedEarly();
    const { bind, target } = this.#spec;
    let socket: Socket;
    try {
      socket = await bindUdp(bind);
    } catch (error) {
      this.#state = 'closed';
      throw listenError({ bind, target }, error);
    }
    if (this.#isClosed()) {
      socket.close();
      throw closedEarly();
    }
    this.#socket = socket;
    this.#take(socket);
    const local = boundAddress(socket, bind);
    const beside = await listenBeside(bind, local, this.#logger, bindUdp);
    if (this.#isClosed()) {
      beside?.close();
      throw closedEarly();
    }
    this.#state = 'listening';
    this.#beside = beside;
    if (beside !== undefined) this.#take(beside);
    warnWhenPublic(local, this.#logger);
    this.emit('listening', local);
    return local;
  }

  #take(socket: Socket): void {
    socket.on('message', (datagram, from) => this.#onDatagram(socket, datagram, from));
  }

  /** Sets the session to open streams in; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#gate.setSession(session);
  }

  /** Listening does not keep the process running. */
  unref(): void {
    this.#socket?.unref();
    this.#beside?.unref();
  }

  /** Closes the socket and resets the streams of all clients. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#gate.close();
    for (const client of [...this.#clients.values()]) client.end();
    this.#socket?.close();
    this.#beside?.close();
    this.emit('closed');
  }

  /** A method, because TypeScript assumes that a property keeps its value across an `await`. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #onDatagram(socket: Socket, datagram: Uint8Array, { address, port }: RemoteInfo): void {
    // No answer could go there: sending to port 0 throws.
    if (port === 0) return;
    const key = `${address} ${port}`;
    let client = this.#clients.get(key);
    if (client === undefined) client = this.#newClient(socket, key, { host: address, port });
    client?.send(datagram);
  }

  /** Returns undefined when an event handler has closed the forward. */
  #newClient(socket: Socket, key: string, address: HostPort): UdpClient | undefined {
    if (this.#clients.size >= this.#maxClients) this.#longestSilent()?.end();
    this.emit('connection', address);
    if (this.#isClosed()) return undefined;
    const client: UdpClient = new UdpClient(address, {
      timers: this.#timers,
      idleMs: this.#idleMs,
      deliver: (datagram) => {
        if (hasRoom(socket)) socket.send(datagram, address.port, address.host);
        else this.dropped++;
      },
      onRefused: (reason, text) => this.#refuse(reason, text),
      onOver: () => {
        this.#gate.forget(wish);
        this.#clients.delete(key);
      },
    });
    const wish: StreamWish = {
      target: { kind: 'udp', ...this.#spec.target },
      handlers: client,
      onAsked: (stream) => client.attach(stream),
    };
    this.#clients.set(key, client);
    this.#gate.open(wish);
    return client;
  }

  #longestSilent(): UdpClient | undefined {
    let found: UdpClient | undefined;
    for (const client of this.#clients.values()) {
      if (found === undefined || client.touchedMs < found.touchedMs) found = client;
    }
    return found;
  }

  #refuse(reason: Reason, text: string): void {
    const { target } = this.#spec;
    const detail = text === '' ? '' : ` (${text})`;
    this.#logger.log('warn', `no datagrams to ${printHostPort(target)}: ${reason}${detail}`);
    this.emit('refused', { target, reason, text });
  }
}
