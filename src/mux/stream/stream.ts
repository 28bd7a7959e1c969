import type { Clock } from '../../core/clock.js';
import { MAX_DATAGRAM_BYTES } from '../../core/limits.js';
import type { DatagramSender } from '../datagram/datagram_sender.js';
import type { Datagrams } from '../datagram/datagrams.js';
import { type Scheduler, type Source, Turns } from '../schedule/scheduler.js';
import { violation } from '../wire/codec.js';
import {
  CREDIT,
  DATA,
  DATAGRAM,
  END,
  GIVE_BACK,
  OPENED,
  REFUSED,
  RESET,
  type ReasonAndText,
  readOffset,
  readRefused,
  readReset,
} from '../wire/frame.js';
import { type FrameSink, putOffset, putOpen, putReset } from '../wire/frame_sink.js';
import type { Reason } from '../wire/reasons.js';
import { idText } from '../wire/stream_id.js';
import type { ReceiveHalf } from './receive_half.js';
import type { SendHalf } from './send_half.js';
import type { MuxStream, StreamHandlers } from './stream_api.js';
import type { Phase, StreamParts, Verdict } from './stream_parts.js';

/** What a stream needs from its session. */
export interface StreamHost {
  readonly sink: FrameSink;
  readonly scheduler: Scheduler;
  readonly clock: Clock;
  /** The smoothed round trip. Starts a new measurement when the last one is too old to size a window by. */
  roundTripMs(nowMs: number): number | undefined;
  /** Calls {@link Stream.settle} after the current batch of frames. */
  settleLater(stream: Stream): void;
  /** Calls {@link Stream.drain} once the scheduler has run. */
  drainLater(stream: Stream): void;
  /** Whether the rates let the peer send more now. If not, {@link Stream.goOn} is called once they do. */
  mayReceive(stream: Stream): boolean;
  /** Counts received bytes against the rates; negative to take some back. */
  received(bytes: number): void;
  /** OPENED was sent for the peer's OPEN. */
  answered(): void;
  /** The stream has ended: forget it. Send REFUSED with `refusal`, if given, for the peer's unanswered OPEN. */
  over(stream: Stream, refusal: ReasonAndText | undefined): void;
  /** Sends what is due, unless the session is sending already. */
  pump(): void;
}

/** One stream: its two halves, and its life from OPEN to the end (docs/reference/protocol.md, section 3.1). */
export class Stream implements MuxStream, Source {
  readonly idBytes: Uint8Array;
  readonly turns: Turns = new Turns(this);
  readonly sending: SendHalf;
  readonly receiving: ReceiveHalf;
  readonly datagrams: Datagrams | undefined;
  readonly #host: StreamHost;
  readonly #open: StreamParts['open'];
  #handlers: StreamHandlers;
  #phase: Phase;
  #resetReason: Reason = 'unspecified';
  #resetDue = false;
  #giveBackDue = false;
  /** The session will call {@link settle}. */
  #listed = false;
  #openedNews = false;
  /** Bytes that may still arrive and have been counted. */
  #prepaidBytes = 0;
  /** {@link MuxStream} handlers get what has arrived. */
  #delivering = false;
  #verdict: Verdict | undefined;

  constructor(host: StreamHost, parts: StreamParts) {
    this.#host = host;
    this.idBytes = parts.id;
    this.#open = parts.open;
    this.sending = parts.sending;
    this.receiving = parts.receiving;
    this.datagrams = parts.datagrams;
    this.#handlers = parts.handlers;
    this.#phase = parts.open === undefined ? 'requested' : 'opening';
  }

  get id(): string {
    return idText(this.idBytes);
  }

  get backlogBytes(): number {
    return this.#outgoing.backlogBytes;
  }

  get isCrowded(): boolean {
    return this.sending.isCrowded;
  }

  get isOurs(): boolean {
    return this.#open !== undefined;
  }

  get isClosed(): boolean {
    return this.#phase === 'closed' || this.#phase === 'resetting' || this.#phase === 'cancelled';
  }

  /**
   * Returns a function that tells whether all bytes written so far are in frames. A stream that our consumer has ended
   * also waits for the peer's end. One that closes waits for nothing.
   */
  sendMark(): () => boolean {
    const isSent = this.sending.mark();
    const ends = this.sending.isEnded;
    return () => this.isClosed || (isSent() && (!ends || (this.sending.isOver && this.receiving.hasEnd)));
  }

