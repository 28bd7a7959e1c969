import type { Clock } from '../../src/core/clock.js';
import { Session } from '../../src/mux/session/session.js';
import type { SessionOptions } from '../../src/mux/session/session_options.js';
import { DATAGRAM } from '../../src/mux/wire/frame.js';
import type { FrameSink } from '../../src/mux/wire/frame_sink.js';

/** A clock that a test advances. */
export class ManualClock implements Clock {
  ms = 1000;
  nowMs(): number {
    return this.ms;
  }

  advance(ms: number): void {
    this.ms += ms;
  }
}

/** Numbers in [0, 1), the same for the same seed (Marsaglia's xorshift, 32 bits). */
export function randomOf(seed: number): () => number {
  let state = seed | 0 || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 0x1_0000_0000;
  };
}

/** 16 bytes, different each time. */
export function ids(seed: number): () => Uint8Array {
  const random = randomOf(seed);
  return () => Uint8Array.from({ length: 16 }, () => random() * 256);
}

/** Counts what is committed, as a channel's sink does. */
export class CountingSink {
  framesSent = 0;
  bytesSent = 0;

  protected count(frame: Uint8Array): void {
    if (frame[0] !== DATAGRAM) this.framesSent++;
    this.bytesSent += frame.length;
  }
}

/** A sink that keeps its frames; it accepts at most `room` of them, or what `takes` allows. */
export class ListSink extends CountingSink implements FrameSink {
  frames: Uint8Array[] = [];
  urgent: boolean[] = [];
  room = Number.POSITIVE_INFINITY;
  refusals = 0;
  #slot: Uint8Array | undefined;
  #urgent = false;

  reserve(bytes: number, urgent: boolean): Uint8Array | undefined {
    if (this.frames.length >= this.room) {
      this.refusals++;
      return undefined;
    }
    this.#urgent = urgent;
    this.#slot = new Uint8Array(bytes);
    return this.#slot;
  }

  commit(): void {
    if (this.#slot === undefined) throw new Error('commit without reserve');
    this.frames.push(this.#slot);
    this.count(this.#slot);
    this.urgent.push(this.#urgent);
    this.#slot = undefined;
  }

  /** Takes the waiting frames. */
  take(): Uint8Array[] {
    this.urgent = [];
    return this.frames.splice(0);
  }

  /** Takes the waiting frames, as hex. */
  hex(): string[] {
    return this.take().map((frame) => Buffer.from(frame).toString('hex'));
  }
}

/** A session with a list as its sink, and a clock. */
export function aloneWith(options: Partial<SessionOptions> = {}): {
  session: Session;
  sink: ListSink;
  clock: ManualClock;
} {
  const sink = new ListSink();
  const clock = new ManualClock();
  const session = new Session({
    sink,
    clock,
    random16: ids(7),
    frameBytes: 1024,
    role: 'connector',
    onOpen: (request) => request.refuse('not-allowed'),
    ...options,
  });
  return { session, sink, clock };
}

export interface LinkOptions {
  readonly seed: number;
  /** Each frame takes up to this long, at random, so frames overtake each other. */
  readonly delayMs: number;
  /** Maximum frames in flight in each direction; at times the sink accepts only a random part of it. */
  readonly room: number;
}

/**
 * Two sessions joined by a channel that delays, reorders and refuses frames, but never loses or duplicates
 * them.
 */
export class MuxLink {
  readonly clock = new ManualClock();
  readonly connector: Session;
  readonly listener: Session;
  /** Called with each frame as it arrives. */
  onFrame: ((to: 'connector' | 'listener', frame: Uint8Array) => void) | undefined;
  readonly #random: () => number;
  readonly #options: LinkOptions;
  readonly #ways: Way[] = [];

  constructor(link: LinkOptions, connector: Partial<SessionOptions>, listener: Partial<SessionOptions>) {
    this.#options = link;
    this.#random = randomOf(link.seed);
    const refuse: SessionOptions['onOpen'] = (request) => request.refuse('not-allowed');
    const toListener = new Way(link.room);
    const toConnector = new Way(link.room);
    this.#ways.push(toListener, toConnector);
    const both = { clock: this.clock, frameBytes: 1024, onOpen: refuse };
    this.listener = new Session({
      ...both,
      sink: toConnector,
      random16: ids(link.seed + 1),
      ...listener,
      role: 'listener',
    });
    this.connector = new Session({
      ...both,
      sink: toListener,
      random16: ids(link.seed + 2),
      ...connector,
      role: 'connector',
    });
  }

  /** Frames in flight. */
  get inFlight(): number {
    return this.#ways.reduce((sum, way) => sum + way.frames.length, 0);
  }

  /** Advances one millisecond: a random part of the due frames arrives, in random order, and room changes. */
  step(): void {
    this.clock.ms++;
    const [toListener, toConnector] = this.#ways;
    this.#deliver(toListener!, this.listener, 'listener');
    this.#deliver(toConnector!, this.connector, 'connector');
    this.#makeRoom(toListener!, this.connector);
    this.#makeRoom(toConnector!, this.listener);
  }

  /** Steps until `done` returns true, at most `most` times. @returns whether it did */
  run(done: () => boolean, most: number): boolean {
    for (let count = 0; count < most; count++) {
      if (done()) return true;
      this.step();
    }
    return done();
  }

  #deliver(way: Way, session: Session, to: 'connector' | 'listener'): void {
    const { delayMs } = this.#options;
    const due: Uint8Array[] = [];
    way.frames = way.frames.filter((frame) => {
      if (delayMs > 0 && this.#random() > 2 / (delayMs + 1)) return true;
      due.push(frame);
      return false;
    });
    if (delayMs > 0) due.sort(() => this.#random() - 0.5);
    for (const frame of due) {
      this.onFrame?.(to, frame);
      session.receive(frame);
      // The view is valid only during the call.
      frame.fill(0xee);
    }
    session.flush();
  }

  #makeRoom(way: Way, session: Session): void {
    way.room =
      this.#options.delayMs > 0 ? Math.ceil(this.#random() * this.#options.room) : this.#options.room;
    if (way.refused && way.frames.length < way.room) {
      way.refused = false;
      session.writable();
    }
  }
}

class Way extends CountingSink implements FrameSink {
  frames: Uint8Array[] = [];
  room: number;
  refused = false;
  #slot: Uint8Array | undefined;

  constructor(room: number) {
    super();
    this.room = room;
  }

  reserve(bytes: number): Uint8Array | undefined {
    if (this.frames.length >= this.room) {
      this.refused = true;
      return undefined;
    }
    this.#slot = new Uint8Array(bytes);
    return this.#slot;
  }

  commit(): void {
    if (this.#slot === undefined) throw new Error('commit without reserve');
    this.frames.push(this.#slot);
    this.count(this.#slot);
    this.#slot = undefined;
  }
}
