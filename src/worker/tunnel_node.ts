import type {
  ChannelId,
  ChannelStats,
  Outcome,
  RequestAdmission,
  TunnelNodeOptions,
  WorkerEvent,
} from '../bridge/contract.js';
import { Allowance } from '../core/allowance.js';
import { TunnelError } from '../core/errors.js';
import type { LogLevel } from '../core/logger.js';
import {
  KIND_CHALLENGE,
  KIND_HELLO,
  LOSSLESS_PACKET_ID,
  LOSSY_PACKET_ID,
  MAX_PACKET_BYTES,
} from '../core/packets.js';
import type { RETURN_CODES } from '../core/return_codes.js';
import {
  type FriendNumber,
  MAX_REQUEST_BYTES,
  type Path,
  PUBLIC_KEY_BYTES,
  TOX_ID_BYTES,
} from '../core/tox_network.js';
import type { CreateChannel, PacketResult } from './channel/channel.js';
import { ChannelSet } from './channel_set.js';
import { Relays } from './relays.js';
import { RequestGate } from './request_gate.js';
import type { FriendAdd, SendResult, Tox, ToxEvents, ToxModule, ToxOptions } from './tox/tox.js';

/** Handshake packets handed up, for each friend; an honest one sends one or two each time it comes online. */
const HANDSHAKES_BURST = 16;
const HANDSHAKES_PER_SECOND = 2;

/** What a node stands on, besides toxcore. */
export interface TunnelNodeParts {
  nowMs(): number;
  /** 32 bits from a CSPRNG. */
  random32(): number;
  tell(event: WorkerEvent): void;
  log(level: LogLevel, message: string): void;
  readonly createChannel: CreateChannel;
  /** Into the inbound ring; false when it is full. */
  deliver(channel: ChannelId, frame: Uint8Array): boolean;
  drained(channel: ChannelId, bytes: number): void;
  /** Frames wait to be sent or handed up. */
  wake(): void;
  /** Calls back outside of toxcore, unless the node is closed before. */
  later(callback: () => void): void;
  /** toxcore was told something that its next full work acts on. */
  wakeFully(): void;
}

/** A Tox instance with its friends and their channels. */
export class TunnelNode {
  readonly tox: Tox;
  readonly channels: ChannelSet;
  readonly #parts: TunnelNodeParts;
  readonly #requests: RequestGate;
  readonly #relays = new Relays();
  readonly #handshakes = new Map<FriendNumber, Allowance>();

