import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type { ToxNode, ToxNodeEvents } from '../bridge/tox_node.js';
import { onAbort } from '../core/aborting.js';
import type { Timers } from '../core/clock.js';
import type { Descriptors } from '../core/descriptors.js';
import { isolated, type TunnelError } from '../core/errors.js';
import { DEFAULT_PATIENCE_MS, MAX_STREAMS_PER_PEER } from '../core/limits.js';
import type { Logger } from '../core/logger.js';
import { type Limits, limitsOf } from '../core/peer_limits.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { Path } from '../core/tox_network.js';
import type { TunnelStream } from '../forward/stream/tunnel_stream.js';
import type { KnownPlaces } from '../network/known_places.js';
import type { PeerInfo } from '../peer/peer_info.js';
import type { PeerContext } from '../peer/peer_life.js';
import { PeerRates } from '../peer/peer_rates.js';
import type { CloseDeadline } from '../peer/peer_session.js';
import type { Traffic } from '../peer/traffic.js';
import type { Identity } from '../state/identity.js';
import type { PeerChange, TunnelEvents } from './events.js';
import type { Machine } from './machine.js';
import type { NetworkNode, NodeParts, NodeRole } from './network_node.js';
import type { Abortable, CloseOptions } from './options.js';
import { Presence, type State } from './presence.js';
import { type CheckedRoleOptions, closeOptions, signalOf } from './read_options.js';

/** What all streams of a tunnel have carried so far. */
export type TunnelStats = Traffic;

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

/** The node that a listener or a connector runs on. */
export interface TunnelHost {
  readonly node: NetworkNode;
  readonly parts: NodeParts;
  /** Whether the node closes with the tunnel. */
  readonly isOwned: boolean;
  /** Adds the tunnel to the node. @returns a function that removes it */
  join(role: NodeRole): () => void;
}

/** What a listener and a connector share. */
export abstract class Tunnel extends EventEmitter<TunnelEvents> {
  /** The Tox node that it runs on. */
  readonly node: NetworkNode;
  protected readonly tox: ToxNode;
  protected readonly machine: Machine;
  protected readonly timers: Timers;
  protected readonly logger: Logger;
  protected readonly patienceMs: number;
  protected readonly limits: Limits;
  protected readonly knownPlaces: KnownPlaces;
  /** File descriptors for the connections of this tunnel's peers and forwards. */
  protected readonly descriptors: Descriptors;
  protected readonly presence: Presence;
  readonly #isOwner: boolean;
  readonly #leaveNode: () => void;
  readonly #forgetSignal: () => void;
  /** Stops listening to the node. */
  readonly #forgetNode: (() => void)[] = [];
  readonly #rates: PeerRates;
  #closing: Promise<void> | undefined;
  /** Resolves when nothing of it is left on the node, which may close then. */
  readonly #left: Promise<void>;
  #tellLeft: () => void = () => {};
  /** Aborted when nothing more is to be delivered. */
  readonly #cutting = new AbortController();
  /** The open streams of this program, and whether the peer of each is online. */
  readonly #streams = new Map<TunnelStream, () => boolean>();

