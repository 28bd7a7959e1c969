import type { WorkerEvent } from '../bridge/contract.js';
import { Timer, type Timers } from '../core/clock.js';
import type { FriendNumber, Path, PeerPlace } from '../core/tox_network.js';
import type { Tox } from './tox/tox.js';

/** The longest waits between the first knocks. A datagram may be lost, and relays take a moment to connect. */
const FIRST_WAITS_MS = [100, 200, 300, 600, 1_200, 2_400] as const;
/**
 * How often to knock at a friend after that. Nothing tells an end that an outage is over, so for two minutes, and
 * while few friends are away, it knocks often. A knock is one small datagram for each address.
 */
const SOON_WAIT_MS = 200;
const SOON_KNOCKS = 600;
const FEW_FRIENDS = 8;
/** How often to knock later, or while many are away. */
const NEXT_WAIT_MS = 5_000;
/** After this many knocks at a friend, only a new way into the network starts them again. */
const MOST_KNOCKS = SOON_KNOCKS + 100;
/** When to look where a friend can be reached: soon after it comes online, then every minute. */
const FIRST_LOOK_MS = 1_000;
const NEXT_LOOK_MS = 60_000;

export interface KnocksParts {
  readonly tox: Pick<Tox, 'knock' | 'friendPlace'>;
  readonly timers: Timers;
  tell(event: Extract<WorkerEvent, { type: 'friend-place' }>): void;
  /** The knock may have opened connections: toxcore must run. */
  wake(): void;
}

/** A peer and the place where it was last reached. */
interface Known {
  place: PeerPlace;
  /** Undefined for a peer that has not been online as our friend in this run. */
  friend: FriendNumber | undefined;
  isOnline: boolean;
  knocks: number;
  readonly timer: Timer;
}

/**
 * Knocks at peers where they were last reached: those of an earlier run at the start, and friends that went
 * offline. The usual search runs at the same time. Call its methods outside toxcore.
 */
export class Knocks {
  readonly #parts: KnocksParts;
  /** By public key. */
  readonly #known = new Map<string, Known>();

  constructor(parts: KnocksParts) {
    this.#parts = parts;
  }

  /** Knocks at these places, except for friends that are online. */
  knock(places: readonly PeerPlace[]): void {
    for (const place of places) {
      const known = this.#at(place);
      if (known.isOnline) continue;
      known.place = place;
      this.#begin(known);
    }
  }

  friendPath(friend: FriendNumber, path: Path): void {
    if (path === 'none') {
      const known = this.#of(friend);
      if (known === undefined) return;
      known.isOnline = false;
      this.#begin(known);
      return;
    }
    const place = this.#parts.tox.friendPlace(friend);
    if (place === undefined) return;
    const known = this.#at(place);
    known.place = place;
    known.friend = friend;
    known.isOnline = true;
    known.timer.set(FIRST_LOOK_MS, () => this.#look(known, friend));
  }

  /** Our way into the network: a new one may lead to friends again. */
  selfPath(path: Path): void {
    if (path === 'none') return;
    for (const known of this.#known.values()) {
      if (!known.isOnline) this.#begin(known);
    }
  }

  friendRemoved(friend: FriendNumber): void {
    const known = this.#of(friend);
    if (known === undefined) return;
    known.timer.clear();
    this.#known.delete(keyOf(known.place));
  }

  stop(): void {
    for (const { timer } of this.#known.values()) timer.clear();
    this.#known.clear();
  }

  #at(place: PeerPlace): Known {
    const key = keyOf(place);
    const known: Known = this.#known.get(key) ?? {
      place,
      friend: undefined,
      isOnline: false,
      knocks: 0,
      timer: new Timer(this.#parts.timers),
    };
    this.#known.set(key, known);
    return known;
  }

  #of(friend: FriendNumber): Known | undefined {
    for (const known of this.#known.values()) if (known.friend === friend) return known;
    return undefined;
  }

  #begin(known: Known): void {
    known.knocks = 0;
    this.#once(known);
  }

  #once(known: Known): void {
    const { tox, wake } = this.#parts;
    tox.knock(known.place);
    wake();
    const waitMs = Math.min(FIRST_WAITS_MS[known.knocks] ?? NEXT_WAIT_MS, this.#soonMs(known));
    known.knocks++;
    const most = known.friend === undefined ? FIRST_WAITS_MS.length : MOST_KNOCKS;
    if (known.knocks <= most) known.timer.set(waitMs, () => this.#once(known));
  }

  /** How soon to knock at a friend that may be back at any time; Infinity for others. */
  #soonMs({ friend, knocks }: Known): number {
    if (friend === undefined || knocks >= SOON_KNOCKS) return Number.POSITIVE_INFINITY;
    let away = 0;
    for (const each of this.#known.values()) if (each.friend !== undefined && !each.isOnline) away++;
    return away <= FEW_FRIENDS ? SOON_WAIT_MS : Number.POSITIVE_INFINITY;
  }

  #look(known: Known, friend: FriendNumber): void {
    known.timer.set(NEXT_LOOK_MS, () => this.#look(known, friend));
    const place = this.#parts.tox.friendPlace(friend);
    if (place === undefined) return;
    known.place = place;
    this.#parts.tell({ type: 'friend-place', place });
  }
}

function keyOf({ publicKey }: PeerPlace): string {
  return Buffer.from(publicKey).toString('hex');
}
