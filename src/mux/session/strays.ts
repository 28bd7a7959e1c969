import type { Bucket } from '../../core/allowance.js';
import { TunnelError } from '../../core/errors.js';

/** Bytes of credit for which a stream that ends allows one late frame: an honest peer's frames are longer. */
const BYTES_PER_LATE_FRAME = 512;
/** Late frames of a stream beyond its data: CREDIT, END, RESET and REFUSED. */
const LATE_CONTROL_FRAMES = 4;
/** Maximum number of late frames allowed at once: for 64 MiB, and a few for each possible stream. */
const MAX_LATE_FRAMES = 160_000;

/**
 * Counts frames for streams that are not open. Some are normal: they were in flight when the stream ended. Each stream
 * that ends allows as many as the peer may still send. Beyond them a rate applies. When the peer has used it up, its
 * requests to open streams wait until the rate has made up for it; when it sends as many again, its session ends.
 */
export class Strays {
  readonly #perSecond: number;
  /** Frames that the rate still allows; when negative, how many the peer has sent beyond it. */
  readonly #allowed: Bucket;
  #late = 0;

  /** @param perSecond Infinity for no limit @param allowed what the rate allows now */
  constructor(perSecond: number, allowed: Bucket) {
    this.#perSecond = perSecond;
    this.#allowed = allowed;
  }

  /** A stream has ended. @param creditBytes what the peer may have sent on it that has not arrived */
  ended(creditBytes: number): void {
    const late = Math.ceil(creditBytes / BYTES_PER_LATE_FRAME) + LATE_CONTROL_FRAMES;
    this.#late = Math.min(MAX_LATE_FRAMES, this.#late + late);
  }

  /** Takes a frame for a stream that is not open. @throws {TunnelError} ERR_LIMIT (remote): far too many have come */
  take(nowMs: number): void {
    if (this.#perSecond === Number.POSITIVE_INFINITY) return;
    if (this.#late > 0) {
      this.#late--;
      return;
    }
    this.#allowed.spend(1, nowMs);
    if (this.#allowed.left(nowMs) >= -2 * this.#perSecond) return;
    const detail = `more than ${this.#perSecond} frames a second for connections that are not open, although requests were held back for it; update tox-wasm-tunnel at that end`;
    throw new TunnelError('ERR_LIMIT', detail, { remote: true });
  }

  /** Milliseconds for which requests have to wait; 0 when there is no reason. */
  pauseMs(nowMs: number): number {
    return this.#allowed.waitMs(0, nowMs);
  }
}
