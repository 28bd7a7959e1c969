import type { SeenAddress } from '../../bridge/contract.js';
import { TunnelError } from '../../core/errors.js';
import { MAX_PACKET_BYTES } from '../../core/packets.js';
import type { FriendNumber, Path, PeerPlace } from '../../core/tox_network.js';
import {
  MAX_REQUEST_BYTES,
  PUBLIC_KEY_BYTES,
  SECRET_KEY_BYTES,
  SESSION_BINDING_BYTES,
  TOX_ID_BYTES,
} from '../../core/tox_network.js';
import { pathOf, TOX_CONSTANTS as T } from './constants.js';
import type { BridgeFunctions, Pointer } from './exports.js';
import type { Guard } from './guard.js';
import type { EventTable } from './imports.js';
import type { Staging } from './memory.js';
import { PLACE_BYTES, readPlace, writePlace } from './peer_places.js';
import { readSeenAddresses, SEEN_BYTES } from './seen_addresses.js';
import type { BootstrapNode, FriendAdd, SendResult, Tox } from './tox.js';

/** What all instances of one module share. */
export interface Bridge {
  readonly wasm: BridgeFunctions;
  readonly guard: Guard;
  readonly staging: Staging;
  readonly events: EventTable;
}

// Indexed by Tox_Err_Friend_Custom_Packet.
const SEND_RESULTS: readonly SendResult[] = [
  'sent',
  'failed',
  'not-a-friend',
  'offline',
  'failed',
  'failed',
  'failed',
  'full',
];

const ADD_REASONS: Readonly<Record<number, string>> = {
  [T.TOX_ERR_FRIEND_ADD_TOO_LONG]: `the message is longer than ${MAX_REQUEST_BYTES} bytes; shorten it`,
  [T.TOX_ERR_FRIEND_ADD_NO_MESSAGE]: 'the message is empty; a friend request needs at least one byte',
  [T.TOX_ERR_FRIEND_ADD_OWN_KEY]: 'this is our own key; use the Tox ID of the other end',
  [T.TOX_ERR_FRIEND_ADD_BAD_CHECKSUM]: 'the checksum of the Tox ID is wrong; copy the whole ID again',
  [T.TOX_ERR_FRIEND_ADD_MALLOC]: 'there is no memory left for another friend',
};

/** A {@link Tox} in the wasm. */
export class ToxInstance implements Tox {
  readonly address: Uint8Array;
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
  readonly dhtId: Uint8Array;
  readonly udpPort: number;
  readonly #bridge: Bridge;
  readonly #id: number;
  #tox: Pointer;

  /** @param tox result of instance_create; this object owns it from now on */
  constructor(bridge: Bridge, id: number, tox: Pointer) {
    this.#bridge = bridge;
    this.#id = id;
    this.#tox = tox;
    const { wasm, staging } = bridge;
    wasm.instance_identity(tox);
    this.address = staging.take(0, TOX_ID_BYTES);
    this.publicKey = staging.take(TOX_ID_BYTES, PUBLIC_KEY_BYTES);
    this.secretKey = staging.take(TOX_ID_BYTES + PUBLIC_KEY_BYTES, SECRET_KEY_BYTES);
    this.dhtId = staging.take(TOX_ID_BYTES + 2 * PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES);
    this.udpPort = wasm.instance_udp_port(tox);
  }

  iterate(): void {
    this.#bridge.wasm.instance_iterate(this.#outside(), this.#id);
  }

  poll(): void {
    this.#bridge.wasm.instance_poll(this.#outside(), this.#id);
  }

