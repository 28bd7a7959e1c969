import { EventEmitter } from 'node:events';
import type { Timers } from '../core/clock.js';
import type { DescriptorBudget } from '../core/descriptors.js';
import { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import {
  type BootstrapAddress,
  type FriendNumber,
  type Path,
  type PeerPlace,
  PUBLIC_KEY_BYTES,
} from '../core/tox_network.js';
import type { ChannelHandlers, MainRings } from '../ring/main_rings.js';
import type { RingChannel } from '../ring/ring_channel.js';
import type {
  ChannelStart,
  ChannelStats,
  NodeHealth,
  Outcome,
  Role,
  Started,
  StartOptions,
  WorkerEvent,
} from './contract.js';
import { Joiner } from './joiner.js';
import type { PackageFiles } from './package_files.js';
import { type WorkerCalls, WorkerLink, type WorkerLinkEvents } from './worker_link.js';

export type { Path } from '../core/tox_network.js';
export type { ChannelHandlers } from '../ring/main_rings.js';
export type { Outcome, Role } from './contract.js';

/** The part of a {@link WorkerLink} that a Tox node uses. */
export type NodeLink = EventEmitter<WorkerLinkEvents> & {
  readonly worker: WorkerCalls;
  readonly rings: Pick<MainRings, 'open' | 'remove' | 'fail'>;
  keepProcess(keeps: boolean): void;
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
  /** Where a friend that is online can be reached: soon after it came online, then now and then. */
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
    | 'start'
    | 'addFriend'
    | 'acceptFriend'
    | 'removeFriend'
    | 'openChannel'
    | 'rebindChannel'
    | 'closeChannel'
    | 'channelStats'
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
  /** The added friends, and how many parts of the program use each. */
  readonly #members = new Map<FriendNumber, { readonly publicKey: Uint8Array; users: number }>();
  /** Settles with the newest change of friends. The next one depends on its outcome. */
  #friendsChanged: Promise<unknown> = Promise.resolve();
  /** The newest channels of each friend. */
  readonly #channels = new Map<FriendNumber, Partial<Record<Role, RingChannel>>>();
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

  /**
   * Sends a friend request. A friend that another part of the program uses is shared.
   *
   * @throws {TunnelError} ERR_WORKER_DIED, ERR_CLOSED
   */
  addFriend(address: Uint8Array, message: Uint8Array): Promise<Outcome> {
    return this.#changeFriends(async () => {
      const outcome = await this.#link.worker.addFriend(address, message);
      const { code, friend } = outcome;
      const shared = code === 103 && this.shareFriend(friend) !== undefined;
      return shared ? { code: 101, friend } : this.#added(outcome, address.slice(0, PUBLIC_KEY_BYTES));
    });
  }

  /** Accepts a friend request. @throws {TunnelError} ERR_WORKER_DIED, ERR_CLOSED */
  acceptFriend(publicKey: Uint8Array): Promise<Outcome> {
    return this.#changeFriends(async () =>
      this.#added(await this.#link.worker.acceptFriend(publicKey), publicKey),
    );
  }

  /**
   * Lets one more part of the program use a friend. Each calls {@link removeFriend} when it no longer needs the friend.
   *
   * @returns its public key, 32 bytes; undefined when nobody has added such a friend
   */
  shareFriend(friend: FriendNumber): Uint8Array | undefined {
    const member = this.#members.get(friend);
    if (member !== undefined) member.users++;
    return member?.publicKey;
  }

  /**
   * Deletes a friend and closes its channels, unless another part of the program uses it.
   *
   * @throws {TunnelError} ERR_WORKER_DIED, ERR_CLOSED
   */
  removeFriend(friend: FriendNumber): Promise<void> {
    return this.#changeFriends(async () => {
      const member = this.#members.get(friend);
      if (member !== undefined && --member.users > 0) return;
      this.#members.delete(friend);
      await this.#link.worker.removeFriend(friend);
      // The next friend may get the same number.
      this.#friends.delete(friend);
    });
  }

  /** Adds or removes a friend when all earlier changes are done, because several roles may use the same friend. */
  #changeFriends<Result>(change: () => Promise<Result>): Promise<Result> {
    const changed = this.#friendsChanged.then(change, change);
    this.#friendsChanged = changed;
    return changed;
  }

  #added(outcome: Outcome, publicKey: Uint8Array): Outcome {
    if (outcome.code === 101) this.#members.set(outcome.friend, { publicKey, users: 1 });
    return outcome;
  }

  /**
   * Opens the channel to a friend in one role of this end. Resolves when the worker knows it: frames may be written and
   * may arrive from then on.
   *
   * @throws {TunnelError} ERR_LIMIT with too many peers, ERR_WORKER_DIED, ERR_CLOSED
   */
  async openChannel(
    friend: FriendNumber,
    start: ChannelStart,
    handlers: ChannelHandlers,
  ): Promise<PeerChannel> {
    const { worker, rings } = this.#link;
    const { role } = start;
    // The worker closes the friend's older channel. A session that has ended may still hold its slot.
    const older = this.#channels.get(friend)?.[role];
    if (older !== undefined) rings.remove(older);
    const channel = rings.open(handlers);
    this.#channels.set(friend, { ...this.#channels.get(friend), [role]: channel });
    const remove = (): void => {
      rings.remove(channel);
      const { [role]: newest, ...others } = this.#channels.get(friend) ?? {};
      if (newest !== channel) return;
      if (Object.keys(others).length > 0) this.#channels.set(friend, others);
      else this.#channels.delete(friend);
    };
    try {
      await worker.openChannel(channel.id, friend, start);
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

  /** As the worker last reported it. */
  get health(): NodeHealth {
    return this.#health;
  }

  /** Whether the node keeps the process running. Default true. */
  keepProcess(keeps: boolean): void {
    this.#link.keepProcess(keeps);
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
