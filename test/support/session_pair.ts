import { randomBytes } from 'node:crypto';
import { systemTimers } from '../../src/core/clock.js';
import { Session } from '../../src/mux/session/session.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import type { FrameSink } from '../../src/mux/wire/frame_sink.js';
import { CountingSink } from './mux_link.js';

const FRAME_BYTES = 1344;
/** Maximum number of frames in flight, as in a ring. */
const FRAMES_UNDER_WAY = 512;

/** Carries frames to the other session, a batch in each turn of the event loop; refuses when full. */
class FrameLine extends CountingSink implements FrameSink {
  from: Session | undefined;
  to: Session | undefined;
  #frames: Uint8Array[] = [];
  #reserved: Uint8Array | undefined;
  #scheduled = false;
  #refused = false;

  reserve(bytes: number): Uint8Array | undefined {
    if (this.#frames.length >= FRAMES_UNDER_WAY) {
      this.#refused = true;
      return undefined;
    }
    this.#reserved = new Uint8Array(bytes);
    return this.#reserved;
  }

  commit(): void {
    if (this.#reserved !== undefined) {
      this.#frames.push(this.#reserved);
      this.count(this.#reserved);
    }
    this.#reserved = undefined;
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#deliver());
  }

  #deliver(): void {
    this.#scheduled = false;
    const frames = this.#frames;
    this.#frames = [];
    for (const frame of frames) this.to?.receive(frame);
    this.to?.flush();
    if (!this.#refused) return;
    this.#refused = false;
    this.from?.writable();
  }
}

/**
 * Two sessions joined through memory. `near` opens and `far` answers with `onOpen`, or the other way round.
 */
export function sessionPair(
  onOpen: (request: OpenRequest) => void,
  onNearOpen: (request: OpenRequest) => void = () => {},
): { near: Session; far: Session } {
  const out = new FrameLine();
  const back = new FrameLine();
  const shared = { clock: systemTimers, random16: () => randomBytes(16), frameBytes: FRAME_BYTES };
  const far = new Session({ ...shared, sink: back, role: 'listener', onOpen });
  const near = new Session({ ...shared, sink: out, role: 'connector', onOpen: onNearOpen });
  Object.assign(out, { from: near, to: far });
  Object.assign(back, { from: far, to: near });
  return { near, far };
}
