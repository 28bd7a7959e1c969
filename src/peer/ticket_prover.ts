import { helloProof, type Keys, provesWelcome, requestMessage, type Sessions } from '../access/proof.js';
import type { Prover } from './connector_peer.js';

/** A connector's ticket, between these two ends. */
export class TicketProver implements Prover {
  readonly #secret: Uint8Array;
  readonly #keys: Keys;

  constructor(secret: Uint8Array, keys: Keys) {
    this.#secret = secret;
    this.#keys = keys;
  }

  /** The message of the friend request. */
  request(): Uint8Array {
    return requestMessage(this.#secret, this.#keys);
  }

  proof(sessions: Sessions): Uint8Array {
    return helloProof(this.#secret, this.#keys, sessions);
  }

  accepts(sessions: Sessions, proof: Uint8Array | undefined): boolean {
    return provesWelcome(this.#secret, this.#keys, sessions, proof);
  }
}
