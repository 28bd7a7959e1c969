import { Allowance, Bucket } from '../../core/allowance.js';

/** Per second; by default no limit. */
interface RateLimits {
  readonly opensPerSecond?: number;
  readonly controlFramesPerSecond?: number;
}

/**
 * What the rates of a session still allow its peer. A burst holds twice a second's worth. Hand it to the peer's next
 * session too: otherwise each new session would begin with full bursts.
 */
export class SessionRates {
  readonly opens: Allowance;
  readonly controlFrames: Allowance;
  /** Frames for streams that are not open; when negative, how many the peer has sent beyond its rate. */
  readonly strays: Bucket;

  constructor(
    {
      opensPerSecond = Number.POSITIVE_INFINITY,
      controlFramesPerSecond = Number.POSITIVE_INFINITY,
    }: RateLimits,
    nowMs: number,
  ) {
    this.opens = new Allowance(2 * opensPerSecond, opensPerSecond, nowMs);
    this.controlFrames = new Allowance(2 * controlFramesPerSecond, controlFramesPerSecond, nowMs);
    this.strays = new Bucket(2 * controlFramesPerSecond, controlFramesPerSecond, nowMs);
  }
}
