import type { WorkerEvent } from '../bridge/contract.js';
import { Allowance } from '../core/allowance.js';
import type { Timers } from '../core/clock.js';
import type { LogLevel } from '../core/logger.js';
import { KIND_CHALLENGE, KIND_HELLO, LOSSLESS_PACKET_ID, LOSSY_PACKET_ID } from '../core/packets.js';
import type { FriendNumber, Path } from '../core/tox_network.js';
import { Relays } from './bootstrap.js';
import { ChannelSet, type ChannelSetParts } from './channel_set.js';
import { Knocks } from './knocks.js';
import { RequestGate } from './request_gate.js';
import type { Tox, ToxEvents } from './tox/tox.js';

/**
 * Handshake packets passed on for each friend. An honest friend sends one or two each time it comes online.
 */
const HANDSHAKES_BURST = 16;
const HANDSHAKES_PER_SECOND = 2;

export interface FriendsParts extends Omit<ChannelSetParts, 'tox' | 'seek' | 'failed'> {
  /** @throws {TunnelError} ERR_TOX_START */
  createTox(events: ToxEvents): Tox;
  tell(event: WorkerEvent): void;
  log(level: LogLevel, message: string): void;
  /** Calls back outside toxcore, unless the node is closed first. */
  later(callback: () => void): void;
  readonly timers: Timers;
  /** Lets toxcore do all of its work soon. */
  wakeFully(): void;
}

/** A Tox instance with its friends and their channels. Passes on what toxcore reports. */
export class Friends {
  readonly tox: Tox;
  readonly channels: ChannelSet;
  readonly requests: RequestGate;
  readonly knocks: Knocks;
  readonly #parts: FriendsParts;
  readonly #relays = new Relays();
  readonly #handshakes = new Map<FriendNumber, Allowance>();

  /** @throws {TunnelError} ERR_TOX_START */
  constructor(parts: FriendsParts) {
    const { tell } = parts;
    this.#parts = parts;
    this.requests = new RequestGate((count) => tell({ type: 'requests-dropped', count }));
    this.tox = parts.createTox(this.#events());
    this.knocks = new Knocks({ tox: this.tox, timers: parts.timers, tell, wake: () => parts.wakeFully() });
    this.channels = new ChannelSet({
      ...parts,
      tox: this.tox,
      seek: (friend) => this.#seek(friend),
      failed: (channel, error) => tell({ type: 'channel-failed', channel, error: error.toWire() }),
    });
  }

  bootstrap(ip: string, port: number, key: Uint8Array): boolean {
    return this.tox.bootstrap(ip, port, key);
  }

  /** Adds a relay, and keeps it for friends too. */
  addRelay(ip: string, port: number, key: Uint8Array): boolean {
    const added = this.tox.addRelay(ip, port, key);
    if (added) this.#relays.add(ip, port, key);
    return added;
  }

  /** Deletes a friend and closes its channel. Returns false when there is no such friend. */
  remove(friend: FriendNumber): boolean {
    this.channels.closeOfFriend(friend);
    this.#handshakes.delete(friend);
    this.knocks.friendRemoved(friend);
    return this.tox.deleteFriend(friend);
  }

  #events(): ToxEvents {
    const { tell, later, log, nowMs } = this.#parts;
    // Views of wasm memory are copied: the events outlive the call. (A Buffer's slice() would not copy.)
    return {
      selfPath: (path) => {
        later(() => this.knocks.selfPath(path));
        tell({ type: 'self-path', path });
      },
      friendRequest: (publicKey, message) => {
        if (!this.requests.take(publicKey, message, nowMs())) return;
        tell({
          type: 'friend-request',
          publicKey: new Uint8Array(publicKey),
          message: new Uint8Array(message),
        });
      },
      friendPath: (friend, path) => this.#pathChanged(friend, path),
      losslessPacket: (friend, packet) => {
        if (isHandshake(packet)) this.#handshake(friend, packet);
      },
      lossyPacket: (friend, packet) => {
        if (packet[0] === LOSSY_PACKET_ID) this.channels.receive(friend, packet);
      },
      log,
    };
  }

  #pathChanged(friend: FriendNumber, path: Path): void {
    const { tell, later } = this.#parts;
    // A restarted listener has forgotten its friends, so it needs another request. Send it later, because
    // toxcore marks the friend as offline only after this handler.
    if (path === 'none') later(() => this.tox.askAgain(friend));
    else later(() => this.#relays.giveTo(friend, this.tox));
    later(() => this.knocks.friendPath(friend, path));
    const binding = path === 'none' ? undefined : this.tox.sessionBinding(friend);
    tell({ type: 'friend-path', friend, path, binding });
    this.channels.pathChanged(friend, path);
  }

  #seek(friend: FriendNumber): void {
    this.tox.seekFriend(friend);
    // toxcore forgets a relay that is away for a few seconds, and with it that the friend can be reached there.
    this.#relays.giveTo(friend, this.tox);
  }

  #handshake(friend: FriendNumber, packet: Uint8Array): void {
    const { tell, log, nowMs } = this.#parts;
    let allowance = this.#handshakes.get(friend);
    if (allowance === undefined) {
      allowance = new Allowance(HANDSHAKES_BURST, HANDSHAKES_PER_SECOND, nowMs());
      this.#handshakes.set(friend, allowance);
    }
    if (allowance.take(nowMs())) tell({ type: 'handshake', friend, packet: new Uint8Array(packet) });
    else log('debug', `friend ${friend} sends too many handshake packets: one was dropped`);
  }
}

/** Whether a lossless packet belongs to our handshake. */
export function isHandshake(packet: Uint8Array): boolean {
  const kind = packet[1];
  return (
    packet[0] === LOSSLESS_PACKET_ID && kind !== undefined && kind >= KIND_HELLO && kind <= KIND_CHALLENGE
  );
}