  intervalMs(): number {
    return this.#bridge.wasm.instance_interval_ms(this.#live());
  }

  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    return staging.putNode(ip, port, dhtKey) && wasm.instance_bootstrap(tox, port) === 1;
  }

  addRelay(ip: string, port: number, dhtKey: Uint8Array): boolean {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    return staging.putNode(ip, port, dhtKey) && wasm.instance_add_relay(tox, port) === 1;
  }

  addFriend(address: Uint8Array, message: Uint8Array): FriendAdd {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    if (address.length !== TOX_ID_BYTES) {
      return { kind: 'failed', reason: `a Tox ID has ${TOX_ID_BYTES} bytes, not ${address.length}` };
    }
    if (message.length > MAX_REQUEST_BYTES) {
      return { kind: 'failed', reason: ADD_REASONS[T.TOX_ERR_FRIEND_ADD_TOO_LONG]! };
    }
    staging.put(address);
    staging.put(message, TOX_ID_BYTES);
    return this.#added(wasm.instance_add_friend(tox, message.length), address.subarray(0, PUBLIC_KEY_BYTES));
  }

  acceptFriend(publicKey: Uint8Array): FriendAdd {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    if (publicKey.length !== PUBLIC_KEY_BYTES) {
      return {
        kind: 'failed',
        reason: `a public key has ${PUBLIC_KEY_BYTES} bytes, not ${publicKey.length}`,
      };
    }
    staging.put(publicKey);
    return this.#added(wasm.instance_accept_friend(tox), publicKey);
  }

  setRequest(friend: FriendNumber, address: Uint8Array, message: Uint8Array): boolean {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    if (address.length !== TOX_ID_BYTES || message.length > MAX_REQUEST_BYTES) return false;
    staging.put(address);
    staging.put(message, TOX_ID_BYTES);
    return wasm.instance_set_request(tox, friend, message.length) === 1;
  }

  askAgain(friend: FriendNumber): boolean {
    return this.#bridge.wasm.instance_ask_again(this.#live(), friend) === 1;
  }

  deleteFriend(friend: FriendNumber): boolean {
    return this.#bridge.wasm.instance_delete_friend(this.#live(), friend) === 1;
  }

  friendPath(friend: FriendNumber): Path {
    return pathOf(this.#bridge.wasm.instance_friend_path(this.#live(), friend));
  }

  sessionBinding(friend: FriendNumber): Uint8Array | undefined {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    return wasm.instance_session_binding(tox, friend) === 1
      ? staging.take(0, SESSION_BINDING_BYTES)
      : undefined;
  }

  addFriendRelay(friend: FriendNumber, ip: string, port: number, dhtKey: Uint8Array): boolean {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    return staging.putNode(ip, port, dhtKey) && wasm.instance_add_friend_relay(tox, friend, port) === 1;
  }

  seekFriend(friend: FriendNumber): boolean {
    return this.#bridge.wasm.instance_seek_friend(this.#live(), friend) === 1;
  }

  knock(place: PeerPlace): number {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    const bytes = writePlace(place);
    return bytes !== undefined && staging.put(bytes) ? wasm.instance_knock(tox) : 0;
  }

  friendPlace(friend: FriendNumber): PeerPlace | undefined {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    return wasm.instance_friend_place(tox, friend) === 1
      ? readPlace(staging.take(0, PLACE_BYTES))
      : undefined;
  }

  seenAddresses(): readonly SeenAddress[] {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    return readSeenAddresses(staging.take(0, wasm.instance_seen_addresses(tox) * SEEN_BYTES));
  }

  sendLossless(friend: FriendNumber, packet: Uint8Array): SendResult {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    if (packet.length > MAX_PACKET_BYTES) return 'failed';
    staging.put(packet);
    return SEND_RESULTS[wasm.instance_send_lossless(tox, friend, packet.length)] ?? 'failed';
  }

  sendLossy(friend: FriendNumber, packet: Uint8Array): SendResult {
    const tox = this.#live();
    const { wasm, staging } = this.#bridge;
    if (packet.length > MAX_PACKET_BYTES) return 'failed';
    staging.put(packet);
    return SEND_RESULTS[wasm.instance_send_lossy(tox, friend, packet.length)] ?? 'failed';
  }

  kill(): void {
    if (this.#tox === 0) return;
    const tox = this.#tox;
    const { wasm, guard, events } = this.#bridge;
    this.#tox = 0;
    events.delete(this.#id);
    guard.whenOutside(() => wasm.instance_kill(tox));
  }

  #live(): Pointer {
    if (this.#tox === 0) throw new TunnelError('ERR_CLOSED', 'this Tox instance was killed');
    return this.#tox;
  }

  // toxcore's own loop must not be entered from one of its callbacks.
  #outside(): Pointer {
    if (this.#bridge.guard.inside)
      throw new TunnelError('ERR_TOX_BUSY', 'a handler called iterate() or poll()');
    return this.#live();
  }

  #added(result: number, publicKey: Uint8Array): FriendAdd {
    if (result >= 0) return { kind: 'added', friend: result };
    const error = -result;
    if (error === T.TOX_ERR_FRIEND_ADD_ALREADY_SENT || error === T.TOX_ERR_FRIEND_ADD_SET_NEW_NOSPAM) {
      const { wasm, staging } = this.#bridge;
      staging.put(publicKey);
      return { kind: 'already', friend: wasm.instance_find_friend(this.#tox) };
    }
    return { kind: 'failed', reason: ADD_REASONS[error] ?? `toxcore reports error ${error}` };
  }
}

/** A {@link BootstrapNode} in the wasm. */
export class BootstrapInstance implements BootstrapNode {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
  readonly #bridge: Bridge;
  readonly #id: number;
  #node: Pointer;

  /** @param node result of node_create; this object owns it from now on */
  constructor(bridge: Bridge, id: number, node: Pointer) {
    this.#bridge = bridge;
    this.#id = id;
    this.#node = node;
    const { wasm, staging } = bridge;
    wasm.node_identity(node);
    this.publicKey = staging.take(0, PUBLIC_KEY_BYTES);
    this.secretKey = staging.take(PUBLIC_KEY_BYTES, SECRET_KEY_BYTES);
  }

  isConnected(): boolean {
    return this.#bridge.wasm.node_is_connected(this.#live()) === 1;
  }

  bootstrap(ip: string, port: number, dhtKey: Uint8Array): boolean {
    const node = this.#live();
    const { wasm, staging } = this.#bridge;
    return staging.putNode(ip, port, dhtKey) && wasm.node_bootstrap(node, port) === 1;
  }

  iterate(): void {
    this.#bridge.wasm.node_iterate(this.#live());
  }

  poll(): void {
    this.#bridge.wasm.node_poll(this.#live());
  }

  kill(): void {
    if (this.#node === 0) return;
    const node = this.#node;
    const { wasm, guard, events } = this.#bridge;
    this.#node = 0;
    events.delete(this.#id);
    guard.whenOutside(() => wasm.node_kill(node));
  }

  #live(): Pointer {
    if (this.#node === 0) throw new TunnelError('ERR_CLOSED', 'this bootstrap node was killed');
    return this.#node;
  }
}
