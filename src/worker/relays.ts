import type { FriendNumber } from '../core/tox_network.js';
import type { Tox } from './tox/tox.js';

/** Relays of a friend: both ends take the same ones, so one that is up at both is enough. Toxcore takes 6. */
const RELAYS_OF_A_FRIEND = 4;
/** Relays that are remembered. */
const MAX_RELAYS = 64;

interface Relay {
  readonly ip: string;
  readonly port: number;
  readonly key: Uint8Array;
}

/**
 * The relays that a node joined by, for friends to be reached through when UDP fails. They are taken in the
 * order of their keys, so that two ends that know the same nodes meet at the same ones.
 */
export class Relays {
  readonly #sorted: Relay[] = [];

  get size(): number {
    return this.#sorted.length;
  }

  add(ip: string, port: number, key: Uint8Array): void {
    const before = this.#sorted.findIndex((relay) => Buffer.compare(key, relay.key) <= 0);
    const at = before < 0 ? this.#sorted.length : before;
    const next = this.#sorted[at];
    // One address of a relay is enough: they are all of the same relay.
    const isKnown = next !== undefined && Buffer.compare(key, next.key) === 0;
    this.#sorted.splice(at, isKnown ? 1 : 0, { ip, port, key: key.slice() });
    this.#sorted.length = Math.min(this.#sorted.length, MAX_RELAYS);
  }

  /** Gives them to a friend that came online. Not to be called inside of toxcore. */
  giveTo(friend: FriendNumber, tox: Pick<Tox, 'addFriendRelay'>): void {
    for (const { ip, port, key } of this.#sorted.slice(0, RELAYS_OF_A_FRIEND)) {
      tox.addFriendRelay(friend, ip, port, key);
    }
  }
}
