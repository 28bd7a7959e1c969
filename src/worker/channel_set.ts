import type { ChannelId, ChannelStats } from '../bridge/contract.js';
import type { TunnelError } from '../core/errors.js';
import type { FriendNumber, Path } from '../core/tox_network.js';
import type { Channel, ChannelOptions, CreateChannel, PacketResult } from './channel/channel.js';

/** What the channels of one node stand on. */
export interface ChannelFloor {
  sendPacket(friend: FriendNumber, packet: Uint8Array): PacketResult;
  /** Nothing is heard of the friend although something should be. */
  seek?(friend: FriendNumber): void;
  /** False when the inbound ring is full; {@link ChannelSet.roomAbove} is to be called later. */
  deliver(id: ChannelId, frame: Uint8Array): boolean;
  /** So many bytes of frames of this channel's slot no longer wait. */
  drained(id: ChannelId, bytes: number): void;
  /** The channel is closed: it could not go on. */
  failed(id: ChannelId, error: TunnelError): void;
  /** There is something to pump. */
  wake(): void;
}

interface Row {
  readonly id: ChannelId;
  readonly friend: FriendNumber;
  readonly channel: Channel;
  /** The way its packets take. */
  path: Path;
  /** When it wants to be pumped. */
  dueMs: number;
  /** It could not go on, and is closed after the turn. */
  error: TunnelError | undefined;
}

const NOW = Number.NEGATIVE_INFINITY;

/** The channels of one node: at most one for each friend. */
export class ChannelSet {
  readonly #floor: ChannelFloor;
  readonly #create: CreateChannel;
  readonly #byId = new Map<ChannelId, Row>();
  readonly #byFriend = new Map<FriendNumber, Row>();

  constructor(create: CreateChannel, floor: ChannelFloor) {
    this.#create = create;
    this.#floor = floor;
  }

  /** An older channel of the same friend is closed. False when the id is in use. */
  open(id: ChannelId, friend: FriendNumber, path: Path, options: Omit<ChannelOptions, 'online'>): boolean {
    if (this.#byId.has(id)) return false;
    const older = this.#byFriend.get(friend);
    if (older !== undefined) this.close(older.id);

    const channel = this.#create(
      {
        sendPacket: (packet) => this.#floor.sendPacket(friend, packet),
        seekPeer: () => this.#floor.seek?.(friend),
        deliver: (frame) => this.#floor.deliver(id, frame),
        drained: (bytes) => this.#floor.drained(id, bytes),
        fail: (error) => this.#failSoon(id, error),
      },
      { ...options, online: path !== 'none' },
    );
    const row: Row = { id, friend, channel, path, dueMs: NOW, error: undefined };
    this.#byId.set(id, row);
    this.#byFriend.set(friend, row);
    this.#floor.wake();
    return true;
  }

  /** False when there is no such channel. What it held is given up. */
  close(id: ChannelId): boolean {
    const row = this.#byId.get(id);
    if (row === undefined) return false;
    this.#byId.delete(id);
    this.#byFriend.delete(row.friend);
    const { backlogBytes } = row.channel;
    if (backlogBytes > 0) this.#floor.drained(id, backlogBytes);
    return true;
  }

  closeOfFriend(friend: FriendNumber): void {
    const row = this.#byFriend.get(friend);
    if (row !== undefined) this.close(row.id);
  }

  get(id: ChannelId): Channel | undefined {
    return this.#byId.get(id)?.channel;
  }

  /** How each does. */
  *stats(nowMs: number): Generator<[ChannelId, ChannelStats], void, undefined> {
    for (const { id, channel } of this.#byId.values()) yield [id, channel.stats(nowMs)];
  }

  /** A frame from the main thread. False when there is no such channel. */
  send(id: ChannelId, frame: Uint8Array, urgent: boolean, nowMs: number, lossy = false): boolean {
    const row = this.#byId.get(id);
    if (row === undefined) return false;
    row.channel.send(frame, urgent, nowMs, lossy);
    this.#due(row);
    return true;
  }

  /** A packet from a friend. False when it has no channel. */
  receive(friend: FriendNumber, packet: Uint8Array, nowMs: number): boolean {
    const row = this.#byFriend.get(friend);
    if (row === undefined) return false;
    row.channel.receive(packet, nowMs);
    this.#due(row);
    return true;
  }

  pathChanged(friend: FriendNumber, path: Path, nowMs: number): void {
    const row = this.#byFriend.get(friend);
    if (row === undefined || row.path === path) return;
    if (path === 'none') row.channel.freeze(nowMs);
    else if (row.path === 'none') row.channel.thaw(nowMs);
    else row.channel.pathChanged(nowMs);
    row.path = path;
    this.#due(row);
  }

  /** The inbound ring has room again. */
  roomAbove(): void {
    for (const row of this.#byId.values()) this.#due(row);
  }

  /** Pumps those whose time has come. @returns when the next one's comes; Infinity: none by itself */
  pump(nowMs: number): number {
    let nextMs = Number.POSITIVE_INFINITY;
    for (const row of this.#byId.values()) {
      if (row.dueMs <= nowMs) row.dueMs = row.channel.pump(nowMs);
      if (row.error !== undefined) {
        this.close(row.id);
        this.#floor.failed(row.id, row.error);
      } else if (row.dueMs < nextMs) {
        nextMs = row.dueMs;
      }
    }
    return nextMs;
  }

  #due(row: Row): void {
    row.dueMs = NOW;
    this.#floor.wake();
  }

  #failSoon(id: ChannelId, error: TunnelError): void {
    const row = this.#byId.get(id);
    if (row === undefined || row.error !== undefined) return;
    row.error = error;
    this.#due(row);
  }
}