  /** True when our consumer has yet to take something that has arrived. */
  get isHeld(): boolean {
    return this.#phase === 'open' && this.receiving.isHeld;
  }

  write(bytes: Uint8Array): boolean {
    if (this.isClosed) return false;
    this.sending.push(bytes);
    this.#sendSoon();
    return this.sending.mayGoOn();
  }

  sendDatagram(datagram: Uint8Array): void {
    if (this.datagrams === undefined || datagram.length > MAX_DATAGRAM_BYTES)
      throw new RangeError(`cannot send a datagram of ${datagram.length} bytes on stream ${this.id}`);
    if (this.isClosed) return;
    this.datagrams.sending.push(datagram);
    this.#sendSoon();
  }

  end(): void {
    if (this.isClosed) return;
    this.sending.end();
    this.#sendSoon();
  }

  reset(reason: Reason): void {
    if (this.#phase === 'opening') {
      this.#close();
    } else if (this.#phase === 'requested' || this.#phase === 'accepted') {
      this.refuse(reason, '');
    } else if (!this.isClosed) {
      this.#cut(reason);
      this.#host.pump();
    }
  }

  consumed(bytes: number): void {
    if (this.#phase !== 'open') return;
    this.receiving.consumed(bytes);
    this.#deliver();
    this.#finishWhenOver();
    if (this.isClosed || !this.receiving.isCreditDue) return;
    this.#creditSoon();
    this.#host.pump();
  }

  /**
   * Call it every few seconds: what an idle stream does not use goes to others.
   *
   * @param givesBack whether credit may go back to the peer
   */
  rest(givesBack: boolean): void {
    if (this.#phase !== 'open') return;
    this.receiving.rest();
    if (!givesBack || !this.sending.giveBack()) return;
    this.#giveBackDue = true;
    this.#host.scheduler.controlDue(this);
  }

  /** The rates let the peer send more. */
  goOn(): void {
    if (this.#phase !== 'open') return;
    this.#deliver();
    if (this.hasControl) this.#host.scheduler.controlDue(this);
  }

  #creditSoon(): void {
    if (this.#host.mayReceive(this)) this.#host.scheduler.controlDue(this);
  }

  /**
   * Reserves the memory of the peer's bytes. Its first window counts against the rates now: otherwise a peer could get
   * round them with many streams. @returns false when the process has none
   */
  reserve(): boolean {
    if (!this.receiving.open()) return false;
    this.#prepaidBytes = this.datagrams === undefined ? this.receiving.limit : 0;
    this.#host.received(this.#prepaidBytes);
    return true;
  }

  /** The consumer takes the peer's stream. Called once, before any other answer. */
  accept(handlers: StreamHandlers): void {
    this.#handlers = handlers;
    this.#phase = 'accepted';
    this.#host.scheduler.controlDue(this);
    this.#host.pump();
  }

  /** Answers the peer's OPEN with REFUSED. */
  refuse(reason: Reason, text: string): void {
    this.#close({ reason, text });
    this.#host.pump();
  }

  /** Refuses our own stream because its OPEN could not be sent in time. */
  giveUp(reason: Reason, text: string): void {
    this.#close();
    this.#tellVerdict({ kind: 'refused', reason, text });
  }

  get hasControl(): boolean {
    if (this.#phase === 'open')
      return this.#giveBackDue || (this.receiving.isCreditDue && this.#host.mayReceive(this));
    return this.#resetDue || this.#phase === 'opening' || this.#phase === 'accepted';
  }

  sendControl(): boolean {
    if (this.#phase === 'opening') return this.#sendOpen();
    if (this.#phase === 'accepted') return this.#sendOpened();
    if (this.#phase === 'open') return this.#giveBackDue ? this.#sendGiveBack() : this.#sendCredit();
    return this.#sendReset();
  }

  get hasData(): boolean {
    return this.#phase === 'open' && this.#outgoing.hasFrame;
  }

  get isInteractive(): boolean {
    return this.#outgoing.isInteractive(this.#host.clock.nowMs());
  }

  sendData(urgent: boolean): number {
    const bytes = this.#outgoing.sendFrame(this.#host.sink, this.idBytes, urgent);
    if (bytes === 0) return 0;
    this.#finishWhenOver();
    if (this.sending.takeDrain()) this.#host.drainLater(this);
    return bytes;
  }

  /** Tells the writer that it may continue. */
  drain(): void {
    if (!this.isClosed) this.#handlers.onDrain?.();
  }

  /**
   * Takes a frame of this stream, other than OPEN. Handlers are called later, in {@link settle}.
   *
   * @throws {TunnelError} ERR_FRAME_INVALID (remote)
   */
  receive(type: number, frame: Uint8Array): void {
    if (this.isClosed) this.#receiveClosed(type);
    else if (type === DATA || type === END || type === DATAGRAM) this.#receivePayload(type, frame);
    else if (type === CREDIT) this.#receiveCredit(frame);
    else if (type === GIVE_BACK) this.#receiveGiveBack(frame);
    else if (type === RESET) this.#receiveReset(readReset(frame));
    else if (type === OPENED) this.#receiveOpened(frame);
    else if (type === REFUSED) this.#receiveRefused(frame);
    else throw violation(`an unknown frame type ${type}`);
  }

  /** Calls the handlers for the frames of a batch. */
  settle(): void {
    this.#listed = false;
    if (this.#verdict !== undefined) {
      this.#tellVerdict(this.#verdict);
      return;
    }
    if (this.#phase !== 'open') return;
    if (this.#openedNews) {
      this.#openedNews = false;
      this.#handlers.onOpened?.();
    }
    this.#deliver();
  }

  /** Cuts the stream because the session has ended. Sends nothing. */
  abort(reason: Reason, remote: boolean): void {
    const told = this.isClosed;
    this.#close();
    if (!told) this.#tellVerdict({ kind: 'reset', reason, remote });
  }

  #deliver(): void {
    // A handler that consumes at once makes the caller below continue.
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      this.#deliverNews();
    } finally {
      this.#delivering = false;
    }
  }

  #deliverNews(): void {
    // A handler may reset the stream.
    while (this.#phase === 'open') {
      const chunk = this.receiving.next();
      if (chunk === undefined) break;
      this.#handlers.onData?.(chunk);
    }
    while (this.#phase === 'open') {
      if (this.datagrams?.receiving.hasNews !== true || !this.#host.mayReceive(this)) break;
      const datagram = this.datagrams.receiving.next();
      if (datagram === undefined) break;
      this.#host.received(datagram.length);
      this.#handlers.onDatagram?.(datagram);
    }
    if (this.#phase === 'open' && this.receiving.takeOver()) {
      this.#handlers.onEnd?.();
      this.#finishWhenOver();
    }
  }

  #tellVerdict(verdict: Verdict): void {
    this.#verdict = undefined;
    if (verdict.kind === 'refused') this.#handlers.onRefused?.(verdict.reason, verdict.text);
    else this.#handlers.onReset?.(verdict.reason, verdict.remote);
  }

  /**
   * After our RESET, the only frames that matter are those that show that the peer needs no RESET, or needs
   * another one.
   */
  #receiveClosed(type: number): void {
    if (type === RESET || type === REFUSED) {
      this.#close();
    } else if (type === OPENED && this.#phase === 'cancelled') {
      // Our RESET may have arrived before our OPEN, and been ignored.
      this.#phase = 'resetting';
      this.#resetSoon(this.#resetReason);
    }
  }

  #receivePayload(type: number, frame: Uint8Array): void {
    if (this.#phase !== 'open' && this.#phase !== 'asked') throw violation(`type ${type} before OPENED`);
    if ((type === DATAGRAM) !== (this.datagrams !== undefined))
      throw violation(`type ${type} in a stream of the other kind`);
    if (type === DATA) {
      this.#receiveData(frame);
      return;
    }
    if (type === END) this.receiving.takeEnd(frame);
    else this.datagrams?.receiving.take(frame);
    if (this.#phase === 'open' && this.#hasNews) this.#list();
  }

  #receiveData(frame: Uint8Array): void {
    const nowMs = this.#host.clock.nowMs();
    const paid = Math.min(this.#prepaidBytes, frame.length);
    this.#prepaidBytes -= paid;
    this.#host.received(frame.length - paid);
    if (!this.receiving.takeData(frame, nowMs)) {
      this.#resetForMemory();
      return;
    }
    if (this.#phase !== 'open') return;
    if (this.receiving.hasNews) this.#list();
    if (!this.receiving.mayGrowAhead) return;
    this.receiving.growAhead(nowMs, this.#host.roundTripMs(nowMs));
    if (this.receiving.isCreditDue) this.#creditSoon();
  }

  /** The peer's streams use all of their memory. Resets this one, which lost too many pieces. */
  #resetForMemory(): void {
    this.#cut('limit');
    this.#verdict = { kind: 'reset', reason: 'limit', remote: false };
    this.#list();
  }

  #receiveCredit(frame: Uint8Array): void {
    this.sending.raiseCredit(readOffset(frame));
    if (this.hasData) this.#host.scheduler.dataDue(this);
  }

  #receiveGiveBack(frame: Uint8Array): void {
    if (this.#phase !== 'open' && this.#phase !== 'asked') throw violation('GIVE_BACK before OPENED');
    this.receiving.takeBack(frame);
    if (this.#phase === 'open' && this.receiving.isCreditDue) this.#creditSoon();
  }

  #receiveOpened(frame: Uint8Array): void {
    if (this.#phase !== 'asked') throw violation('OPENED without an open request');
    this.sending.raiseCredit(readOffset(frame));
    this.#phase = 'open';
    this.#openedNews = true;
    this.#list();
    if (this.hasData) this.#host.scheduler.dataDue(this);
  }

  #receiveRefused(frame: Uint8Array): void {
    if (this.#phase !== 'asked') throw violation('REFUSED without an open request');
    this.#verdict = { kind: 'refused', ...readRefused(frame) };
    this.#close();
    this.#list();
  }

  #receiveReset(reason: Reason): void {
    const unanswered = this.#phase === 'requested' || this.#phase === 'accepted';
    this.#verdict = { kind: 'reset', reason, remote: true };
    // The peer keeps the UUID of its stream until there is an answer.
    this.#close(unanswered ? { reason: 'cancelled', text: '' } : undefined);
    this.#list();
  }

  /** The half that fills the data frames. */
  get #outgoing(): DatagramSender | SendHalf {
    return this.datagrams?.sending ?? this.sending;
  }

  get #hasNews(): boolean {
    return (this.datagrams?.receiving ?? this.receiving).hasNews;
  }

  #sendOpen(): boolean {
    const open = this.#open;
    if (open === undefined) return true;
    if (!putOpen(this.#host.sink, this.idBytes, this.receiving.limit, open)) return false;
    this.#phase = 'asked';
    return true;
  }

  #sendOpened(): boolean {
    if (!putOffset(this.#host.sink, OPENED, this.idBytes, () => this.receiving.limit)) return false;
    this.#phase = 'open';
    this.#host.answered();
    if (this.hasData) this.#host.scheduler.dataDue(this);
    return true;
  }

  #sendCredit(): boolean {
    return putOffset(this.#host.sink, CREDIT, this.idBytes, () => {
      const nowMs = this.#host.clock.nowMs();
      return this.receiving.advance(nowMs, this.#host.roundTripMs(nowMs));
    });
  }

  #sendGiveBack(): boolean {
    if (!putOffset(this.#host.sink, GIVE_BACK, this.idBytes, () => this.sending.givenBackBytes)) return false;
    this.#giveBackDue = false;
    return true;
  }

  #sendReset(): boolean {
    if (!putReset(this.#host.sink, this.idBytes, this.#resetReason)) return false;
    this.#resetDue = false;
    if (this.#phase === 'resetting') this.#close();
    return true;
  }

  #cut(reason: Reason): void {
    this.#phase = this.#phase === 'asked' ? 'cancelled' : 'resetting';
    this.#drop();
    this.#resetSoon(reason);
  }

  #resetSoon(reason: Reason): void {
    this.#resetReason = reason;
    this.#resetDue = true;
    this.#host.scheduler.controlDue(this);
  }

  #sendSoon(): void {
    if (!this.hasData) return;
    this.#host.scheduler.dataDue(this);
    this.#host.pump();
  }

  /** Makes the session call {@link settle}. */
  #list(): void {
    if (this.#listed) return;
    this.#listed = true;
    this.#host.settleLater(this);
  }

  #finishWhenOver(): void {
    if (this.#phase === 'open' && this.sending.isOver && this.receiving.isOver) this.#close();
  }

  #drop(): void {
    this.#host.received(-this.#prepaidBytes);
    this.#prepaidBytes = 0;
    this.sending.clear();
    this.receiving.clear();
    this.datagrams?.clear();
  }

  #close(refusal?: ReasonAndText): void {
    if (this.#phase === 'closed') return;
    if (!this.isClosed) this.#drop();
    this.#phase = 'closed';
    this.#host.over(this, refusal);
  }
}
