import type { Outcome, ToxNode } from '../bridge/tox_node.js';
import { TunnelError } from '../core/errors.js';
import { KIND_HELLO } from '../core/packets.js';
import type { Path } from '../core/tox_network.js';
import { packetKind } from '../mux/wire/handshake.js';
import type { Reason } from '../mux/wire/reasons.js';
import { upperHex } from '../network/tox_id.js';
import type { Grant } from '../rules/rule_book.js';
import type { ListenerPeer } from './listener_peer.js';
import type { PeerInfo } from './peer_info.js';
import type { CloseDeadline } from './peer_session.js';
import { addTraffic, NO_TRAFFIC, type Traffic } from './traffic.js';

/** How long a friend that has gone keeps a place that nobody else wants. */
const IDLE_FRIEND_MS = 10 * 60_000;
/**
 * How many friends that have gone are kept that long: those that left last. Searching for a friend costs traffic, and
 * brief visitors would add up. Any other friend that has gone is kept for a shorter time; it can ask again.
 */
const MAX_AWAY = 8;
const CROWDED_IDLE_MS = 30_000;

/** Requests waiting for a place, or for their turn. A connector repeats a request that is dropped. */
const MAX_WAITING_REQUESTS = 256;
/** Minimum interval between two reports to the owner that all places are taken. */
const SAY_FULL_MS = 10 * 60_000;

interface Request {
  readonly publicKey: Uint8Array;
  readonly grant: Grant;
}

/** What a friend may do before its hello has shown what lets it in. */
const NOTHING: Grant = { name: 'unproven', kind: 'peer', rules: [] };

/** A friend, and what serves it. */
export interface Place {
  readonly peer: Pick<
    ListenerPeer,
    'hasMet' | 'isIdle' | 'idleMs' | 'traffic' | 'friendPath' | 'handshake' | 'sendMark' | 'close'
  >;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** What let the friend in. */
  readonly grant: Grant;
  info(): PeerInfo;
  /** Stops serving the friend. */
  close(): void;
}

export interface FriendPlacesOptions {
  readonly node: Pick<ToxNode, 'acceptFriend' | 'shareFriend' | 'removeFriend' | 'friendPath'>;
  nowMs(): number;
  /** A request waits because all places are taken. Called once in ten minutes at most. */
  readonly onFull: (message: string) => void;
  /** Whether a grant is still in force. @param publicKey 64 hexadecimal digits */
  readonly mayStay: (grant: Grant, publicKey: string) => boolean;
  /** Maximum number of friends. */
  readonly maxPeers: number;
  /** The result of a request. @param publicKey 64 hexadecimal digits */
  readonly onAnswer: (publicKey: string, outcome: Outcome) => void;
  readonly newPlace: (friend: number, publicKey: string, grant: Grant) => Place;
}

/** A listener's friends, up to a limit. Friends that left long ago make room for others. */
export class FriendPlaces {
  readonly #options: FriendPlacesOptions;
  /** By friend number. */
  readonly #places = new Map<number, Place>();
  /** Requests waiting for a place, by the digits of the public key, oldest first. */
  readonly #requests = new Map<string, Request>();
  #seating = false;
  /** When the owner last heard that all places are taken. */
  #saidFullMs = Number.NEGATIVE_INFINITY;
  /** The request being accepted now, and whether its peer has been cut off since. */
  #accepting: { readonly name: string; isCut: boolean } | undefined;
  /** The friends of other parts of the program that are getting a place. */
  readonly #adopting = new Set<number>();
  #closed = false;
  #past = NO_TRAFFIC;

  constructor(options: FriendPlacesOptions) {
    this.#options = options;
  }

