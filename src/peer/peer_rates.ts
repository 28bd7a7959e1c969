import { type ByteRates, byteRates } from '../core/allowance.js';
import type { Limits } from '../core/peer_limits.js';
import { SessionRates } from '../mux/session/session_rates.js';

/**
 * Peers that are remembered, a few hundred bytes each. Bursts are full again after two seconds, and fewer sessions than
 * this begin in that time.
 */
const MAX_REMEMBERED = 1024;

/** What the rates of one peer have left. */
export interface RatesOfPeer {
  readonly session: SessionRates;
  /** Undefined without a limit for each peer. */
  readonly bytes: ByteRates | undefined;
}

/**
 * Remembers what the rates of each peer have left, so that a new session, or a friend that is added again, does not
 * begin with full bursts.
 */
export class PeerRates {
  readonly #limits: Limits;
  /** By the digits of the public key; the peer whose session began last is the last one. */
  readonly #peers = new Map<string, RatesOfPeer>();

  constructor(limits: Limits) {
    this.#limits = limits;
  }

  /** The rates for a new session of a peer. @param publicKey 64 hexadecimal digits */
  of(publicKey: string, nowMs: number): RatesOfPeer {
    const rates = this.#peers.get(publicKey) ?? this.#full(nowMs);
    this.#peers.delete(publicKey);
    this.#peers.set(publicKey, rates);
    const [oldest] = this.#peers.keys();
    if (this.#peers.size > MAX_REMEMBERED && oldest !== undefined) this.#peers.delete(oldest);
    return rates;
  }

  #full(nowMs: number): RatesOfPeer {
    const { maxOpensPerSecond, maxControlFramesPerSecond, maxBytesPerSecond } = this.#limits;
    return {
      session: new SessionRates(
        { opensPerSecond: maxOpensPerSecond, controlFramesPerSecond: maxControlFramesPerSecond },
        nowMs,
      ),
      bytes: maxBytesPerSecond > 0 ? byteRates(maxBytesPerSecond, nowMs) : undefined,
    };
  }
}
