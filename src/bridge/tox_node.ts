import { EventEmitter } from 'node:events';
import type { Timers } from '../core/clock.js';
import type { DescriptorBudget } from '../core/descriptors.js';
import { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { BootstrapAddress, FriendNumber, Path } from '../core/tox_network.js';
import type { MainSide } from '../ring/main_side.js';
import { ChannelTable } from './channel_table.js';
import type {
  ChannelStats,
  Outcome,
  RequestAdmission,
  SeenAddress,
  Started,
  StartOptions,
  WorkerEvent,
  WorkerStats,
} from './contract.js';
import { Joiner } from './joiner.js';
import { type ChannelHandlers, type ChannelSide, NodeChannel } from './node_channel.js';
import type { PackageFiles } from './package_files.js';
import { type WorkerCalls, WorkerLink, type WorkerLinkEvents } from './worker_link.js';

export type { Path } from '../core/tox_network.js';
export type { Outcome } from './contract.js';

/** A {@link WorkerLink}, as far as it is used here. */
export type NodeLink = EventEmitter<WorkerLinkEvents> & {
  readonly api: WorkerCalls;
  readonly side: Pick<MainSide, 'run'> & ChannelSide;
  close(): Promise<void>;
};

export interface ToxNodeOptions {
  readonly start: StartOptions;
  readonly bootstrap: readonly BootstrapAddress[];
  readonly timers: Timers;
  readonly logger: Logger;
  readonly files?: PackageFiles | undefined;
  /** Counts this node until it is closed, for its own descriptors. Default: none. */
  readonly budget?: DescriptorBudget;
  /** What starts the worker, for tests; default {@link WorkerLink.spawn}. */
  readonly spawn?: () => NodeLink;
}

/** Told from the turn of the event loop after {@link ToxNode.start} on; none that came before is missing. */
export interface ToxNodeEvents {
  /** The way into the network opened, changed or closed. */
  path: [path: Path];
  /** Still not in the network; says what is being done about it. */
  waiting: [message: string];
  /** Of the kind that {@link ToxNode.admitRequests} named. */
  friendRequest: [publicKey: Uint8Array, message: Uint8Array];
  /** So many more friend requests of other kinds were dropped; told now and then. */
  requestsDropped: [count: number];
  friendPath: [friend: FriendNumber, path: Path];
  /** A lossless packet of the handshake, its id byte first. */
  handshake: [friend: FriendNumber, packet: Uint8Array];
  /** The worker is gone. No event follows. */
  fatal: [error: TunnelError];
}

/** One node, seen from the main thread: control by calls, data by channels, the rest by events. */
export class ToxNode extends EventEmitter<ToxNodeEvents> {
  /** What the worker reported at its start, without the secret key: see {@link secretKey}. */
  readonly started: Omit<Started, 'secretKey'>;
  /** Private, so that no log and no `console.dir` shows it. */
  readonly #secretKey: Uint8Array;
  readonly #link: NodeLink;
  /** Gives the node's descriptors back. */
  readonly #giveBack: () => void;
  readonly #logger: Logger;
  readonly #table = new ChannelTable();
  readonly #joiner: Joiner;
  readonly #friendPaths = new Map<FriendNumber, Path>();
  /** What came before the owner could listen, in order. */
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
      bootstrap: (nodes) => link.api.bootstrap(nodes),
      timers: options.timers,
      onWaiting: (message) => this.emit('waiting', message),
    });
    link.side.run(this.#table);
    link.on('event', (event) => {
      if (this.#early === undefined) this.#onEvent(event);
      else this.#early.push(event);
    });
    link.on('fatal', (error) => this.#onFatal(error));
    this.#joiner.pathChanged('none');
    setImmediate(() => this.#tellEarly());
  }

  /**
   * Starts a worker and its node, and begins to join the network.
   *
   * @throws {TunnelError} ERR_LISTEN for a port that is taken, ERR_TOX_START, ERR_WASM_MISSING, ERR_WORKER_DIED
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
    // Calls and events have ports of their own: an event may overtake the answer.
    const early: WorkerEvent[] = [];
    const keep = (event: WorkerEvent): void => {
      if (event.type === 'log') options.logger.log(event.level, event.message);
      else early.push(event);
    };
    link.on('event', keep);
    try {
      const started = await link.api.start(options.start);
      link.off('event', keep);
      return new ToxNode(link, started, early, options, giveBack);
    } catch (error) {
      await link.close();
      throw error;
    }
  }

  /** 32 bytes; for an identity alone. */
  get secretKey(): Uint8Array {
    return this.#secretKey;
  }

  /** How this node is joined to the network now. */
  get path(): Path {
    return this.#path;
  }

  /** How a friend is reached now: also what was told before anybody knew its number. */
  friendPath(friend: FriendNumber): Path {
    return this.#friendPaths.get(friend) ?? 'none';
  }

  async addFriend(address: Uint8Array, message: Uint8Array): Promise<Outcome> {
    return await this.#link.api.addFriend(address, message);
  }

  /** Which friend requests are told from now on; none before. Never rejects. */
  async admitRequests(admission: RequestAdmission): Promise<void> {
    // Only a node that is gone refuses, and that is told as such.
    await this.#link.api.admitRequests(admission).catch(() => false);
  }

  async acceptFriend(publicKey: Uint8Array): Promise<Outcome> {
    return await this.#link.api.acceptFriend(publicKey);
  }

  async removeFriend(friend: FriendNumber): Promise<boolean> {
    const removed = await this.#link.api.removeFriend(friend);
    // The next friend may get the same number.
    this.#friendPaths.delete(friend);
    return removed;
  }

  async sendHandshake(friend: FriendNumber, packet: Uint8Array): Promise<Outcome> {
    return await this.#link.api.sendHandshake(friend, packet);
  }

  /**
   * Opens the channel to a friend. Resolves when the worker knows it: frames may be written
   * and will come from then on.
   *
   * @throws {TunnelError} ERR_LIMIT with too many peers, ERR_WORKER_DIED, ERR_CLOSED
   */
  async openChannel(
    friend: FriendNumber,
    frameBytes: number,
    tag: number,
    handlers: ChannelHandlers,
  ): Promise<NodeChannel> {
    const id = this.#table.add(handlers);
    try {
      await this.#link.api.openChannel(id, friend, frameBytes, tag);
    } catch (error) {
      this.#table.remove(id);
      throw error;
    }
    return new NodeChannel(this.#link.side, id);
  }

  /** Closes a channel: what it had not yet sent is lost. Never rejects. */
  async closeChannel(channel: NodeChannel): Promise<void> {
    this.#table.remove(channel.id);
    await this.#link.api.closeChannel(channel.id).catch(() => false);
  }

  async channelStats(channel: NodeChannel): Promise<ChannelStats | undefined> {
    return await this.#link.api.channelStats(channel.id);
  }

  /** Where other nodes see our UDP socket. @throws {TunnelError} ERR_WORKER_DIED, ERR_CLOSED */
  async seenAddresses(): Promise<readonly SeenAddress[]> {
    return await this.#link.api.seenAddresses();
  }

  async stats(): Promise<WorkerStats> {
    return await this.#link.api.stats();
  }

  /** Leaves the network and ends the worker. Never rejects; safe to call twice. */
  close(): Promise<void> {
    this.#joiner.close();
    this.#closed ??= this.#link.close().finally(this.#giveBack);
    return this.#closed;
  }

  #tellEarly(): void {
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
        this.#friendPaths.set(event.friend, event.path);
        this.emit('friendPath', event.friend, event.path);
        break;
      case 'handshake':
        this.emit('handshake', event.friend, event.packet);
        break;
      case 'channel-failed':
        this.#table.failed(event.channel, TunnelError.fromWire(event.error));
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

function spawnLink({ logger, files = {} }: ToxNodeOptions): WorkerLink {
  const { worker, wasm } = files;
  return WorkerLink.spawn({
    logLevel: logger.level ?? 'info',
    ...(worker === undefined ? {} : { entry: worker }),
    ...(wasm === undefined ? {} : { wasm }),
  });
}
