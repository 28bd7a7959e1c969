import type { Clock } from '../../core/clock.js';
import { type Datagram, DatagramQueue } from './datagram_queue.js';
import { FairQueue } from './fair_queue.js';
import { RecentSources, Sources } from './sources.js';

/** Maximum number of datagrams of friends that wait: 0.2 s of packets at the highest rate measured. */
const MAX_WAITING = 16_384;
const MAX_WAITING_BYTES = 24 * 1024 * 1024;

/** Datagrams of strangers that wait, for each kind: half a second of them at what they may cost. */
const MAX_STRANGERS = 1024;

/**
 * Share of the thread's time that datagrams of strangers may take. Each may cost an X25519, about 0.1 ms.
 * Reading the datagrams of a flood takes time too, and the friends need the rest.
 */
const SHARE_NEXT_TO_FRIENDS = 0.08;
const SHARE_ALONE = 0.5;
const FRIENDS_SILENT_MS = 500;

/** Maximum that may be saved up: more than a turn of the pump every 50 ms needs. */
const MAX_SAVED_MS = 10;

/** After the time is used up, this much is saved before the next datagram: turns have a cost of their own. */
const LEAST_SAVED_MS = 1;

/** Strangers' datagrams that go before those of friends in one turn, so that a busy tunnel stays in the DHT. */
const STRANGERS_FIRST = 4;

/** toxcore pings a session every 8 s and gives it up after 32 s. Source: friend_connection.h, net_crypto.h. */
const FRIEND_LASTS_MS = 32_000;
/** toxcore asks its neighbours in the DHT once a minute, and forgets them after 122 s. Source: DHT.h. */
const ASKED_LASTS_MS = 122_000;
const MAX_FRIENDS = 16_384;
const MAX_ASKED = 4096;

/** Packet kinds. Source: Net_Packet_Type, toxcore/network.h. */
const PING_REQUEST = 0x00;
const NODES_REQUEST = 0x02;
const COOKIE_REQUEST = 0x18;
const CRYPTO_HANDSHAKE = 0x1a;
const CRYPTO_DATA = 0x1b;
const CRYPTO_REQUEST = 0x20;
const ONION_INITIAL = 0x80;
const FIRST_ONION = 0x80;

/** Strangers' datagrams, by what they want. A flood of one kind leaves the others their turns. */
const OF_ASKED = 0;
const SESSIONS = 1;
const SEARCHES = 2;
const RELAYING = 3;
const PINGS = 4;
const LANES = 5;

/**
 * The datagrams that have arrived, in the order in which toxcore gets them.
 *
 * Packets of friends go first. A friend's address is one to which toxcore has sent packets of a session: it has no
 * session with anyone else. All other datagrams share a part of the time. Datagrams of nodes that toxcore has asked
 * something take turns with four kinds of requests; within each kind, the sources take turns. When there are too many,
 * most requests of strangers are dropped, and those of a flood first.
 */
export class Arrivals {
  readonly #clock: Clock;
  readonly #sources: Sources;
  readonly #friends = new RecentSources(FRIEND_LASTS_MS, MAX_FRIENDS);
  readonly #asked = new RecentSources(ASKED_LASTS_MS, MAX_ASKED);
  readonly #ofFriends: DatagramQueue;
  readonly #lanes: readonly FairQueue[] = Array.from({ length: LANES }, () => new FairQueue(MAX_STRANGERS));
  #strangers = 0;
  #lane = 0;
  #nowMs: number;
  #friendsAtMs = Number.NEGATIVE_INFINITY;

  /** Time that strangers may take now. Negative after a datagram that took longer. */
  #savedMs = MAX_SAVED_MS;
  #usedUp = false;
  #handedAtMs: number | undefined;
  #strangersFirst = 0;

  /** @param seed a random number below 2^32 */
  constructor(clock: Clock, seed: number, ofFriends = new DatagramQueue(MAX_WAITING, MAX_WAITING_BYTES)) {
    this.#clock = clock;
    this.#sources = new Sources(seed);
    this.#ofFriends = ofFriends;
    this.#nowMs = clock.nowMs();
  }

  /** Datagrams that {@link shift} would return now. */
  get count(): number {
    return this.#ofFriends.count + (this.#usedUp ? 0 : this.#strangers);
  }

