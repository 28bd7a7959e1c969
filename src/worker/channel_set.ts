import type { ChannelId, ChannelStart, ChannelStats, Role } from '../bridge/contract.js';
import { Timer, type Timers } from '../core/clock.js';
import type { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { FriendNumber, Path } from '../core/tox_network.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../ring/record.js';
import type { WorkerRings, WorkerRingsHandlers } from '../ring/worker_rings.js';
import type { Channel, CreateChannel } from './channel/channel.js';
import { DueQueue, type Waiting } from './due_queue.js';
import type { Tox } from './tox/tox.js';

export interface ChannelSetParts {
  readonly createChannel: CreateChannel;
  readonly rings: Pick<WorkerRings, 'write' | 'drained'>;
  readonly tox: Pick<Tox, 'sendLossy' | 'friendPath' | 'sessionBinding'>;
  /** A friend is silent: looks for another way to it. Cheap. */
  seek(friend: FriendNumber): void;
  nowMs(): number;
  /** There is something to pump. */
  wake(): void;
  /** A channel could not continue, and is closed. */
  failed(id: ChannelId, error: TunnelError): void;
}

interface Row extends Waiting {
  readonly id: ChannelId;
  readonly friend: FriendNumber;
  readonly role: Role;
  readonly channel: Channel;
  /** The current path to the friend. */
  path: Path;
  /** The Tox session in which the handshake proved that this is the peer of the channel's session. */
  binding: Uint8Array;
  /**
   * Whether that is the current Tox session. In another one there may be a thief of either end's Tox key: nothing is
   * sent to it, and nothing is taken from it.
   */
  isLive: boolean;
  /** Whether it is among those of the next turn. */
  isReady: boolean;
  /** Why the channel cannot continue. It is closed after the turn. */
  error: TunnelError | undefined;
}

const NO_ROWS: readonly Row[] = [];

/**
 * The channels of one Tox node, at most one for each role of each friend: frames from the rings, packets from toxcore.
 * A turn costs nothing for the channels that have nothing to do in it.
 */
export class ChannelSet implements WorkerRingsHandlers {
  readonly #parts: ChannelSetParts;
  readonly #byId = new Map<ChannelId, Row>();
  /** One row for each role. */
  readonly #byFriend = new Map<FriendNumber, readonly Row[]>();
  /** The channels waiting for a point in time. */
  readonly #waiting = new DueQueue<Row>();
  /** The channels of the next turn, in the order in which they became ready. */
  #ready: Row[] = [];
  /** The channels to which the inbound ring refused a frame. */
  #refused = new Set<Row>();

  constructor(parts: ChannelSetParts) {
    this.#parts = parts;
  }

  /** Closes an older channel of the same friend and role. @returns false when the id is in use */
  open(id: ChannelId, friend: FriendNumber, start: ChannelStart & { readonly seed: number }): boolean {
    if (this.#byId.has(id)) return false;
    const { role, binding, ...options } = start;
    const older = this.#of(friend).find((row) => row.role === role);
    if (older !== undefined) this.close(older.id);

    const { createChannel, rings, seek, tox } = this.#parts;
    const path = tox.friendPath(friend);
    const isLive = this.#isIn(friend, path, binding);
    const channel = createChannel(
      {
        sendPacket: (packet) => {
          const result = tox.sendLossy(friend, packet);
          return result === 'not-a-friend' ? 'failed' : result;
        },
        seekPeer: () => seek(friend),
        deliver: (frame) => {
          const written = rings.write(id, frame);
          if (!written) this.#refused.add(row);
          return written;
        },
        drained: (bytes) => rings.drained(id, bytes),
        fail: (error) => this.#failSoon(id, error),
      },
      { ...options, online: isLive },
    );
    const row: Row = {
      ...{ id, friend, role, channel, path, binding, isLive },
      ...{ isReady: false, dueMs: 0, place: -1, error: undefined },
    };
    this.#byId.set(id, row);
    this.#byFriend.set(friend, [...this.#of(friend), row]);
    this.#due(row);
    return true;
  }

  /**
   * The peer has proven itself in the Tox session with this binding: the channel continues there. Returns false when
   * there is no such channel.
   */
  rebind(id: ChannelId, binding: Uint8Array): boolean {
    const row = this.#byId.get(id);
    if (row === undefined) return false;
    row.binding = binding;
    this.#update(row, row.path);
    return true;
  }

  /** Discards what the channel still holds. Returns false when there is no such channel. */
  close(id: ChannelId): boolean {
    const row = this.#byId.get(id);
    if (row === undefined) return false;
    this.#byId.delete(id);
    const others = this.#of(row.friend).filter((other) => other !== row);
    if (others.length > 0) this.#byFriend.set(row.friend, others);
    else this.#byFriend.delete(row.friend);
    this.#waiting.delete(row);
    this.#refused.delete(row);
    const { backlogBytes } = row.channel;
    if (backlogBytes > 0) this.#parts.rings.drained(id, backlogBytes);
    return true;
  }

  closeOfFriend(friend: FriendNumber): void {
    for (const { id } of this.#of(friend)) this.close(id);
  }

  get(id: ChannelId): Channel | undefined {
    return this.#byId.get(id)?.channel;
  }

  *stats(nowMs: number): Generator<[ChannelId, ChannelStats], void, undefined> {
    for (const { id, channel } of this.#byId.values()) yield [id, channel.stats(nowMs)];
  }

  /** Takes a frame from the main thread. */
  frame(id: ChannelId, flags: number, frame: Uint8Array): void {
    const row = this.#byId.get(id);
    if (row === undefined) {
      // Its channel is closed. Count the bytes as drained, or the next channel of the slot would stall.
      this.#parts.rings.drained(id, frame.length);
      return;
    }
    row.channel.send(frame, (flags & FLAG_URGENT) !== 0, this.#parts.nowMs(), (flags & FLAG_LOSSY) !== 0);
    this.#due(row);
  }

  /** The inbound ring has room again. */
  room(): void {
    const refused = this.#refused;
    this.#refused = new Set();
    for (const row of refused) this.#due(row);
  }

  /**
   * Takes a packet from a friend. Each channel drops what is not for it, by the tag in the packet; everything is
   * dropped until the friend has proven itself.
   */
  receive(friend: FriendNumber, packet: Uint8Array): void {
    for (const row of this.#of(friend)) {
      if (!row.isLive) continue;
      row.channel.receive(packet, this.#parts.nowMs());
      this.#due(row);
    }
  }

  pathChanged(friend: FriendNumber, path: Path): void {
    for (const row of this.#of(friend)) if (row.path !== path) this.#update(row, path);
  }

  #of(friend: FriendNumber): readonly Row[] {
    return this.#byFriend.get(friend) ?? NO_ROWS;
  }

  /** Pumps the channels that are due. Returns when the next one is due; Infinity when none is due by time. */
  pump(nowMs: number): number {
    const ready = this.#ready;
    this.#ready = [];
    for (let row = this.#waiting.take(nowMs); row !== undefined; row = this.#waiting.take(nowMs)) {
      if (!row.isReady) ready.push(row);
    }
    for (const row of ready) this.#pumpOne(row, nowMs);
    return this.#ready.length > 0 ? nowMs : this.#waiting.nextMs;
  }

  #update(row: Row, path: Path): void {
    const { channel } = row;
    const nowMs = this.#parts.nowMs();
    const wasLive = row.isLive;
    row.isLive = this.#isIn(row.friend, path, row.binding);
    if (wasLive && row.isLive && row.path !== path) channel.pathChanged(nowMs);
    else if (wasLive && !row.isLive) channel.freeze(nowMs);
    else if (!wasLive && row.isLive) channel.thaw(nowMs);
    row.path = path;
    this.#due(row);
  }

  /** Whether the friend's current Tox session has this binding. */
  #isIn(friend: FriendNumber, path: Path, binding: Uint8Array): boolean {
    const current = path === 'none' ? undefined : this.#parts.tox.sessionBinding(friend);
    return current !== undefined && Buffer.compare(current, binding) === 0;
  }

  #pumpOne(row: Row, nowMs: number): void {
    row.isReady = false;
    if (this.#byId.get(row.id) !== row) return; // closed since it became ready
    const dueMs = row.channel.pump(nowMs);
    if (row.error !== undefined) {
      this.close(row.id);
      this.#parts.failed(row.id, row.error);
    } else {
      this.#waiting.set(row, dueMs);
    }
  }

  #due(row: Row): void {
    if (!row.isReady) {
      row.isReady = true;
      this.#ready.push(row);
    }
    this.#parts.wake();
  }

  #failSoon(id: ChannelId, error: TunnelError): void {
    const row = this.#byId.get(id);
    if (row === undefined || row.error !== undefined) return;
    row.error = error;
    this.#due(row);
  }
}

const STATS_INTERVAL_MS = 1_000;

/**
 * Logs a debug line every second for each channel that has moved frames since the last one. These
 * lines explain a slow tunnel.
 *
 * @param others what else belongs in each line
 * @returns a function that stops it
 */
export function logStats(
  channels: { stats(nowMs: number): Iterable<[ChannelId, ChannelStats]> },
  timers: Timers,
  logger: Logger,
  others: () => object,
): () => void {
  const timer = new Timer(timers);
  const framesMoved = new Map<ChannelId, number>();
  const write = (): void => {
    const before = new Map(framesMoved);
    framesMoved.clear();
    for (const [id, stats] of channels.stats(timers.nowMs())) {
      const moved = stats.framesIn + stats.framesOut;
      framesMoved.set(id, moved);
      if (moved === (before.get(id) ?? 0) && stats.backlogBytes === 0) continue;
      logger.log('debug', `channel ${id}: ${JSON.stringify({ ...stats, ...others() })}`);
    }
  };
  timer.every(STATS_INTERVAL_MS, write);
  return () => timer.clear();
}