  /** Traffic of all present and former friends. */
  get traffic(): Traffic {
    return [...this.#places.values()].reduce((sum, { peer }) => addTraffic(sum, peer.traffic), this.#past);
  }

  /** Takes the request of a peer that may come in, and accepts it as soon as there is a place. */
  async request(publicKey: Uint8Array, grant: Grant): Promise<void> {
    if (this.#closed) return;
    this.#requests.set(upperHex(publicKey), { publicKey, grant });
    const [oldest] = this.#requests.keys();
    if (this.#requests.size > MAX_WAITING_REQUESTS && oldest !== undefined) this.#requests.delete(oldest);
    await this.seat();
  }

  /** Accepts waiting requests while there are places. Call it when a peer has become idle. */
  async seat(): Promise<void> {
    if (this.#seating) return;
    this.#seating = true;
    try {
      for (;;) {
        const [next] = this.#requests;
        if (next === undefined || this.#closed) return;
        if (!(await this.#makePlace())) return;
        const [name, request] = next;
        // The peer may have been cut off during the wait.
        if (!this.#requests.delete(name)) continue;
        await this.#accept(name, request);
      }
    } catch (error) {
      // Only a node that is gone rejects, here and below, and the node reports that itself.
      if (!TunnelError.is(error)) throw error;
    } finally {
      this.#seating = false;
    }
  }

  /** Frees the place of a friend that has left permanently. */
  async free(friend: number, reason: Reason = 'limit'): Promise<void> {
    try {
      await this.#remove(friend, reason);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
    }
    await this.seat();
  }

  /** Removes all friends and requests whose grant is no longer in force. */
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

  /** Cuts off the friend with this key, and drops its request. @returns false when there was neither */
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

  /** Takes a handshake packet. A hello of a friend that another part of the program has added asks for a place. */
  async handshake(friend: number, packet: Uint8Array): Promise<void> {
    if (packetKind(packet) === KIND_HELLO && !this.#places.has(friend)) await this.#adopt(friend);
    await this.#places.get(friend)?.peer.handshake(packet);
  }

  /** Returns a function that tells whether all that was written so far is on its way to the friends that are online. */
  sendMark(): () => boolean {
    const marks = [...this.#places.values()].map(({ peer }) => peer.sendMark());
    return () => marks.every((isSent) => isSent());
  }

  /** Says BYE to all friends and stops serving them. Never rejects. */
  async close(deadline?: CloseDeadline): Promise<void> {
    this.#closed = true;
    this.#requests.clear();
    await Promise.all(
      [...this.#places.values()].map(async (place) => {
        place.close();
        await place.peer.close('peer-shutdown', deadline);
      }),
    );
  }

  /** Removes all friends. Call it after {@link close}. @throws {TunnelError} ERR_CLOSED, ERR_WORKER_DIED */
  async removeAll(): Promise<void> {
    for (const friend of [...this.#places.keys()]) await this.#remove(friend, 'peer-shutdown');
  }

  /** A method, because TypeScript assumes that a property keeps its value across an `await`. */
  #isClosed(): boolean {
    return this.#closed;
  }

  async #adopt(friend: number): Promise<void> {
    const { node, newPlace } = this.#options;
    if (this.#closed || this.#adopting.has(friend)) return;
    const publicKey = node.shareFriend(friend);
    if (publicKey === undefined) return;
    this.#adopting.add(friend);
    try {
      if ((await this.#makePlace()) && !this.#isClosed()) {
        const place = newPlace(friend, upperHex(publicKey), NOTHING);
        this.#places.set(friend, place);
        place.peer.friendPath(node.friendPath(friend));
      } else {
        await node.removeFriend(friend);
      }
    } catch (error) {
      // Only a node that is gone rejects, and the node reports that itself.
      if (!TunnelError.is(error)) throw error;
    } finally {
      this.#adopting.delete(friend);
    }
  }

  async #accept(name: string, { publicKey, grant }: Request): Promise<void> {
    const { node, mayStay, onAnswer, newPlace } = this.#options;
    const accepting = { name, isCut: false };
    this.#accepting = accepting;
    const outcome = await node.acceptFriend(publicKey);
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
      // It may have come online before this class knew its number.
      place.peer.friendPath(node.friendPath(outcome.friend));
    } else {
      onAnswer(name, outcome);
    }
  }

  /**
   * Makes room for one more friend. Friends that never completed a handshake go first, then those
   * that have been away longest.
   */
  async #makePlace(): Promise<boolean> {
    const idle = [...this.#places]
      .filter(([, { peer }]) => peer.isIdle)
      .sort(([, { peer: a }], [, { peer: b }]) => Number(a.hasMet) - Number(b.hasMet) || b.idleMs - a.idleMs);
    const { maxPeers } = this.#options;
    let surplus = this.#places.size + 1 - maxPeers;
    for (const [index, [friend, { peer }]] of idle.entries()) {
      const staysMs = index < idle.length - MAX_AWAY ? CROWDED_IDLE_MS : IDLE_FRIEND_MS;
      if (surplus <= 0 && peer.idleMs < staysMs) continue;
      // The peer may have come back while another was being removed.
      if (!peer.isIdle) continue;
      surplus--;
      await this.#remove(friend, 'limit');
    }
    if (surplus > 0) this.#sayFull();
    return surplus <= 0;
  }

  /** At most once every {@link SAY_FULL_MS}: at a full listener, places may change hands all the time. */
  #sayFull(): void {
    const { maxPeers, onFull, nowMs } = this.#options;
    const atMs = nowMs();
    if (atMs - this.#saidFullMs < SAY_FULL_MS) return;
    this.#saidFullMs = atMs;
    const places = maxPeers === 1 ? 'the only place is' : `all ${maxPeers} places are`;
    onFull(
      `${places} taken: new peers wait until another one leaves; let in more with --max-peers (maxPeers)`,
    );
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
