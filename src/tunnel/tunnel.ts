import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type { NodeHealth, SeenAddress, TcpConnections } from '../bridge/contract.js';
import { ToxNode } from '../bridge/tox_node.js';
import { isAborted, onAbort, throwIfAborted, withDeadline } from '../core/aborting.js';
import type { Timers } from '../core/clock.js';
import { type DescriptorBudget, Descriptors, filePlan } from '../core/descriptors.js';
import type { TunnelError } from '../core/errors.js';
import { DEFAULT_PATIENCE_MS, MAX_STREAMS_PER_PEER } from '../core/limits.js';
import { type Logger, silentLogger } from '../core/logger.js';
import { type Limits, limitsOf } from '../core/peer_limits.js';
import type { ReturnCode } from '../core/return_codes.js';
import { NOSPAM_BYTES, type Path, PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import type { TunnelStream } from '../forward/stream/tunnel_stream.js';
import { type KnownPlace, KnownPlaces } from '../network/known_places.js';
import { formatToxId } from '../network/tox_id.js';
import type { PeerInfo } from '../peer/peer_info.js';
import type { PeerContext } from '../peer/peer_life.js';
import { PeerRates } from '../peer/peer_rates.js';
import type { CloseDeadline } from '../peer/peer_session.js';
import type { Traffic } from '../peer/traffic.js';
import { type Identity, identityOf } from '../state/identity.js';
import type { PeerChange, TunnelEvents } from './events.js';
import type { Machine } from './machine.js';
import type { Abortable, CloseOptions, Ports } from './options.js';
import { type CheckedTunnelOptions, closeOptions, signalOf } from './read_options.js';

/** What all streams of a tunnel have carried so far. */
export type TunnelStats = Traffic;

/** Our UDP socket, and what other nodes see of it. */
export interface SeenAddresses {
  /** 0 without UDP. */
  readonly udpPort: number;
  readonly seen: readonly SeenAddress[];
}

/**
 * A peer's ratio to free descriptors: a single peer may hold three quarters, and the next peer always finds
 * some.
 */
export const PEER_RATIO_TO_FREE = 3;
/**
 * Limits for one address: half of the descriptors, and half of a session's streams. A load balancer has one
 * address.
 */
export const VISITORS = { ratioToFree: 1, most: MAX_STREAMS_PER_PEER / 2 } as const;

/** How long a graceful close may take, in milliseconds. */
const CLOSE_TIMEOUT_MS = 5_000;
/** How often to check whether everything is on its way. */
const DRAIN_POLL_MS = 10;

/** The longest delay of a timer in Node.js, in milliseconds. A timer set for longer fires at once. */
const MAX_TIMER_MS = 2 ** 31 - 1;

/** What a listener and a connector share: a Tox node with friends. */
export abstract class Tunnel extends EventEmitter<TunnelEvents> {
  /** The Tox ID, 76 hexadecimal digits. */
  readonly toxId: string;
  protected readonly node: ToxNode;
  protected readonly machine: Machine;
  protected readonly timers: Timers;
  protected readonly logger: Logger;
  protected readonly patienceMs: number;
  protected readonly limits: Limits;
  protected readonly knownPlaces: KnownPlaces;
  /** File descriptors for the connections of this tunnel's peers and forwards. */
  protected readonly descriptors: Descriptors;
  readonly #forgetSignal: () => void;
  readonly #identity: Identity;
  readonly #rates: PeerRates;
  #closing: Promise<void> | undefined;
  /** Aborted when nothing more is to be delivered. */
  readonly #cutting = new AbortController();
  /** The open streams of this program, and whether the peer of each is there. */
  readonly #streams = new Map<TunnelStream, () => boolean>();
  #ready = false;
  #networkPath: Path = 'none';

  protected constructor(node: ToxNode, options: CheckedTunnelOptions, machine: Machine) {
    super();
    this.node = node;
    this.machine = machine;
    this.timers = machine.timers;
    this.logger = options.logger ?? silentLogger;
    this.limits = limitsOf(options.limits);
    this.#rates = new PeerRates(this.limits);
    this.descriptors = new Descriptors(machine.descriptors, this.logger, this.timers);
    this.patienceMs = Math.min(options.patienceMs ?? DEFAULT_PATIENCE_MS, MAX_TIMER_MS);
    const { address } = node.started;
    this.toxId = formatToxId(address);
    this.#identity = identityOf(
      node.secretKey,
      address.slice(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES + NOSPAM_BYTES),
    );
    this.knownPlaces = new KnownPlaces({
      given: options.places ?? [],
      wallMs: () => machine.wallMs(),
      onChange: () => {
        if (this.#closing === undefined) this.emit('places');
      },
    });
    node.on('path', (path) => this.#onPath(path));
    node.on('friendPlace', (place) => this.knownPlaces.met(place));
    node.on('waiting', (message) => this.tellWaiting(message));
    node.on('fatal', (error) => this.fail(error));
    const close = (): void => void this.close({ drain: false });
    this.#forgetSignal = onAbort(options.signal, close);
    // Nobody listened to the signal between the node's start and this line.
    if (isAborted(options.signal)) close();
  }

  /**
   * Delivers what was written to streams and connections, for {@link CloseOptions.timeoutMs} at most, then cuts
   * them and leaves the network. Streams that have ended in our direction may still get their answer. Accepts and dials
   * nothing more from the start. Peers that are away get nothing more. Safe to call again, also to cut short an earlier call: `close({ drain: false })`.
   *
   * @throws {TunnelError} ERR_ARGUMENT_INVALID; nothing else
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { drain = true, timeoutMs = CLOSE_TIMEOUT_MS } = closeOptions(options, 'close()');
    if (!drain) this.#cutting.abort();
    this.#closing ??= this.#close(this.timers.nowMs() + timeoutMs);
    await this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** Save it to keep the Tox ID. It holds the secret key, but prints none. */
  get identity(): Identity {
    return this.#identity;
  }

  /** What `console.log` shows: no keys, no secrets. */
  [inspect.custom](_depth: number, options: object): string {
    return `${this.constructor.name} ${inspect(this.toJSON(), options)}`;
  }

  /** Safe to log. */
  toJSON() {
    return {
      toxId: this.toxId,
      networkPath: this.#networkPath,
      closed: this.#closing !== undefined,
      peers: this.peers().length,
    };
  }

  /** This node's own connection to the network: UDP, TCP relays only, or none. */
  get networkPath(): Path {
    return this.#networkPath;
  }

  /** What strangers could use up, as of some seconds ago. */
  get health(): NodeHealth {
    return this.node.health;
  }

  /** Where peers were last reached. Give it to the next run as `places`; keep it as private as an address book. */
  get places(): readonly KnownPlace[] {
    return this.knownPlaces.list;
  }

  abstract stats(): TunnelStats;

  /**
   * Returns how many UDP datagrams the node itself has received and sent; both 0 without UDP.
   *
   * @throws {TunnelError} ERR_CLOSED, also when aborted; ERR_WORKER_DIED
   */
  async datagrams(options: Abortable = {}): Promise<{ readonly received: number; readonly sent: number }> {
    const signal = signalOf(options, 'datagrams()');
    throwIfAborted(signal);
    const { datagramsIn, datagramsOut } = await withDeadline(this.node.worker.stats(), { signal });
    return { received: datagramsIn, sent: datagramsOut };
  }

  /**
   * Returns our UDP port, and the addresses at which other nodes see it. They show the kind of NAT in
   * between. Nodes that have not said yet are asked, so the first answers may be empty.
   *
   * @throws {TunnelError} ERR_CLOSED, ERR_WORKER_DIED
   */
  async seenAddresses(): Promise<SeenAddresses> {
    return { udpPort: this.node.started.udpPort, seen: await this.node.worker.seenAddresses() };
  }

  /** Returns the state of every peer. */
  abstract peers(): PeerInfo[];

  /** Returns a function that tells whether all that was written so far is on its way to the peers that are there. */
  protected abstract sendMark(): () => boolean;

  /** Sends BYE to all peers and closes what belongs to them. @param deadline undefined to wait for a moment only */
  protected abstract closePeers(deadline: CloseDeadline | undefined): Promise<void>;

  /** The tunnel begins to close. */
  protected stopAccepting(): void {}

  /**
   * Remembers a stream until it closes, to deliver what was written to it.
   *
   * @param isReachable tells whether its peer is there
   */
  protected follow(stream: TunnelStream, isReachable: () => boolean): void {
    this.#streams.set(stream, isReachable);
    stream.once('close', () => this.#streams.delete(stream));
  }

  protected isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Starts a Tox node and passes it to `make`. When `make` throws, the node is closed, so that no
   * worker stays behind.
   *
   * @param needs `ports`: UDP ports when the options name none, by default 33445 to 33545, then any. `channels`:
   *   peers that may be connected at once
   */
  protected static async startWith<Made>(
    options: CheckedTunnelOptions,
    { ports, channels }: { readonly ports: Ports | undefined; readonly channels: number },
    machine: Machine,
    make: (node: ToxNode) => Made,
  ): Promise<Made> {
    throwIfAborted(options.signal);
    const { identity } = options;
    const node = await ToxNode.start({
      start: {
        kind: 'tunnel',
        udp: options.udp ?? true,
        lanDiscovery: options.lanDiscovery ?? true,
        tcpConnections: relayConnections(machine.descriptors),
        ...(identity === undefined ? {} : { secretKey: identity.secretKey, nospam: identity.nospam }),
        ...udpPortsOf(options.udpPorts ?? ports),
        ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
        ...(options.bindAddress === undefined ? {} : { bindAddress: options.bindAddress }),
      },
      bootstrap: options.bootstrap ?? [],
      channels,
      timers: machine.timers,
      logger: options.logger ?? silentLogger,
      files: options.files,
      budget: machine.descriptors,
      ...(machine.spawn === undefined ? {} : { spawn: machine.spawn }),
    });
    try {
      // The signal may have aborted during the wait.
      throwIfAborted(options.signal);
      return make(node);
    } catch (error) {
      await node.close();
      throw error;
    }
  }

  /** The tunnel cannot continue: emits `error` and closes. */
  protected fail(error: TunnelError): void {
    if (this.#closing !== undefined) {
      this.#cutting.abort();
      return;
    }
    void this.close({ drain: false });
    this.emit('error', error);
  }

  /** Knocks at places where peers were last reached. @param publicKey only this peer's; default: all */
  protected knock(publicKey?: string): void {
    const guesses = this.knownPlaces.guesses(publicKey);
    // Only a node that is gone rejects, and the node reports that itself.
    if (guesses.length > 0) this.node.worker.knock(guesses).catch(() => {});
  }

  protected peerContext(): PeerContext {
    const { node, timers, machine, logger, limits, patienceMs } = this;
    const rates = this.#rates;
    const { randomBytes, received } = machine;
    return { node, timers, randomBytes, received, logger, limits, rates, patienceMs };
  }

  protected tellWaiting(message: string): void {
    if (this.#closing === undefined) this.emit('waiting', { message });
  }

  protected tellCode(publicKey: string, code: ReturnCode, detail?: string): void {
    if (this.#closing !== undefined) return;
    this.emit('code', { code, peer: publicKey, ...(detail === undefined ? {} : { detail }) });
  }

  protected tellStatus(publicKey: string, status: PeerChange['status'], path: Path): void {
    const code = status === 'online' ? 301 : 302;
    this.emit('code', { code, peer: publicKey });
    this.emit('peer', { status, path, code, publicKey });
  }

  protected tellRoundTrip(publicKey: string, path: Path, roundTripMs: number): void {
    if (this.#closing !== undefined) return;
    this.emit('peer', { status: 'online', path, code: 301, publicKey, roundTripMs });
  }

  #onPath(path: Path): void {
    this.#networkPath = path;
    this.logger.log('info', path === 'none' ? 'left the network' : 'joined the network', { path });
    if (this.#closing === undefined) this.emit('network', { path });
    if (path === 'none' || this.#ready || this.#closing !== undefined) return;
    this.#ready = true;
    this.emit('ready', { toxId: this.toxId });
  }

  /** Waits until the peers that are there have got what was written so far, as far as the deadline allows. */
  async #drain(deadline: CloseDeadline): Promise<void> {
    this.stopAccepting();
    const streams = [...this.#streams].map(([stream, isReachable]) => handedOver(stream, isReachable));
    await this.#until(() => streams.every((isDone) => isDone()), deadline);
    await this.#until(this.sendMark(), deadline);
  }

  async #until(isDone: () => boolean, { atMs, signal }: CloseDeadline): Promise<void> {
    while (!signal.aborted && !isDone() && this.timers.nowMs() < atMs)
      await new Promise<void>((resolve) => this.timers.set(resolve, DRAIN_POLL_MS));
  }

  async #close(atMs: number): Promise<void> {
    this.#forgetSignal();
    const { signal } = this.#cutting;
    const deadline = { atMs, signal };
    try {
      await this.#drain(deadline).finally(() => this.closePeers(signal.aborted ? undefined : deadline));
    } catch (error) {
      // An event handler threw. That is the program's bug and stays an uncaught exception. But it must
      // not keep the worker alive, and must not reject here, where nobody may be waiting.
      setImmediate(() => {
        throw error;
      });
    }
    await this.node.close();
    this.descriptors.flush();
  }
}

/**
 * Returns a function that tells whether what was written to a stream so far is with its session. So it is when the
 * stream is destroyed or its peer is away.
 */
function handedOver(stream: TunnelStream, isReachable: () => boolean): () => boolean {
  const { bytesWritten, writableEnded } = stream;
  const hasAll = (): boolean =>
    writableEnded ? stream.writableFinished : stream.bytesWritten - stream.writableLength >= bytesWritten;
  return () => stream.destroyed || !isReachable() || hasAll();
}

/** Limits the relay connections of a tunnel's node. They use the node's own files, not the budget. */
function relayConnections({ limit }: DescriptorBudget): TcpConnections {
  return { most: filePlan(limit).relays, fileLimit: limit };
}

const udpPortsOf = (ports: Ports | undefined): { udpPorts?: Ports } =>
  ports === undefined ? {} : { udpPorts: ports };