  /** Datagrams of friends dropped for lack of room so far. */
  get dropped(): number {
    return this.#ofFriends.dropped;
  }

  /** Datagrams of strangers dropped so far. */
  get strangersDropped(): number {
    return this.#lanes.reduce((sum, { dropped }) => sum + dropped, 0);
  }

  /** toxcore sends this packet. */
  sends(kind: number, ip: Uint8Array, port: number): void {
    switch (kind) {
      case CRYPTO_DATA:
      case CRYPTO_HANDSHAKE:
        this.#friends.note(this.#sources.keyOf(ip, port), this.#nowMs);
        break;
      case PING_REQUEST:
      case NODES_REQUEST:
      case COOKIE_REQUEST:
      case CRYPTO_REQUEST:
      case ONION_INITIAL:
        this.#asked.note(this.#sources.keyOf(ip, port), this.#nowMs);
        break;
    }
  }

  push(datagram: Datagram): void {
    const { ip, port, bytes } = datagram;
    const kind = bytes[0] ?? 0xff;
    const key = this.#sources.keyOf(ip, port);
    if (kind >= COOKIE_REQUEST && kind <= CRYPTO_DATA && this.#friends.has(key, this.#nowMs)) {
      this.#friendsAtMs = this.#nowMs;
      this.#ofFriends.push(datagram);
      return;
    }
    const lane = this.#lanes[this.#laneOf(kind, key)]!;
    const before = lane.count;
    lane.push(datagram, this.#sources.groupOf(ip));
    this.#strangers += lane.count - before;
    if (this.#usedUp) this.#tick();
  }

  /** A turn begins: some datagrams of strangers go first in it. */
  beginTurn(): void {
    this.#tick();
    this.#strangersFirst = STRANGERS_FIRST;
  }

  /** Returns the next datagram. The time until the next call counts as its cost. */
  shift(): Datagram | undefined {
    this.#charge();
    const isFriends = this.#strangersFirst === 0 || this.#strangers === 0 || this.#usedUp;
    const datagram = (isFriends ? this.#ofFriends.shift() : undefined) ?? this.#shiftStranger();
    return datagram ?? this.#ofFriends.shift();
  }

  /** No further datagram is wanted in this turn. */
  endTurn(): undefined {
    this.#charge();
  }

  clear(): void {
    this.#ofFriends.clear();
    for (const lane of this.#lanes) lane.clear();
    this.#strangers = 0;
  }

  #shiftStranger(): Datagram | undefined {
    if (this.#strangers === 0 || this.#usedUp) return undefined;
    do this.#lane = (this.#lane + 1) % LANES;
    while (this.#lanes[this.#lane]!.count === 0);
    this.#strangers--;
    if (this.#strangersFirst > 0) this.#strangersFirst--;
    this.#handedAtMs = this.#clock.nowMs();
    return this.#lanes[this.#lane]!.shift();
  }

  #laneOf(kind: number, key: number): number {
    if (this.#asked.has(key, this.#nowMs)) return OF_ASKED;
    if (kind >= FIRST_ONION) return RELAYING;
    switch (kind) {
      case NODES_REQUEST:
        return SEARCHES;
      case COOKIE_REQUEST:
      case CRYPTO_HANDSHAKE:
      case CRYPTO_REQUEST:
        return SESSIONS;
      default:
        return PINGS;
    }
  }

  #charge(): void {
    if (this.#handedAtMs === undefined) return;
    const nowMs = this.#clock.nowMs();
    this.#savedMs -= nowMs - this.#handedAtMs;
    this.#handedAtMs = undefined;
    if (this.#savedMs <= 0) this.#usedUp = true;
  }

  #tick(): void {
    const nowMs = this.#clock.nowMs();
    const share = nowMs - this.#friendsAtMs < FRIENDS_SILENT_MS ? SHARE_NEXT_TO_FRIENDS : SHARE_ALONE;
    this.#savedMs = Math.min(MAX_SAVED_MS, this.#savedMs + (nowMs - this.#nowMs) * share);
    this.#nowMs = nowMs;
    if (this.#savedMs >= LEAST_SAVED_MS) this.#usedUp = false;
  }
}
