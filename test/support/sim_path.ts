import type { TunnelError } from '../../src/core/errors.js';
import { CHANNEL_BACKLOG_BYTES } from '../../src/core/limits.js';
import type { ChannelOptions, PacketResult } from '../../src/worker/channel/channel.js';
import { BUNDLE_BYTES } from '../../src/worker/channel/packet.js';
import { ReliableChannel } from '../../src/worker/channel/reliable_channel.js';
import { SimClock, seeded } from './sim_clock.js';
import { SimLink, type SimLinkOptions } from './sim_link.js';

/** Headers of toxcore's crypto packets, UDP and IPv4, in bytes. */
export const WIRE_OVERHEAD_BYTES = 27 + 28;
/** Resolution of the timers of the simulated host, in ms. */
const TIMER_MS = 1;
/** A channel that requests this many turns within one moment is in an endless loop. */
const MAX_PUMPS_AT_ONCE = 1_000;

/** One end of a simulated path: a channel, its timer, and an application that counts. */
export class SimEnd {
  readonly channel: ReliableChannel;
  /** For each frame index, how often the frame was received. */
  readonly received: number[] = [];
  receivedBytes = 0;
  receivedFrames = 0;
  /** The result of sendPacket. */
  result: PacketResult = 'sent';
  /** Whether the inbound ring has room. */
  accepts: () => boolean = () => true;
  onFrame: (frame: Uint8Array) => void = () => {};
  /** Called when this many bytes of frames have left the channel. */
  onDrained: (bytes: number) => void = () => {};
  error: TunnelError | undefined;
  maxInFlightBytes = 0;
  packets = 0;
  /** Calls of the channel's `pump`. */
  pumps = 0;
  readonly #clock: SimClock;
  #backlogBytes = 0;
  #wakeAtMs = Number.POSITIVE_INFINITY;
  #bulkLeft = 0;
  #nextIndex = 0;
  #pumpPlanned = false;

  constructor(clock: SimClock, link: SimLink, peer: () => SimEnd, options: ChannelOptions) {
    this.#clock = clock;
    this.channel = new ReliableChannel(
      {
        sendPacket: (packet) => {
          if (this.result !== 'sent') return this.result;
          const copy = packet.slice();
          this.packets++;
          link.send(copy.length, () => peer().#arrive(copy));
          return 'sent';
        },
        deliver: (frame) => {
          if (!this.accepts()) return false;
          const view = new DataView(frame.buffer, frame.byteOffset, frame.length);
          const index = view.getUint32(0);
          this.received[index] = (this.received[index] ?? 0) + 1;
          this.receivedBytes += frame.length;
          this.receivedFrames++;
          this.onFrame(frame);
          return true;
        },
        drained: (bytes) => {
          this.#backlogBytes -= bytes;
          this.onDrained(bytes);
        },
        fail: (error) => {
          this.error = error;
        },
      },
      options,
    );
  }

  /** Sends `bytes` as large frames as fast as the backlog limit allows. */
  bulk(bytes: number): void {
    this.#bulkLeft += bytes;
    this.wake();
  }

  /** Sends a frame unchanged. */
  send(frame: Uint8Array, urgent: boolean, lossy: boolean): void {
    this.#backlogBytes += frame.length;
    this.channel.send(frame, urgent, this.#clock.nowMs, lossy);
    this.wake();
  }

  /** Sends a frame whose first four bytes hold its index. */
  frame(bytes: number, urgent = false, lossy = false): number {
    const index = this.#nextIndex++;
    const frame = new Uint8Array(Math.max(bytes, 4)).fill(index);
    new DataView(frame.buffer).setUint32(0, index);
    this.send(frame, urgent, lossy);
    return index;
  }

  /** Schedules a pump within this moment. */
  wake(): void {
    if (this.#pumpPlanned) return;
    this.#pumpPlanned = true;
    this.#clock.after(0, () => this.#pump());
  }

  /** Bytes of frames handed in that the channel has not drained yet. */
  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  get sentFrames(): number {
    return this.#nextIndex;
  }

  #arrive(packet: Uint8Array): void {
    this.channel.receive(packet, this.#clock.nowMs);
    this.wake();
  }

  #pump(): void {
    this.#pumpPlanned = false;
    const { nowMs } = this.#clock;
    for (let turns = 0; ; turns++) {
      if (turns === MAX_PUMPS_AT_ONCE) throw new Error(`livelock: ${turns} pumps at ${nowMs} ms`);
      this.pumps++;
      while (this.#bulkLeft > 0 && this.#backlogBytes + BUNDLE_BYTES <= CHANNEL_BACKLOG_BYTES) {
        this.#bulkLeft -= BUNDLE_BYTES;
        const frame = new Uint8Array(BUNDLE_BYTES);
        new DataView(frame.buffer).setUint32(0, this.#nextIndex++);
        this.#backlogBytes += BUNDLE_BYTES;
        this.channel.send(frame, false, nowMs);
      }
      const again = this.channel.pump(nowMs);
      this.maxInFlightBytes = Math.max(this.maxInFlightBytes, this.channel.stats(nowMs).inFlightBytes);
      if (again > nowMs) {
        this.#plan(again);
        return;
      }
    }
  }

  #plan(atMs: number): void {
    if (atMs === Number.POSITIVE_INFINITY || this.#wakeAtMs <= atMs) return;
    const onTick = Math.ceil(atMs / TIMER_MS) * TIMER_MS;
    this.#wakeAtMs = atMs;
    this.#clock.at(onTick, () => {
      if (this.#wakeAtMs !== atMs) return;
      this.#wakeAtMs = Number.POSITIVE_INFINITY;
      this.wake();
    });
  }
}

export interface SimPath {
  readonly clock: SimClock;
  readonly random: () => number;
  readonly a: SimEnd;
  readonly b: SimEnd;
  readonly ab: SimLink;
  readonly ba: SimLink;
}

/** Two channels over a link in each direction; `back` inherits from `out` what it does not set. */
export function simPath(seed: number, out: SimLinkOptions, back: Partial<SimLinkOptions> = {}): SimPath {
  const clock = new SimClock();
  const random = seeded(seed);
  const ab = new SimLink(clock, random, { overheadBytes: WIRE_OVERHEAD_BYTES, ...out });
  const ba = new SimLink(clock, random, { overheadBytes: WIRE_OVERHEAD_BYTES, ...out, ...back });
  const [a, b] = simEnds(clock, ab, ba, seed);
  return { clock, random, a, b, ab, ba };
}

/** Creates another pair of channels over the same links. */
export function simEnds(clock: SimClock, ab: SimLink, ba: SimLink, seed: number): [SimEnd, SimEnd] {
  const common = { tag: Math.imul(seed, 0x9e3779b1) >>> 0, frameBytes: BUNDLE_BYTES, online: true };
  const a: SimEnd = new SimEnd(clock, ab, () => b, { ...common, seed: seed * 2 + 1 });
  const b: SimEnd = new SimEnd(clock, ba, () => a, { ...common, seed: seed * 2 + 2 });
  return [a, b];
}
