import type { Clock } from '../../core/clock.js';
import { type Source, Turns } from '../schedule/scheduler.js';
import { encodeText, violation } from '../wire/codec.js';
import {
  BYE,
  type ByeBody,
  byeBytes,
  checkTokenFrame,
  HEADER_BYTES,
  PING,
  PONG,
  readBye,
  refusedBytes,
  TOKEN_BYTES,
  TOKEN_FRAME_BYTES,
  writeBye,
  writeRefused,
  writeTokenFrame,
} from '../wire/frame.js';
import type { FrameSink } from '../wire/frame_sink.js';
import type { Reason } from '../wire/reasons.js';
import { isNilAt } from '../wire/stream_id.js';
import { Pinger } from './pinger.js';

/** How long the peer's BYE waits for our consumers to take what has arrived, in milliseconds. */
const BYE_PATIENCE_MS = 5_000;
/** How often to check whether they have. */
const BYE_POLL_MS = 10;

interface QueuedRefusal {
  readonly id: Uint8Array;
  readonly reason: Reason;
  readonly text: string;
}

export interface SessionControlOptions {
  readonly sink: FrameSink;
  readonly clock: Clock;
  /** Called when REFUSED has been sent for an OPEN of the peer. */
  readonly onRefusalSent: () => void;
}

/** Sends the frames that belong to no stream: PING, PONG, BYE, and REFUSED for streams that never existed. */
export class SessionControl implements Source {
  readonly turns: Turns = new Turns(this);
  readonly pinger = new Pinger();
  readonly #options: SessionControlOptions;
  readonly #pongToken = new Uint8Array(TOKEN_BYTES);
  #pongDue = false;
  /** At most as many as the peer has unanswered OPENs. */
  #refusals: QueuedRefusal[] = [];
  #theirBye: ByeBody | undefined;
  /** Since when {@link #theirBye} waits. */
  #heldSinceMs: number | undefined;
  #bye: { readonly reason: Reason; readonly text: Uint8Array } | undefined;

  constructor(options: SessionControlOptions) {
    this.#options = options;
  }

  /** The peer's BYE, once it has arrived. */
  get theirBye(): ByeBody | undefined {
    return this.#theirBye;
  }

  /** True while the peer's BYE waits for our consumers. */
  get holdsBye(): boolean {
    return this.#heldSinceMs !== undefined;
  }

  /** Milliseconds until the next check whether the peer's BYE must still wait; Infinity when it does not wait. */
  get nextMs(): number {
    return this.holdsBye ? BYE_POLL_MS : Number.POSITIVE_INFINITY;
  }

  /** Decides whether the peer's BYE waits. @param isHeld whether a consumer has yet to take something */
  holdBye(isHeld: boolean, nowMs: number): boolean {
    if (isHeld) this.#heldSinceMs ??= nowMs;
    return isHeld && nowMs - (this.#heldSinceMs ?? nowMs) < BYE_PATIENCE_MS;
  }

  /** The peer's BYE waits no longer. @returns whether it waited */
  endHold(): boolean {
    if (!this.holdsBye) return false;
    this.#heldSinceMs = Number.NEGATIVE_INFINITY;
    return true;
  }

  /**
   * Takes a frame for the session itself. If several PINGs wait for an answer, only the newest gets one.
   *
   * @throws {TunnelError} ERR_FRAME_INVALID (remote)
   */
  receive(type: number, frame: Uint8Array): void {
    if (!isNilAt(frame, 1)) throw violation(`type ${type} for a stream; it is for the session`);
    if (type === PING) {
      checkTokenFrame(frame);
      this.#pongToken.set(frame.subarray(HEADER_BYTES));
      this.#pongDue = true;
    } else if (type === PONG) {
      checkTokenFrame(frame);
      this.pinger.answered(frame, HEADER_BYTES, this.#options.clock.nowMs());
    } else if (type === BYE) {
      if (this.#theirBye !== undefined) throw violation('a second BYE');
      this.#theirBye = readBye(frame);
    } else {
      throw violation(`type ${type}, which is not a frame`);
    }
  }

  refuse(refusal: QueuedRefusal): void {
    this.#refusals.push(refusal);
  }

  /** Sends BYE, and nothing else. */
  bye(reason: Reason, text: string): void {
    this.clear();
    this.#bye = { reason, text: encodeText(text) };
  }

  /** Discards everything that waits to be sent. */
  clear(): void {
    this.#pongDue = false;
    this.#refusals = [];
    this.#bye = undefined;
    this.pinger.close();
  }

  get hasControl(): boolean {
    return this.#pongDue || this.pinger.isDue || this.#refusals.length > 0 || this.#bye !== undefined;
  }

  sendControl(): boolean {
    if (this.#pongDue) return this.#sendPong();
    if (this.pinger.isDue) return this.#sendPing();
    const refusal = this.#refusals[0];
    if (refusal !== undefined) return this.#sendRefused(refusal);
    return this.#sendBye();
  }

  readonly hasData = false;
  readonly isInteractive = false;

  sendData(): number {
    return 0;
  }

  #sendPong(): boolean {
    const out = this.#options.sink.reserve(TOKEN_FRAME_BYTES, true);
    if (out === undefined) return false;
    writeTokenFrame(out, PONG, this.#pongToken);
    this.#options.sink.commit();
    this.#pongDue = false;
    return true;
  }

  #sendPing(): boolean {
    const out = this.#options.sink.reserve(TOKEN_FRAME_BYTES, true);
    if (out === undefined) return false;
    writeTokenFrame(out, PING, this.pinger.sent(this.#options.clock.nowMs()));
    this.#options.sink.commit();
    return true;
  }

  #sendRefused(refusal: QueuedRefusal): boolean {
    const text = encodeText(refusal.text);
    const out = this.#options.sink.reserve(refusedBytes(text), true);
    if (out === undefined) return false;
    writeRefused(out, refusal.id, refusal.reason, text);
    this.#options.sink.commit();
    this.#refusals.shift();
    this.#options.onRefusalSent();
    return true;
  }

  #sendBye(): boolean {
    if (this.#bye === undefined) return true;
    const { reason, text } = this.#bye;
    const out = this.#options.sink.reserve(byeBytes(text), true);
    if (out === undefined) return false;
    writeBye(out, reason, this.#options.sink.framesSent, text);
    this.#options.sink.commit();
    this.#bye = undefined;
    return true;
  }
}