  /** @param name for errors, such as `listener` */
  protected constructor(host: TunnelHost, options: CheckedRoleOptions, name: string) {
    super();
    this.#left = new Promise((resolve) => {
      this.#tellLeft = resolve;
    });
    const { node, parts, isOwned } = host;
    this.#isOwner = isOwned;
    this.node = node;
    this.tox = parts.tox;
    this.machine = parts.machine;
    this.timers = parts.machine.timers;
    this.logger = parts.logger;
    this.knownPlaces = parts.knownPlaces;
    this.descriptors = parts.descriptors;
    this.limits = limitsOf(options.limits);
    this.#rates = new PeerRates(this.limits);
    this.patienceMs = Math.min(options.patienceMs ?? DEFAULT_PATIENCE_MS, MAX_TIMER_MS);
    this.presence = new Presence(name, {
      online: (path) => this.emit('online', { path }),
      offline: () => this.emit('offline'),
      path: (path) => this.emit('path', { path }),
      close: () => this.emit('close'),
    });
    if (isOwned) node.on('waiting', ({ message }) => this.tellWaiting(message));
    this.#leaveNode = host.join({
      close: async (closing) => {
        void this.close(closing);
        await this.#left;
      },
      fail: (error) => this.fail(error),
    });
    this.#forgetSignal = onAbort(options.signal, () => void this.close({ drain: false }));
  }

  /** The Tox ID of the node, 76 hexadecimal digits. */
  get toxId(): string {
    return this.node.toxId;
  }

  /** The identity of the node. Save it to keep the Tox ID. It holds the secret key, but does not print it. */
  get identity(): Identity {
    return this.node.identity;
  }

  /** A listener is `online` while its node is in the network, a connector while streams can be opened. */
  get state(): State {
    return this.presence.state;
  }

  /** The path while it is online, else none: a connector's to its listener, a listener's to the network. */
  get path(): Path {
    return this.presence.path;
  }

  /** Resolves when it is closed, with the error that ended it or with undefined. Never rejects. */
  get closed(): Promise<TunnelError | undefined> {
    return this.presence.ended;
  }

  /**
   * Resolves when the {@link state} is `online`; at once when it is.
   *
   * @throws {TunnelError} ERR_ABORTED; ERR_CLOSED, or the error that ended it, when it closes first;
   *   ERR_ARGUMENT_INVALID
   *
   * @example
   * ```ts
   * await tunnel.online({ signal: AbortSignal.timeout(30_000) }); // or fail after 30 s
   * ```
   */
  async online(options: Abortable = {}): Promise<void> {
    await this.presence.online(signalOf(options, 'online()'));
  }

  /** The process stays alive while the tunnel's node is open. That is the default. */
  ref(): this {
    this.node.ref();
    return this;
  }

  /** The process may end while the tunnel's node is open. Open connections keep it running. */
  unref(): this {
    this.node.unref();
    return this;
  }

  /**
   * Delivers what was written to streams and connections, for {@link CloseOptions.timeoutMs} at most, then cuts them.
   * Streams that have ended in our direction may still get their answer. From the start, it accepts and dials nothing
   * more. Peers that are away get nothing more. Safe to call again, also to cut short an earlier call: `close({ drain:
   * false })`. A tunnel of `connect()` or `listen()` also leaves the network; one of a node leaves the node open.
   *
   * @throws {TunnelError} ERR_ARGUMENT_INVALID; nothing else
   *
   * @example
   * ```ts
   * await tunnel.close({ timeoutMs: 30_000 }); // a slow line may take longer than 5 s
   * ```
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const { drain = true, timeoutMs = CLOSE_TIMEOUT_MS } = closeOptions(options, 'close()');
    if (!drain) this.#cutting.abort();
    this.#close(undefined, timeoutMs);
    await this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What `console.log` shows: no keys, no secrets. */
  [inspect.custom](_depth: number, options: object): string {
    return `${this.constructor.name} ${inspect(this.toJSON(), options)}`;
  }

  /** Safe to log. */
  toJSON() {
    const { toxId, state, path } = this;
    return { toxId, state, path, peers: this.peers().length };
  }

  abstract stats(): TunnelStats;

  /** Returns the state of every peer. */
  abstract peers(): PeerInfo[];

  /** The tunnel cannot continue: emits `error` and closes. */
  protected fail(error: TunnelError): void {
    this.#cutting.abort();
    if (this.#closing !== undefined) return;
    this.#close(error, 0);
    isolated(() => this.emit('error', error));
  }

  /** Returns a function that tells whether all that was written so far is on its way to the peers that are online. */
  protected abstract sendMark(): () => boolean;

  /** Sends BYE to all peers and closes what belongs to them. @param deadline undefined to wait for a moment only */
  protected abstract closePeers(deadline: CloseDeadline | undefined): Promise<void>;

  /** Removes the tunnel's friends from a node that stays open. @throws {TunnelError} ERR_CLOSED, ERR_WORKER_DIED */
  protected abstract removeFriends(): Promise<void>;

  /** The tunnel begins to close. */
  protected stopAccepting(): void {}

  /** Listens to an event of the Tox node until the tunnel is closed. */
  protected onTox<Name extends keyof ToxNodeEvents>(
    name: Name,
    handler: (...args: ToxNodeEvents[Name]) => void,
  ): void {
    // EventEmitter<Events> takes such a handler, but not for a name that is still a type parameter.
    const events: EventEmitter = this.tox;
    events.on(name, handler);
    this.#forgetNode.push(() => events.off(name, handler));
  }

  /**
   * Remembers a stream until it closes, to deliver what was written to it.
   *
   * @param isReachable tells whether its peer is online
   */
  protected follow(stream: TunnelStream, isReachable: () => boolean): void {
    this.#streams.set(stream, isReachable);
    stream.once('close', () => this.#streams.delete(stream));
  }

  protected isClosing(): boolean {
    return this.#closing !== undefined;
  }

  /** Knocks at places where peers were last reached. @param publicKey only this peer's; default: all */
  protected knock(publicKey?: string): void {
    const guesses = this.knownPlaces.guesses(publicKey);
    // Only a node that is gone rejects, and the node reports that itself.
    if (guesses.length > 0) this.tox.worker.knock(guesses).catch(() => {});
  }

  protected peerContext(): PeerContext {
    const { tox: node, timers, machine, logger, limits, patienceMs } = this;
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

  /** Waits until the peers that are online have received what was written so far, as far as the deadline allows. */
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

  #close(why: TunnelError | undefined, timeoutMs: number): void {
    if (this.#closing !== undefined) return;
    // Until it is closed, which waits for timers that do not keep the process alive.
    this.node.ref();
    this.presence.closing(why);
    this.#closing = this.#closeBy(this.timers.nowMs() + timeoutMs);
  }

  async #closeBy(atMs: number): Promise<void> {
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
    for (const forget of this.#forgetNode) forget();
    await this.#leave();
    this.presence.closed();
  }

  async #leave(): Promise<void> {
    const { node } = this;
    const isNodeOpen = node.state !== 'closing' && node.state !== 'closed';
    // A node that closes takes all friends with it.
    if (isNodeOpen && !this.#isOwner) await this.removeFriends().catch(() => {});
    this.#leaveNode();
    this.#tellLeft();
    if (!this.#isOwner) return;
    if (isNodeOpen) await node.close();
    else await node.closed;
  }
}

/**
 * Returns a function that tells whether what was written to a stream so far is with its session. It counts as such when
 * the stream is destroyed or its peer is away.
 */
function handedOver(stream: TunnelStream, isReachable: () => boolean): () => boolean {
  const { bytesWritten, writableEnded } = stream;
  const hasAll = (): boolean =>
    writableEnded ? stream.writableFinished : stream.bytesWritten - stream.writableLength >= bytesWritten;
  return () => stream.destroyed || !isReachable() || hasAll();
}
