import { Allowance } from '../../core/allowance.js';
import { TunnelError } from '../../core/errors.js';
import type { SessionLimits } from './session_options.js';

/** Limits how fast the peer may send frames without data. A burst may have twice a second's worth. */
export class PeerRates {
  readonly #most: number;
  readonly #controlFrames: Allowance;

  constructor({ controlFramesPerSecond }: Required<SessionLimits>, nowMs: number) {
    this.#most = controlFramesPerSecond;
    this.#controlFrames = new Allowance(2 * controlFramesPerSecond, controlFramesPerSecond, nowMs);
  }

  /** @throws {TunnelError} ERR_LIMIT (remote) */
  takeControlFrame(nowMs: number): void {
    if (this.#controlFrames.take(nowMs)) return;
    throw new TunnelError('ERR_LIMIT', `more than ${this.#most} frames a second that carry no data`, {
      remote: true,
    });
  }
}