  /** @throws {TunnelError} ERR_TOX_START */
  constructor(
    parts: TunnelNodeParts,
    module: Pick<ToxModule, 'createTox'>,
    options: TunnelNodeOptions,
    sockets: { readonly ipv6: boolean; readonly udpPort: number },
  ) {
    this.#parts = parts;
    this.#requests = new RequestGate((count) => parts.tell({ type: 'requests-dropped', count }));
    this.channels = new ChannelSet(parts.createChannel, {
      sendPacket: (friend, packet) => this.#sendPacket(friend, packet),
      seek: (friend) => void this.tox.seekFriend(friend),
      deliver: parts.deliver,
      drained: parts.drained,
      failed: (channel, error) => parts.tell({ type: 'channel-failed', channel, error: error.toWire() }),
      wake: parts.wake,
    });
    const toxOptions: ToxOptions = {
      ...(options.secretKey !== undefined && { secretKey: options.secretKey }),
      ...(options.nospam !== undefined && { nospam: options.nospam }),
      udp: options.udp && options.proxy === undefined,
      ipv6: sockets.ipv6,
      udpPort: sockets.udpPort,
      lanDiscovery: options.lanDiscovery && options.proxy === undefined,
    };
    this.tox = module.createTox(toxOptions, this.#events());
  }

  bootstrap(ip: string, port: number, key: Uint8Array): boolean {
    return this.tox.bootstrap(ip, port, key);
  }

  /** The relay is also kept for friends. */
  addRelay(ip: string, port: number, key: Uint8Array): boolean {
    const added = this.tox.addRelay(ip, port, key);
    if (added) this.#relays.add(ip, port, key);
    return added;
  }

  addFriend(address: Uint8Array, message: Uint8Array): Outcome {
    if (address.length !== TOX_ID_BYTES) {
      throw new TunnelError(
        'ERR_ADDRESS_INVALID',
        `a Tox ID has ${TOX_ID_BYTES} bytes, this ${address.length}`,
      );
    }
    if (message.length === 0 || message.length > MAX_REQUEST_BYTES) {
      throw new TunnelError('ERR_LIMIT', `a friend request takes 1 to ${MAX_REQUEST_BYTES} bytes of message`);
    }
    return this.#added(this.tox.addFriend(address, message));
  }

  /** Which friend requests are handed up from now on; none before this is called. */
  admitRequests(admission: RequestAdmission): void {
    this.#requests.admit(admission, this.#parts.nowMs());
  }

  acceptFriend(publicKey: Uint8Array): Outcome {
    if (publicKey.length !== PUBLIC_KEY_BYTES) {
      throw new TunnelError(
        'ERR_ADDRESS_INVALID',
        `a public key has ${PUBLIC_KEY_BYTES} bytes, this ${publicKey.length}`,
      );
    }
    return this.#added(this.tox.acceptFriend(publicKey));
  }

  removeFriend(friend: FriendNumber): boolean {
    this.channels.closeOfFriend(friend);
    this.#handshakes.delete(friend);
    return this.tox.deleteFriend(friend);
  }

  sendHandshake(friend: FriendNumber, packet: Uint8Array): Outcome {
    if (packet.length > MAX_PACKET_BYTES || !isHandshake(packet)) {
      throw new TunnelError('ERR_HANDSHAKE_INVALID', 'this is no packet of ours that starts a session');
    }
    const result = this.tox.sendLossless(friend, packet);
    if (result === 'sent') this.#parts.wakeFully();
    const reason = HANDSHAKE_REASONS[result];
    return { code: HANDSHAKE_CODES[result], friend, ...(reason !== undefined && { reason }) };
  }

  openChannel(channel: ChannelId, friend: FriendNumber, frameBytes: number, tag: number): boolean {
    const seed = this.#parts.random32();
    return this.channels.open(channel, friend, this.tox.friendPath(friend), { frameBytes, tag, seed });
  }

  channelStats(channel: ChannelId): ChannelStats | undefined {
    return this.channels.get(channel)?.stats(this.#parts.nowMs());
  }

  #added(added: FriendAdd): Outcome {
    this.#parts.wakeFully();
    switch (added.kind) {
      case 'added':
        return { code: 101, friend: added.friend };
      case 'already':
        return { code: 103, friend: -1 };
      case 'failed':
        return { code: 102, friend: -1, reason: added.reason };
    }
  }

  #events(): ToxEvents {
    const { tell, log, nowMs } = this.#parts;
    // Views of wasm memory are copied: the events outlive the call. (A Buffer's slice() would be no copy.)
    return {
      selfPath: (path) => tell({ type: 'self-path', path }),
      friendRequest: (publicKey, message) => {
        if (!this.#requests.take(publicKey, message, nowMs())) return;
        tell({
          type: 'friend-request',
          publicKey: new Uint8Array(publicKey),
          message: new Uint8Array(message),
        });
      },
      friendPath: (friend, path) => this.#pathChanged(friend, path),
      losslessPacket: (friend, packet) => this.#losslessPacket(friend, packet),
      lossyPacket: (friend, packet) => {
        if (packet[0] === LOSSY_PACKET_ID) this.channels.receive(friend, packet, nowMs());
      },
      log,
    };
  }

  #pathChanged(friend: FriendNumber, path: Path): void {
    // A listener that restarted has forgotten its friends: it must be asked once more. Not here,
    // inside toxcore, which marks the friend as offline only after this.
    if (path === 'none') this.#parts.later(() => this.tox.askAgain(friend));
    else this.#parts.later(() => this.#relays.giveTo(friend, this.tox));
    this.#parts.tell({ type: 'friend-path', friend, path });
    this.channels.pathChanged(friend, path, this.#parts.nowMs());
  }

  #losslessPacket(friend: FriendNumber, packet: Uint8Array): void {
    const { tell, log, nowMs } = this.#parts;
    if (isHandshake(packet)) {
      let allowance = this.#handshakes.get(friend);
      if (allowance === undefined) {
        allowance = new Allowance(HANDSHAKES_BURST, HANDSHAKES_PER_SECOND, nowMs());
        this.#handshakes.set(friend, allowance);
      }
      if (allowance.take(nowMs())) tell({ type: 'handshake', friend, packet: new Uint8Array(packet) });
      else log('debug', `friend ${friend} sends too many handshakes: one was dropped`);
    } else if (packet[0] === LOSSLESS_PACKET_ID) {
      // Of no kind that the handshake knows: a channel over lossless packets would want it.
      this.channels.receive(friend, packet, nowMs());
    }
  }

  #sendPacket(friend: FriendNumber, packet: Uint8Array): PacketResult {
    const lossless = packet[0] === LOSSLESS_PACKET_ID;
    const result = lossless ? this.tox.sendLossless(friend, packet) : this.tox.sendLossy(friend, packet);
    return result === 'not-a-friend' ? 'failed' : result;
  }
}

const HANDSHAKE_CODES: Readonly<Record<SendResult, keyof typeof RETURN_CODES>> = {
  sent: 201,
  'not-a-friend': 202,
  full: 203,
  failed: 203,
  offline: 204,
};

const HANDSHAKE_REASONS: Readonly<Record<SendResult, string | undefined>> = {
  sent: undefined,
  'not-a-friend': 'there is no such friend: add it first',
  full: 'toxcore holds as many packets for this friend as it takes: try again',
  failed: 'toxcore refused the packet',
  offline: 'the friend is not online: try again when it is',
};

function isHandshake(packet: Uint8Array): boolean {
  const kind = packet[1];
  return (
    packet[0] === LOSSLESS_PACKET_ID && kind !== undefined && kind >= KIND_HELLO && kind <= KIND_CHALLENGE
  );
}
