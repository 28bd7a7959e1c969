import { Allowance } from '../core/allowance.js';
import { TunnelError } from '../core/errors.js';
import type { SessionLimits } from './session_options.js';

/** How fast the peer may open streams and send frames without data: twice a second's worth at once. */
export class PeerRates {
  readonly #most: number;
  readonly #opens: Allowance;
  readonly #controlFrames: Allowance;

  constructor({ opensPerSecond, controlFramesPerSecond }: Required<SessionLimits>, nowMs: number) {
    this.#most = controlFramesPerSecond;
    this.#opens = new Allowance(2 * opensPerSecond, opensPerSecond, nowMs);
    this.#controlFrames = new Allowance(2 * controlFramesPerSecond, controlFramesPerSecond, nowMs);
  }

  takeOpen(nowMs: number): boolean {
    return this.#opens.take(nowMs);
  }

  /** @throws {TunnelError} ERR_LIMIT (remote) */
  takeControlFrame(nowMs: number): void {
    if (this.#controlFrames.take(nowMs)) return;
    throw new TunnelError('ERR_LIMIT', `more than ${this.#most} frames a second that carry no data`, {
      remote: true,
    });
  }
}
