import type { Allowance } from '../../core/allowance.js';
import type { Clock } from '../../core/clock.js';
import { TunnelError } from '../../core/errors.js';
import { MAX_STREAMS_PER_PEER } from '../../core/limits.js';
import { Pace } from '../schedule/pace.js';
import { Scheduler } from '../schedule/scheduler.js';
import { Stream, type StreamHost } from '../stream/stream.js';
import type { MuxStream, StreamHandlers } from '../stream/stream_api.js';
import type { StreamParts } from '../stream/stream_parts.js';
import { violation } from '../wire/codec.js';
import {
  DATA,
  DATAGRAM,
  FIRST_SESSION_TYPE,
  GIVE_BACK,
  HEADER_BYTES,
  OPEN,
  readOpen,
} from '../wire/frame.js';
import type { FrameSink } from '../wire/frame_sink.js';
import type { Reason } from '../wire/reasons.js';
import { ID_BYTES, isNilAt, newId } from '../wire/stream_id.js';
import { encodeTarget, type Target } from '../wire/target.js';
import { PendingRequest } from './open_request.js';
import { Opens } from './opens.js';
import { KeepAlive, type PingCallback } from './pinger.js';
import { SessionControl } from './session_control.js';
import {
  DEFAULT_DEADLINE_MS,
  DEFAULT_KEEP_ALIVE_MS,
  type SessionOptions,
  type SessionStats,
  withDefaults,
} from './session_options.js';
import { SessionRates } from './session_rates.js';
import { Strays } from './strays.js';
import { StreamMemory, StreamTable } from './stream_table.js';

/** A round trip older than this is measured again before it tunes a window. */
const ROUND_TRIP_AGE_MS = 1000;

/** Idle streams give back what they do not use no more often than this, in milliseconds. */
const REST_MS = 5000;

/**
 * All streams with one peer: takes and sends frames. It has no timer and no socket. Its owner calls {@link
 * receive} for each frame that arrives, {@link flush} after a batch of them, {@link writable} when the sink
 * that refused has room, and {@link tick} after {@link nextTickMs}.
 */
export class Session {
  readonly #options: SessionOptions;
  readonly #sink: FrameSink;
  readonly #clock: Clock;
  readonly #scheduler: Scheduler;
  readonly #control: SessionControl;
  readonly #keepAlive: KeepAlive;
  readonly #memory: StreamMemory;
  /** The last type of stream frames that the peer may send. */
  readonly #lastType: number;
  readonly #controlFramesPerSecond: number;
  /** Control frames that the peer may send now. A burst may hold twice a second's worth. */
  readonly #controlFrames: Allowance;
  readonly #opens: Opens;
  readonly #table: StreamTable;
  readonly #strays: Strays;
  readonly #sentPace: Pace;
  readonly #receivedPace: Pace;
  /** Streams whose credit or datagrams wait for {@link #receivedPace}. */
  readonly #owed = new Set<Stream>();
  readonly #host: StreamHost;
  /** The peer's OPENs without OPENED or REFUSED. */
  #unanswered = 0;
  #news: Stream[] = [];
  #mayDrain: Stream[] = [];
  /** True once frames may be sent: a listener waits for the connector's first frame. */
  #started: boolean;
  /** True while handlers or the scheduler run: due frames are sent after them. */
  #busy = false;
  #closed = false;
  #heard = false;
  #framesReceived = 0;
  #bytesReceived = 0;
  /** When the last stream ended. */
  #busyMs: number;
  /** When idle streams last gave back what they do not use. */
  #restedMs: number;
  /** When the next tick is due, as {@link nextTickMs} last said. */
  #tickAtMs = Number.POSITIVE_INFINITY;

