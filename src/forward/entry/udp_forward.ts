import type { RemoteInfo, Socket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { systemTimers, type Timers } from '../../core/clock.js';
import { MAX_UDP_CLIENTS, UDP_IDLE_MS } from '../../core/limits.js';
import { type Logger, silentLogger } from '../../core/logger.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { type HostPort, printHostPort } from '../../rules/endpoint.js';
import type { UdpSpec } from '../../rules/forward_spec.js';
import { boundAddress } from '../bound_address.js';
import { StreamGate, type StreamGateOptions, type StreamWish } from '../stream_gate.js';
import type { StreamOpener } from '../stream_opener.js';
import { bindUdp, hasRoom } from '../udp_socket.js';
import { closedEarly, listenError } from './listen_error.js';
import type { LocalForwardEvents } from './local.js';
import { warnWhenPublic } from './public_bind.js';
import { UdpClient } from './udp_client.js';

export interface UdpForwardOptions extends StreamGateOptions {
  readonly spec: UdpSpec;
  /** Default: silent. */
  readonly logger?: Logger;
  /** Milliseconds of silence after which a client is forgotten. Default: {@link UDP_IDLE_MS}. */
  readonly idleMs?: number;
  /** Clients at once. Default: {@link MAX_UDP_CLIENTS}. */
  readonly maxClients?: number;
}

/**
 * A forward of UDP datagrams: a stream to the target for each client, as a NAT has a mapping for each. Datagrams
 * of a client go to the target, and what comes from there goes back to that client. Any may get lost.
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
  #state: 'new' | 'listening' | 'closed' = 'new';
  /** Datagrams for clients that the socket had no room for. */
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

  /** Clients that are known now. */
  get clients(): number {
    return this.#clients.size;
  }

  /**
   * Starts to take datagrams; to be called once.
   *
   * @returns where, with the port that was picked for port 0
   * @throws {TunnelError} ERR_LISTEN, with the address and what to do; ERR_CLOSED when closed meanwhile
   */
  async listen(): Promise<HostPort> {
    if (this.#state !== 'new') throw closedEarly();
    const { bind, target } = this.#spec;
    let socket: Socket;
    try {
      socket = await bindUdp(bind);
    } catch (error) {
      this.#state = 'closed';
      throw listenError(bind, target, error, '--udp-forward');
    }
    if (this.#isClosed()) {
      socket.close();
      throw closedEarly();
    }
    this.#socket = socket;
    this.#state = 'listening';
    socket.on('message', (datagram, from) => this.#onDatagram(socket, datagram, from));
    const local = boundAddress(socket, bind);
    warnWhenPublic(local, this.#logger);
    this.emit('listening', local);
    return local;
  }

  /** The session to open streams in from now on; undefined while there is none. */
  setSession(session: StreamOpener | undefined): void {
    this.#gate.setSession(session);
  }

  /** Takes and gives no more, and forgets its clients. */
  close(): void {
    if (this.#state === 'closed') return;
    this.#state = 'closed';
    this.#gate.close();
    for (const client of [...this.#clients.values()]) client.end();
    this.#socket?.close();
    this.emit('closed');
  }

  /** As TypeScript does not expect a property to change while something is waited for. */
  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #onDatagram(socket: Socket, datagram: Uint8Array, { address, port }: RemoteInfo): void {
    // Nobody can be answered there, and to try would throw.
    if (port === 0) return;
    const key = `${address} ${port}`;
    let client = this.#clients.get(key);
    if (client === undefined) client = this.#newClient(socket, key, { host: address, port });
    client?.send(datagram);
  }

  /** Undefined when a handler has closed the forward. */
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
