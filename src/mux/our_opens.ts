import { TunnelError } from '../core/errors.js';
import { MAX_WAITING_OPENS } from '../core/limits.js';
import type { Stream } from './stream.js';

/** The streams that we opened. Beyond the most that may be open, OPENs wait until another stream has ended. */
export class OurOpens {
  readonly #most: number;
  readonly #send: (stream: Stream) => void;
  readonly #waiting = new Set<Stream>();
  #open = 0;

  /** @param send has the stream's OPEN sent */
  constructor(most: number, send: (stream: Stream) => void) {
    this.#most = most;
    this.#send = send;
  }

  /** @throws {TunnelError} ERR_LIMIT when no further stream may even wait */
  expectRoom(): void {
    if (this.#open < this.#most || this.#waiting.size < MAX_WAITING_OPENS) return;
    throw new TunnelError(
      'ERR_LIMIT',
      `${this.#open} connections to this peer are open and ${this.#waiting.size} wait; close some first`,
    );
  }

  add(stream: Stream): void {
    if (this.#open < this.#most) this.#start(stream);
    else this.#waiting.add(stream);
  }

  /** A stream is over, whether its OPEN was sent or not. */
  forget(stream: Stream): void {
    if (this.#waiting.delete(stream)) return;
    this.#open--;
    const [next] = this.#waiting;
    if (next === undefined) return;
    this.#waiting.delete(next);
    this.#start(next);
  }

  #start(stream: Stream): void {
    this.#open++;
    this.#send(stream);
  }
}