  /** A connector's session sends its first PING at once. */
  constructor(options: SessionOptions) {
    const { clock, keepAliveMs = DEFAULT_KEEP_ALIVE_MS, deadlineMs = DEFAULT_DEADLINE_MS } = options;
    this.#options = options;
    this.#clock = clock;
    const limits = withDefaults(options.limits);
    this.#sink = options.sink;
    this.#lastType = options.givesBack === true ? GIVE_BACK : DATAGRAM;
    this.#memory = new StreamMemory(limits, options.frameBytes, options.memory);
    this.#controlFramesPerSecond = limits.controlFramesPerSecond;
    const { opens, controlFrames, strays } = options.sessionRates ?? new SessionRates(limits, clock.nowMs());
    this.#controlFrames = controlFrames;
    this.#table = new StreamTable(options.random16());
    this.#strays = new Strays(limits.controlFramesPerSecond, strays);
    const rates = options.rates ?? [];
    this.#sentPace = new Pace(
      rates.map(({ sent }) => sent),
      clock,
    );
    this.#receivedPace = new Pace(
      rates.map(({ received }) => received),
      clock,
    );
    this.#opens = new Opens({
      limits,
      told: options.told,
      theirRate: opens,
      clock,
      hasMemory: () => this.#memory.hasRoom,
      pauseMs: (isOurs) =>
        Math.max(this.#receivedPace.waitMs(), isOurs ? 0 : this.#strays.pauseMs(clock.nowMs())),
      send: (stream) => this.#scheduler.controlDue(stream),
      onOpen: options.onOpen,
    });
    this.#busyMs = clock.nowMs();
    this.#restedMs = clock.nowMs();
    this.#keepAlive = new KeepAlive({ keepAliveMs, deadlineMs }, clock.nowMs());
    this.#control = new SessionControl({
      sink: this.#sink,
      clock,
      onRefusalSent: () => {
        this.#unanswered--;
      },
    });
    this.#started = options.role === 'connector';
    this.#scheduler = new Scheduler(this.#started, this.#sentPace);
    this.#host = this.#hostOfStreams();
    this.#wantPing();
    this.#pump();
  }

  /** True after {@link close}, {@link abandon}, or the peer's BYE. */
  get isClosed(): boolean {
    return this.#closed;
  }

  /** Streams that are not over, including streams whose last frames wait to be sent. */
  get streamCount(): number {
    return this.#table.size;
  }

  /** Milliseconds without a stream; 0 while there is one. */
  get idleMs(): number {
    return this.#table.size > 0 ? 0 : this.#clock.nowMs() - this.#busyMs;
  }

  /** True while a BYE of ours waits for room in the sink. */
  get hasByeToSend(): boolean {
    return this.#closed && this.#control.hasControl;
  }

  /**
   * Opens a stream to a target that the far end dials. Beyond 4096 streams it waits for another to
   * end, and is refused when none does.
   *
   * @throws {TunnelError} ERR_ADDRESS_INVALID for the target, ERR_LIMIT when too many wait already,
   *   ERR_PEER_GONE when the session is closed or the peer has sent BYE
   */
  open(target: Target, handlers: StreamHandlers): MuxStream {
    const wanted = encodeTarget(target);
    if (this.#closed || this.#control.theirBye !== undefined) {
      throw new TunnelError('ERR_PEER_GONE', 'no stream can be opened; connect again');
    }
    this.#opens.expectRoom();
    let id = newId(this.#options.random16());
    while (this.#table.isTaken(id, 0)) id = newId(this.#options.random16());
    const stream = this.#newStream(target.kind, { id, open: wanted, handlers });
    this.#opens.addOurs(stream);
    this.#pump();
    return stream;
  }

  /**
   * Takes one frame. The view need only be valid during the call. Handlers are called in {@link flush}. A
   * closed session ignores all frames.
   *
   * @throws {TunnelError} ERR_FRAME_INVALID (remote): call `close('protocol-error')`; ERR_LIMIT (remote) for
   *   too many frames: call `close('limit')`
   */
  receive(frame: Uint8Array): void {
    this.#heard = true;
    if (!this.#started) {
      this.#started = true;
      this.#scheduler.writable();
    }
    if (this.#closed) return;
    if (frame.length < HEADER_BYTES) throw violation(`a frame of ${frame.length} bytes`);
    if (frame.length > this.#options.frameBytes) {
      throw violation(
        `a frame of ${frame.length} bytes; the handshake agreed on ${this.#options.frameBytes}`,
      );
    }
    const type = frame[0]!;
    if (type !== DATA && type !== DATAGRAM) this.#takeControlFrame();
    if (type >= FIRST_SESSION_TYPE) {
      this.#control.receive(type, frame);
      if (this.#control.hasControl) this.#scheduler.controlDue(this.#control);
    } else {
      this.#receiveStreamFrame(type, frame);
    }
    if (type !== DATAGRAM) this.#framesReceived++;
    this.#bytesReceived += frame.length;
  }

  /** Call after a batch of frames: calls the handlers, gives credit, and sends what is due. */
  flush(): void {
    if (this.#heard) {
      this.#heard = false;
      this.#keepAlive.heard(this.#clock.nowMs());
    }
    if (this.#busy) return;
    this.#busy = true;
    let settled = 0;
    try {
      this.#control.pinger.settle();
      while (settled < this.#news.length) this.#news[settled++]!.settle();
      this.#actOnBye();
    } finally {
      this.#news.splice(0, settled);
      this.#busy = false;
    }
    this.#pump();
  }

  /** The sink has room again. */
  writable(): void {
    if (!this.#started) return;
    this.#scheduler.writable();
    this.#pump();
  }

  /**
   * Checks the peer's silence and the waiting OPENs.
   * @returns dead: nothing arrived for too long, so call {@link abandon}
   */
  tick(): 'alive' | 'dead' {
    if (this.#closed) return 'alive';
    if (this.#control.holdsBye) this.flush();
    const state = this.#keepAlive.check(this.#clock.nowMs());
    if (state === 'dead') return 'dead';
    if (state === 'idle') this.#wantPing();
    this.#rest();
    this.#payOwed();
    this.#pump();
    return 'alive';
  }

  /** Milliseconds until {@link tick} has work; Infinity when it never has. */
  nextTickMs(): number {
    if (this.#closed) return Number.POSITIVE_INFINITY;
    const nowMs = this.#clock.nowMs();
    const nextMs = Math.min(this.#keepAlive.nextMs(nowMs), this.#opens.nextMs(), this.#paceMs());
    this.#tickAtMs = nowMs + nextMs;
    return nextMs;
  }

  /** The friend is offline: its silence does not count. */
  freeze(): void {
    // A peer that has gone after its BYE does not come back.
    if (this.#control.endHold()) this.flush();
    this.#keepAlive.freeze();
    this.#opens.freeze();
    this.#control.pinger.spoil();
  }

  /** The friend is back, and the handshake resumed the same sessions. */
  thaw(): void {
    this.#keepAlive.thaw(this.#clock.nowMs());
    this.#opens.thaw();
    this.#wantPing();
    this.#pump();
  }

  /**
   * Measures the round trip. When a PING is already unanswered, its answer counts.
   *
   * @throws {TunnelError} ERR_PEER_GONE when closed, ERR_LIMIT when 1024 callbacks wait
   */
  ping(callback: PingCallback): void {
    if (this.#closed) throw new TunnelError('ERR_PEER_GONE', 'there is nobody to ping; connect again');
    this.#control.pinger.wait(callback);
    this.#wantPing();
    this.#pump();
  }

  /** Returns a function that tells whether all that was written so far is in frames: see {@link Stream.sendMark}. */
  sendMark(): () => boolean {
    return this.#table.sendMark();
  }

  stats(): SessionStats {
    return {
      streams: this.#table.size,
      framesSent: this.#sink.framesSent,
      framesReceived: this.#framesReceived,
      bytesSent: this.#sink.bytesSent,
      bytesReceived: this.#bytesReceived,
      opensRefused: this.#opens.refused,
      roundTripMs: this.#control.pinger.smoothedMs,
      ...this.#memory.stats(),
    };
  }

  /**
   * Sends BYE and resets all streams. Frames sent before still arrive, so nothing is lost once the
   * last stream has ended. @param text for the peer; at most 255 bytes of it are sent
   */
  close(reason: Reason, text = ''): void {
    if (this.#closed) return;
    this.#shut(reason, false);
    this.#control.bye(reason, text);
    this.#scheduler.controlDue(this.#control);
    this.#pump();
  }

  /** Resets all streams without telling the peer, which is dead or has been replaced by another process. */
  abandon(reason: Reason): void {
    if (!this.#closed) this.#shut(reason, false);
    this.#control.clear();
  }

  /**
   * Milliseconds until something that waits for a pace or for our consumers may continue; Infinity when nothing waits.
   */
  #paceMs(): number {
    return Math.min(
      this.#scheduler.isPaced ? this.#sentPace.waitMs() : Number.POSITIVE_INFINITY,
      this.#owed.size > 0 ? this.#receivedPace.waitMs() : Number.POSITIVE_INFINITY,
      this.#control.nextMs,
    );
  }

  /** Streams that were idle since the last call give back what they do not use. */
  #rest(): void {
    const nowMs = this.#clock.nowMs();
    if (nowMs - this.#restedMs < REST_MS) return;
    this.#restedMs = nowMs;
    for (const stream of this.#table) stream.rest(this.#options.givesBack === true);
  }

  /** Sends the credit and delivers the datagrams that waited for the pace. */
  #payOwed(): void {
    if (this.#owed.size === 0 || !this.#receivedPace.isOpen) return;
    const streams = [...this.#owed];
    this.#owed.clear();
    for (const stream of streams) stream.goOn();
  }

  /** @throws {TunnelError} ERR_LIMIT (remote) */
  #takeControlFrame(): void {
    if (this.#controlFrames.take(this.#clock.nowMs())) return;
    const detail = `more than ${this.#controlFramesPerSecond} frames a second that carry no data`;
    throw new TunnelError('ERR_LIMIT', detail, { remote: true });
  }

  #receiveStreamFrame(type: number, frame: Uint8Array): void {
    if (type === 0 || type > this.#lastType) throw violation(`type ${type}, which is not a frame`);
    const stream = this.#table.find(frame, 1);
    if (type === OPEN) {
      if (stream !== undefined) throw violation('OPEN for an existing stream');
      this.#receiveOpen(frame);
    } else if (stream !== undefined) {
      stream.receive(type, frame);
    } else if (isNilAt(frame, 1)) {
      throw violation(`type ${type} for the session; it is for a stream`);
    } else {
      this.#strays.take(this.#clock.nowMs());
    }
  }

  #receiveOpen(frame: Uint8Array): void {
    if (isNilAt(frame, 1)) throw violation('OPEN with the nil UUID');
    const { creditOffset, target } = readOpen(frame);
    if (this.#unanswered >= MAX_STREAMS_PER_PEER)
      throw violation(`more than ${MAX_STREAMS_PER_PEER} OPENs unanswered`);
    this.#unanswered++;
    const id = frame.slice(1, 1 + ID_BYTES);
    if (target === undefined) {
      this.#refuse(id, 'unsupported', '');
    } else if (this.#table.isTaken(id, 0)) {
      this.#refuse(id, 'busy', 'open again with another UUID');
    } else {
      this.#enqueue(id, creditOffset, target);
    }
  }

  /** Queues a request. It reaches our consumer when the limits allow, after this batch at the earliest. */
  #enqueue(id: Uint8Array, creditOffset: number, target: Target): void {
    // After accept(), the consumer's handlers replace these.
    const handlers: StreamHandlers = { onReset: () => request.cancel() };
    const stream = this.#newStream(target.kind, { id, open: undefined, handlers });
    const request = new PendingRequest(stream, target, this);
    stream.sending.raiseCredit(creditOffset);
    this.#opens.addTheirs(stream, request);
  }

  /** @returns whether any OPEN passed or was refused */
  #admitOpens(): boolean {
    if (this.#closed || this.#opens.waiting === 0) return false;
    const any = this.#opens.admit();
    if (this.#clock.nowMs() + this.#opens.nextMs() < this.#tickAtMs - 1) this.#options.onTickSooner?.();
    return any;
  }

  #newStream(kind: Target['kind'], parts: Pick<StreamParts, 'id' | 'open' | 'handlers'>): Stream {
    const halves = this.#memory.halves(kind, this.#clock.nowMs());
    const stream = new Stream(this.#host, { ...parts, ...halves });
    this.#table.add(stream);
    return stream;
  }

  #refuse(id: Uint8Array, reason: Reason, text: string): void {
    this.#control.refuse({ id, reason, text });
    this.#scheduler.controlDue(this.#control);
  }

  #wantPing(): void {
    if (this.#control.pinger.want()) this.#scheduler.controlDue(this.#control);
  }

  /** Acts on the peer's BYE once all frames sent before it have arrived, and our consumers have taken their bytes. */
  #actOnBye(): void {
    const bye = this.#control.theirBye;
    // The count of received frames includes the BYE.
    if (this.#closed || bye === undefined || this.#framesReceived <= bye.framesBefore) return;
    const isHeld = bye.reason === 'peer-shutdown' && this.#table.isHeld;
    if (this.#control.holdBye(isHeld, this.#clock.nowMs())) return;
    this.#shut(bye.reason, true);
    this.#control.clear();
    this.#options.onBye?.(bye.reason, bye.text);
  }

  #shut(reason: Reason, remote: boolean): void {
    this.#closed = true;
    for (const stream of [...this.#table]) stream.abort(reason, remote);
    // Streams that ended in this batch have not been settled yet. Inside flush, flush settles them.
    if (!this.#busy) for (const stream of this.#news.splice(0)) stream.settle();
  }

  #pump(): void {
    if (this.#busy) return;
    this.#busy = true;
    try {
      this.#scheduler.run();
      while (this.#admitOpens() || this.#mayDrain.length > 0) {
        const streams = this.#mayDrain;
        this.#mayDrain = [];
        for (const stream of streams) stream.drain();
        this.#scheduler.run();
      }
    } finally {
      this.#busy = false;
    }
    const paceMs = this.#paceMs();
    if (this.#clock.nowMs() + paceMs < this.#tickAtMs - 1) this.#options.onTickSooner?.();
  }

  #hostOfStreams(): StreamHost {
    return {
      sink: this.#sink,
      clock: this.#clock,
      scheduler: this.#scheduler,
      roundTripMs: (nowMs) => {
        if (this.#control.pinger.isStale(nowMs, ROUND_TRIP_AGE_MS)) this.#wantPing();
        return this.#control.pinger.smoothedMs;
      },
      settleLater: (stream) => this.#news.push(stream),
      drainLater: (stream) => this.#mayDrain.push(stream),
      mayReceive: (stream) => {
        const isOpen = this.#receivedPace.isOpen;
        if (!isOpen) this.#owed.add(stream);
        return isOpen;
      },
      received: (bytes) => this.#receivedPace.spend(bytes),
      answered: () => void this.#unanswered--,
      over: (stream, refusal) => {
        this.#scheduler.forget(stream);
        this.#table.remove(stream);
        this.#opens.forget(stream);
        this.#owed.delete(stream);
        this.#strays.ended(stream.receiving.missingBytes);
        this.#busyMs = this.#clock.nowMs();
        if (refusal !== undefined) this.#refuse(stream.idBytes, refusal.reason, refusal.text);
      },
      pump: () => this.#pump(),
    };
  }
}
