import { EventEmitter } from 'node:events';
import type { Timers } from '../core/clock.js';
import type { DescriptorBudget } from '../core/descriptors.js';
import { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { BootstrapAddress, FriendNumber, Path, PeerPlace } from '../core/tox_network.js';
import type { ChannelHandlers, MainRings } from '../ring/main_rings.js';
import type { RingChannel } from '../ring/ring_channel.js';
import type { ChannelStats, NodeHealth, Started, StartOptions, WorkerEvent } from './contract.js';
import { Joiner } from './joiner.js';
import type { PackageFiles } from './package_files.js';
import { type WorkerCalls, WorkerLink, type WorkerLinkEvents } from './worker_link.js';

export type { Path } from '../core/tox_network.js';
export type { ChannelHandlers } from '../ring/main_rings.js';
export type { Outcome } from './contract.js';

/** The part of a {@link WorkerLink} that a Tox node uses. */
export type NodeLink = EventEmitter<WorkerLinkEvents> & {
  readonly worker: WorkerCalls;
  readonly rings: Pick<MainRings, 'open' | 'remove' | 'fail'>;
  close(): Promise<void>;
};

export interface ToxNodeOptions {
  readonly start: StartOptions;
  readonly bootstrap: readonly BootstrapAddress[];
  /** Peers that may have a channel at once. Default as in {@link WorkerLinkOptions}. */
  readonly channels?: number;
  readonly timers: Timers;
  readonly logger: Logger;
  readonly files?: PackageFiles | undefined;
  /** Counts this node's own descriptors until it is closed. Default: none. */
  readonly budget?: DescriptorBudget;
  /** Starts the worker, for tests. Default {@link WorkerLink.spawn}. */
  readonly spawn?: () => NodeLink;
}

/**
 * First emitted in the turn of the event loop after {@link ToxNode.start}; earlier events are kept until
 * then.
 */
export interface ToxNodeEvents {
  /** The connection to the network was made, changed or lost. */
  path: [path: Path];
  /** The node is still not in the network. Says what is being done about it. */
  waiting: [message: string];
  /** A friend request of a kind that `admitRequests` named. */
  friendRequest: [publicKey: Uint8Array, message: Uint8Array];
  /** The worker dropped this many more friend requests of other kinds. Emitted now and then. */
  requestsDropped: [count: number];
  friendPath: [friend: FriendNumber, path: Path];
  /** Where a friend that is online is reached: soon after it came online, then now and then. */
  friendPlace: [place: PeerPlace];
  /** A lossless packet of the handshake, its id byte first. */
  handshake: [friend: FriendNumber, packet: Uint8Array];
  /** The worker is gone. No event follows. */
  fatal: [error: TunnelError];
}

/** An open channel to a friend. */
export interface PeerChannel {
  /** Takes frames for the friend. */
  readonly sink: Pick<RingChannel, 'reserve' | 'commit' | 'framesSent' | 'bytesSent' | 'isGone'>;
  /** The peer has proven itself in another Tox session. Until this call, the channel is frozen there. */
  rebind(binding: Uint8Array): void;
  /**
   * Undefined when the worker has no such channel any more.
   * @throws {TunnelError} ERR_WORKER_DIED, ERR_CLOSED
   */
  stats(): Promise<ChannelStats | undefined>;
  /** Closes the channel: unsent frames are lost. Never rejects. */
  close(): Promise<void>;
}

/**
 * One Tox node, seen from the main thread: {@link worker} for calls, channels for data, events for
 * the rest.
 */
export class ToxNode extends EventEmitter<ToxNodeEvents> {
  /** What the worker reported at its start, except the secret key: see {@link secretKey}. */
  readonly started: Omit<Started, 'secretKey'>;
  /**
   * The part of the worker's API that needs nothing from this class. See {@link WorkerLink.worker} for
   * errors.
   */
  readonly worker: Omit<
    WorkerCalls,
    'start' | 'removeFriend' | 'openChannel' | 'rebindChannel' | 'closeChannel' | 'channelStats'
  >;
  /** Private, so that neither logs nor `console.dir` show it. */
  readonly #secretKey: Uint8Array;
  readonly #link: NodeLink;
  /** Returns the node's descriptors to the budget. */
  readonly #giveBack: () => void;
  readonly #logger: Logger;
  readonly #joiner: Joiner;
  #health: NodeHealth = { wasmMemoryBytes: 0, strangersDropped: 0 };
  /** What the worker last reported of each friend. */
  readonly #friends = new Map<FriendNumber, Extract<WorkerEvent, { type: 'friend-path' }>>();
  /** The newest channel of each friend. */
  readonly #channels = new Map<FriendNumber, RingChannel>();
  /** Events that arrived before the owner could listen, in order. */
  #early: WorkerEvent[] | undefined;
  #path: Path = 'none';
  #closed: Promise<void> | undefined;

  private constructor(
    link: NodeLink,
    started: Started,
    early: WorkerEvent[],
    options: ToxNodeOptions,
    giveBack: () => void,
  ) {
    super();
    this.#link = link;
    this.worker = link.worker;
    this.#giveBack = giveBack;
    const { secretKey, ...others } = started;
    this.started = others;
    this.#secretKey = secretKey;
    this.#early = early;
    this.#logger = options.logger;
    this.#joiner = new Joiner({
      nodes: options.bootstrap,
      lanDiscovery: options.start.lanDiscovery,
      proxied: options.start.kind === 'tunnel' && options.start.proxy !== undefined,
      bootstrap: (nodes) => link.worker.bootstrap(nodes),
      timers: options.timers,
      onWaiting: (message) => this.emit('waiting', message),
    });
    link.on('event', (event) => {
      if (this.#early === undefined) this.#onEvent(event);
      else this.#early.push(event);
    });
    link.on('fatal', (error) => this.#onFatal(error));
    this.#joiner.pathChanged('none');
    setImmediate(() => this.#emitEarly());
  }

  /**
   * Starts a worker and its Tox node, and begins to join the network.
   *
   * @throws {TunnelError} ERR_LISTEN when a port is in use, ERR_TOX_START, ERR_WASM_MISSING, ERR_WORKER_DIED
   */
  static async start(options: ToxNodeOptions): Promise<ToxNode> {
    const giveBack = options.budget?.addNode() ?? (() => {});
    try {
      return await ToxNode.#startCounted(options, giveBack);
    } catch (error) {
      giveBack();
      throw error;
    }
  }

  static async #startCounted(options: ToxNodeOptions, giveBack: () => void): Promise<ToxNode> {
    const link: NodeLink = options.spawn?.() ?? spawnLink(options);
    // Calls and events have separate message ports: an event may overtake the answer.
    const early: WorkerEvent[] = [];
    const keep = (event: WorkerEvent): void => {
      if (event.type === 'log') options.logger.log(event.level, event.message);
      else early.push(event);
    };
    link.on('event', keep);
    try {
      const started = await link.worker.start(options.start);
      link.off('event', keep);
      return new ToxNode(link, started, early, options, giveBack);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** 32 bytes; for an identity only. */
  get secretKey(): Uint8Array {
    return this.#secretKey;
  }

  /** How the node is connected to the network now. */
  get path(): Path {
    return this.#path;
  }

  /** The current path to a friend, even if the worker reported it before anyone knew the friend's number. */
  friendPath(friend: FriendNumber): Path {
    return this.#friends.get(friend)?.path ?? 'none';
  }

  /** 32 bytes that only the two ends of the current Tox session with a friend know; undefined without one. */
  sessionBinding(friend: FriendNumber): Uint8Array | undefined {
    return this.#friends.get(friend)?.binding;
  }

  /** Deletes a friend and closes its channel. @throws {TunnelError} ERR_WORKER_DIED, ERR_CLOSED */
  async removeFriend(friend: FriendNumber): Promise<boolean> {
    const removed = await this.#link.worker.removeFriend(friend);
    // The next friend may get the same number.
    this.#friends.delete(friend);
    return removed;
  }

  /**
   * Opens the channel to a friend. Resolves when the worker knows it: frames may be written and
   * may arrive from then on.
   *
   * @param binding of the Tox session in which the peer has proven itself
   * @throws {TunnelError} ERR_LIMIT with too many peers, ERR_WORKER_DIED, ERR_CLOSED
   */
  async openChannel(
    friend: FriendNumber,
    frameBytes: number,
    tag: number,
    binding: Uint8Array,
    handlers: ChannelHandlers,
  ): Promise<PeerChannel> {
    const { worker, rings } = this.#link;
    // The worker closes the friend's older channel. A session that has ended may still hold its slot.
    const older = this.#channels.get(friend);
    if (older !== undefined) rings.remove(older);
    const channel = rings.open(handlers);
    this.#channels.set(friend, channel);
    const remove = (): void => {
      rings.remove(channel);
      if (this.#channels.get(friend) === channel) this.#channels.delete(friend);
    };
    try {
      await worker.openChannel(channel.id, friend, frameBytes, tag, binding);
    } catch (error) {
      remove();
      throw error;
    }
    return {
      sink: channel,
      // Only a worker that is gone rejects, and the node reports that itself.
      rebind: (to) => void worker.rebindChannel(channel.id, to).catch(() => false),
      stats: () => worker.channelStats(channel.id),
      close: async () => {
        remove();
        await worker.closeChannel(channel.id).catch(() => false);
      },
    };
  }

  /** As the worker last told it. */
  get health(): NodeHealth {
    return this.#health;
  }

  /** Leaves the network and ends the worker. Never rejects; safe to call twice. */
  close(): Promise<void> {
    this.#joiner.close();
    this.#closed ??= this.#link.close().finally(this.#giveBack);
    return this.#closed;
  }

  #emitEarly(): void {
    const early = this.#early ?? [];
    this.#early = undefined;
    for (const event of early) if (this.#closed === undefined) this.#onEvent(event);
  }

  #onEvent(event: WorkerEvent): void {
    switch (event.type) {
      case 'self-path':
        this.#path = event.path;
        this.#joiner.pathChanged(event.path);
        this.emit('path', event.path);
        break;
      case 'friend-request':
        this.emit('friendRequest', event.publicKey, event.message);
        break;
      case 'requests-dropped':
        this.emit('requestsDropped', event.count);
        break;
      case 'friend-path':
        this.#friends.set(event.friend, event);
        this.emit('friendPath', event.friend, event.path);
        break;
      case 'friend-place':
        this.emit('friendPlace', event.place);
        break;
      case 'handshake':
        this.emit('handshake', event.friend, event.packet);
        break;
      case 'channel-failed':
        this.#link.rings.fail(event.channel, TunnelError.fromWire(event.error));
        break;
      case 'health':
        this.#health = event.health;
        break;
      case 'log':
        this.#logger.log(event.level, event.message);
        break;
    }
  }

  #onFatal(error: TunnelError): void {
    this.#joiner.close();
    if (this.#closed === undefined) this.emit('fatal', error);
  }
}

function spawnLink({ logger, channels, files = {} }: ToxNodeOptions): WorkerLink {
  const { worker, wasm } = files;
  return WorkerLink.spawn({
    logLevel: logger.level ?? 'info',
    channels,
    ...(worker === undefined ? {} : { entry: worker }),
    ...(wasm === undefined ? {} : { wasm }),
  });
}
