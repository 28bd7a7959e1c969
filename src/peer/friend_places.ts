import type { Outcome, ToxNode } from '../bridge/tox_node.js';
import { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { Path } from '../core/tox_network.js';
import type { Reason } from '../mux/wire/reasons.js';
import { upperHex } from '../network/tox_id.js';
import type { Grant } from '../rules/rule_book.js';
import type { ListenerPeer } from './listener_peer.js';
import type { PeerInfo } from './peer_info.js';
import { addTraffic, NO_TRAFFIC, type Traffic } from './traffic.js';

/** How long a friend that has gone keeps its place, when nobody else wants it. */
const IDLE_FRIEND_MS = 10 * 60_000;

/**
 * Requests that wait for a place; toxcore tells of the same friend's only once while it remembers
 * this many. Source: MAX_RECEIVED_STORED, toxcore/friend_requests.c.
 */
const MAX_WAITING_REQUESTS = 32;

interface Request {
  readonly publicKey: Uint8Array;
  readonly grant: Grant;
}

/** A friend, and what it is served by. */
export interface Place {
  readonly peer: Pick<
    ListenerPeer,
    'hasMet' | 'isIdle' | 'idleMs' | 'traffic' | 'friendPath' | 'handshake' | 'close'
  >;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** What it was let in by. */
  readonly grant: Grant;
  info(): PeerInfo;
  /** Gives up what is done for the friend. */
  close(): void;
}

export interface FriendPlacesOptions {
  readonly node: Pick<ToxNode, 'removeFriend' | 'friendPath'> & {
    readonly worker: Pick<ToxNode['worker'], 'acceptFriend'>;
  };
  readonly logger: Logger;
  /** Whether what let somebody in is still in force. @param publicKey 64 hexadecimal digits */
  readonly mayStay: (grant: Grant, publicKey: string) => boolean;
  /** Friends at once. */
  readonly maxPeers: number;
  /** What came of a request. @param publicKey 64 hexadecimal digits */
  readonly onAnswer: (publicKey: string, outcome: Outcome) => void;
  readonly newPlace: (friend: number, publicKey: string, grant: Grant) => Place;
}

/** The friends of a listener: at most so many. Those who have long gone make room for others. */
export class FriendPlaces {
  readonly #options: FriendPlacesOptions;
  /** By friend number. */
  readonly #places = new Map<number, Place>();
  /** Who waits for a place, by the digits of the public key, oldest first. */
  readonly #requests = new Map<string, Request>();
  #seating = false;
  #saidFull = false;
  /** Whose request toxcore is told of now, and whether it was cut off meanwhile. */
  #accepting: { readonly name: string; isCut: boolean } | undefined;
  #closed = false;
  #past = NO_TRAFFIC;

  constructor(options: FriendPlacesOptions) {
    this.#options = options;
  }

  /** Of all friends that there are and were. */
  get traffic(): Traffic {
    return [...this.#places.values()].reduce((sum, { peer }) => addTraffic(sum, peer.traffic), this.#past);
  }

  /** Somebody who may come in wants to be a friend: it is accepted as soon as there is a place. */
  async request(publicKey: Uint8Array, grant: Grant): Promise<void> {
    if (this.#closed) return;
    this.#requests.set(upperHex(publicKey), { publicKey, grant });
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > MAX_WAITING_REQUESTS && oldest !== undefined) this.#requests.delete(oldest);
    await this.seat();
  }

  /** Accepts those who wait, as far as there are places. To be called when a peer became idle. */
  async seat(): Promise<void> {
    if (this.#seating) return;
    this.#seating = true;
    try {
      for (;;) {
        const [next] = this.#requests;
        if (next === undefined || this.#closed) return;
        if (!(await this.#makePlace())) return;
        const [name, request] = next;
        // It may have been cut off while a place was made.
        if (!this.#requests.delete(name)) continue;
        await this.#accept(name, request);
      }
    } catch (error) {
      // Only a node that is gone refuses, here and below, and that is told as such.
      if (!TunnelError.is(error)) throw error;
    } finally {
      this.#seating = false;
    }
  }

  /** The friend has left for good: its place is free. */
  async free(friend: number, reason: Reason = 'limit'): Promise<void> {
    try {
      await this.#remove(friend, reason);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
    }
    await this.seat();
  }

  /** Ends all that belongs to those who may stay no longer, and forgets them. */
  async dismiss(): Promise<void> {
    const { mayStay } = this.#options;
    for (const [name, { grant }] of this.#requests) if (!mayStay(grant, name)) this.#requests.delete(name);
    const out = [...this.#places].filter(([, { grant, publicKey }]) => !mayStay(grant, publicKey));
    try {
      await Promise.all(out.map(([friend]) => this.#remove(friend, 'not-allowed')));
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
    }
    await this.seat();
  }

  infos(): PeerInfo[] {
    return [...this.#places.values()].map((place) => place.info());
  }

  /** Cuts off the friend of that key, and forgets its request. @returns false when there was neither */
  async cut(publicKey: string): Promise<boolean> {
    const isAccepting = this.#accepting?.name === publicKey;
    if (this.#accepting !== undefined && isAccepting) this.#accepting.isCut = true;
    const waited = this.#requests.delete(publicKey) || isAccepting;
    const found = [...this.#places].find(([, place]) => place.publicKey === publicKey);
    if (found === undefined) return waited;
    const [friend] = found;
    await this.free(friend, 'not-allowed');
    return true;
  }

  friendPath(friend: number, path: Path): void {
    this.#places.get(friend)?.peer.friendPath(path);
  }

  async handshake(friend: number, packet: Uint8Array): Promise<void> {
    await this.#places.get(friend)?.peer.handshake(packet);
  }

  /** Ends all that belongs to friends, politely. Never rejects. */
  async close(): Promise<void> {
    this.#closed = true;
    this.#requests.clear();
    await Promise.all(
      [...this.#places.values()].map(async (place) => {
        place.close();
        await place.peer.close('peer-shutdown');
      }),
    );
  }

  async #accept(name: string, { publicKey, grant }: Request): Promise<void> {
    const { node, mayStay, onAnswer, newPlace } = this.#options;
    const accepting = { name, isCut: false };
    this.#accepting = accepting;
    const outcome = await node.worker.acceptFriend(publicKey);
    this.#accepting = undefined;
    if (this.#closed) return;
    if (accepting.isCut || !mayStay(grant, name)) {
      if (outcome.code === 101) await node.removeFriend(outcome.friend);
      return;
    }
    if (outcome.code === 101) {
      const place = newPlace(outcome.friend, name, grant);
      this.#places.set(outcome.friend, place);
      onAnswer(name, outcome);
      // It may have come online before its number was known here.
      place.peer.friendPath(node.friendPath(outcome.friend));
    } else {
      onAnswer(name, outcome);
    }
  }

  /** Room for one more friend: strangers that never shook hands go first, then who is away longest. */
  async #makePlace(): Promise<boolean> {
    const idle = [...this.#places]
      .filter(([, { peer }]) => peer.isIdle)
      .sort(([, { peer: a }], [, { peer: b }]) => Number(a.hasMet) - Number(b.hasMet) || b.idleMs - a.idleMs);
    const { maxPeers } = this.#options;
    let surplus = this.#places.size + 1 - maxPeers;
    for (const [friend, { peer }] of idle) {
      if (surplus <= 0 && peer.idleMs < IDLE_FRIEND_MS) continue;
      // While another was removed it may have come back.
      if (!peer.isIdle) continue;
      surplus--;
      await this.#remove(friend, 'limit');
    }
    if (surplus > 0 && !this.#saidFull) {
      this.#options.logger.log(
        'warn',
        `${maxPeers} peers are connected: further friend requests have to wait`,
      );
    }
    this.#saidFull = surplus > 0;
    return surplus <= 0;
  }

  async #remove(friend: number, reason: Reason): Promise<void> {
    const place = this.#places.get(friend);
    if (place === undefined) return;
    this.#places.delete(friend);
    this.#past = addTraffic(this.#past, place.peer.traffic);
    place.close();
    await place.peer.close(reason);
    await this.#options.node.removeFriend(friend);
  }
}
