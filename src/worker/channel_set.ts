import type { ChannelId, ChannelStats } from '../bridge/contract.js';
import type { Timers } from '../core/clock.js';
import type { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import { Timer } from '../core/timer.js';
import type { FriendNumber, Path } from '../core/tox_network.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../ring/record.js';
import type { WorkerRings, WorkerRingsHandlers } from '../ring/worker_rings.js';
import type { Channel, ChannelOptions, CreateChannel } from './channel/channel.js';
import type { Tox } from './tox/tox.js';

export interface ChannelSetParts {
  readonly createChannel: CreateChannel;
  readonly rings: Pick<WorkerRings, 'write' | 'drained'>;
  readonly tox: Pick<Tox, 'sendLossy' | 'seekFriend' | 'friendPath'>;
  nowMs(): number;
  /** There is something to pump. */
  wake(): void;
  /** A channel could not continue, and is closed. */
  failed(id: ChannelId, error: TunnelError): void;
}

interface Row {
  readonly id: ChannelId;
  readonly friend: FriendNumber;
  readonly channel: Channel;
  /** The current path to the friend. */
  path: Path;
  /** When the channel wants to be pumped. */
  dueMs: number;
  /** Why the channel cannot continue. It is closed after the turn. */
  error: TunnelError | undefined;
}

const NOW = Number.NEGATIVE_INFINITY;

/** The channels of one Tox node, at most one for each friend: frames from the rings, packets from toxcore. */
export class ChannelSet implements WorkerRingsHandlers {
  readonly #parts: ChannelSetParts;
  readonly #byId = new Map<ChannelId, Row>();
  readonly #byFriend = new Map<FriendNumber, Row>();

  constructor(parts: ChannelSetParts) {
    this.#parts = parts;
  }

  /** Closes an older channel of the same friend. Returns false when the id is in use. */
  open(id: ChannelId, friend: FriendNumber, options: Omit<ChannelOptions, 'online'>): boolean {
    if (this.#byId.has(id)) return false;
    const older = this.#byFriend.get(friend);
    if (older !== undefined) this.close(older.id);

    const { createChannel, rings, tox, wake } = this.#parts;
    const path = tox.friendPath(friend);
    const channel = createChannel(
      {
        sendPacket: (packet) => {
          const result = tox.sendLossy(friend, packet);
          return result === 'not-a-friend' ? 'failed' : result;
        },
        seekPeer: () => void tox.seekFriend(friend),
        deliver: (frame) => rings.write(id, frame),
        drained: (bytes) => rings.drained(id, bytes),
        fail: (error) => this.#failSoon(id, error),
      },
      { ...options, online: path !== 'none' },
    );
    const row: Row = { id, friend, channel, path, dueMs: NOW, error: undefined };
    this.#byId.set(id, row);
    this.#byFriend.set(friend, row);
    wake();
    return true;
  }

  /** Discards what the channel still holds. Returns false when there is no such channel. */
  close(id: ChannelId): boolean {
    const row = this.#byId.get(id);
    if (row === undefined) return false;
    this.#byId.delete(id);
    this.#byFriend.delete(row.friend);
    const { backlogBytes } = row.channel;
    if (backlogBytes > 0) this.#parts.rings.drained(id, backlogBytes);
    return true;
  }

  closeOfFriend(friend: FriendNumber): void {
    const row = this.#byFriend.get(friend);
    if (row !== undefined) this.close(row.id);
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
    for (const row of this.#byId.values()) this.#due(row);
  }

  /** Takes a packet from a friend. Drops it when the friend has no channel. */
  receive(friend: FriendNumber, packet: Uint8Array): void {
    const row = this.#byFriend.get(friend);
    if (row === undefined) return;
    row.channel.receive(packet, this.#parts.nowMs());
    this.#due(row);
  }

  pathChanged(friend: FriendNumber, path: Path): void {
    const row = this.#byFriend.get(friend);
    if (row === undefined || row.path === path) return;
    const nowMs = this.#parts.nowMs();
    if (path === 'none') row.channel.freeze(nowMs);
    else if (row.path === 'none') row.channel.thaw(nowMs);
    else row.channel.pathChanged(nowMs);
    row.path = path;
    this.#due(row);
  }

  /** Pumps the channels that are due. Returns when the next one is due; Infinity when none is due by time. */
  pump(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const row of this.#byId.values()) {
      if (row.dueMs <= nowMs) row.dueMs = row.channel.pump(nowMs);
      if (row.error !== undefined) {
        this.close(row.id);
        this.#parts.failed(row.id, row.error);
      } else if (row.dueMs < nextMs) {
        nextMs = row.dueMs;
      }
    }
    return nextMs;
  }

  #due(row: Row): void {
    row.dueMs = NOW;
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
    timer.set(STATS_INTERVAL_MS, write);
  };
  timer.set(STATS_INTERVAL_MS, write);
  return () => timer.clear();
}
