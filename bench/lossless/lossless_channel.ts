import { TunnelError } from '../../src/core/errors.js';
import { LOSSLESS_PACKET_ID } from '../../src/core/limits.js';
import type {
  Channel,
  ChannelOptions,
  ChannelPort,
  ChannelStats,
  CreateChannel,
} from '../../src/worker/channel/channel.js';
import { PacketFifo } from './packet_fifo.js';

/** Kind byte of a frame in a lossless packet: one that the handshake leaves free. */
export const KIND_FRAME = 5;

const HEADER_BYTES = 2;

/**
 * How long toxcore is left alone after it took no more, in ms. Its congestion control books a
 * sender that comes back at once as congestion, and its rate falls to 4 packets/s.
 */
const FULL_PAUSE_MS = 10;

/** The friend is about to be told offline, or back: look again then, at the latest. */
const OFFLINE_PAUSE_MS = 100;

/** Frames that came while the inbound ring was full, {@link KEEPING_BYTES} for each counted. */
const MAX_UNDELIVERED_BYTES = 32 * 1024 * 1024;

/** What a kept frame costs beside its bytes, about: so that many small ones are bounded too. */
const KEEPING_BYTES = 128;

/** The backlog that the main thread keeps to is far smaller: more than this is a fault of ours. */
const MAX_BACKLOG_BYTES = 4 * 1024 * 1024;

/**
 * The simple channel that the real one is measured against: each frame in one lossless packet of toxcore's, `[0xb7][4][frame]`. It is
 * as fast as those are, and what toxcore holds when the friend goes offline is lost with it.
 */
export const createLosslessChannel: CreateChannel = (port, options) => new LosslessChannel(port, options);

class LosslessChannel implements Channel {
  readonly #port: ChannelPort;
  readonly #urgent = new PacketFifo();
  readonly #bulk = new PacketFifo();
  readonly #undelivered = new PacketFifo();
  #frozen: boolean;
  #failed = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #backlogBytes = 0;
  #framesOut = 0;
  #framesIn = 0;

  constructor(port: ChannelPort, options: ChannelOptions) {
    this.#port = port;
    this.#frozen = !options.online;
  }

  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  send(frame: Uint8Array, urgent: boolean): void {
    if (this.#failed) {
      this.#port.drained(frame.length);
      return;
    }
    this.#backlogBytes += frame.length;
    if (this.#backlogBytes > MAX_BACKLOG_BYTES) {
      throw new Error(`a channel was handed ${this.#backlogBytes} bytes, far over its backlog`);
    }
    const packet = new Uint8Array(HEADER_BYTES + frame.length);
    packet[0] = LOSSLESS_PACKET_ID;
    packet[1] = KIND_FRAME;
    packet.set(frame, HEADER_BYTES);
    (urgent ? this.#urgent : this.#bulk).push(packet);
  }

  receive(packet: Uint8Array): void {
    if (this.#failed || packet[0] !== LOSSLESS_PACKET_ID || packet[1] !== KIND_FRAME) return;
    const frame = packet.subarray(HEADER_BYTES);
    if (this.#undelivered.peek() === undefined && this.#port.deliver(frame)) {
      this.#framesIn++;
      return;
    }
    const keptBytes = this.#undelivered.bytes + this.#undelivered.count * KEEPING_BYTES;
    if (keptBytes + frame.length + KEEPING_BYTES > MAX_UNDELIVERED_BYTES) {
      this.#fail(`the peer sent over ${MAX_UNDELIVERED_BYTES} bytes that nobody here has taken`, true);
      return;
    }
    this.#undelivered.push(new Uint8Array(frame));
  }

  pump(nowMs: number): number {
    this.#handUp();
    if (this.#frozen || this.#failed) return Number.POSITIVE_INFINITY;
    if (nowMs < this.#notBeforeMs) {
      return this.#backlogBytes > 0 ? this.#notBeforeMs : Number.POSITIVE_INFINITY;
    }
    for (;;) {
      const queue = this.#urgent.peek() === undefined ? this.#bulk : this.#urgent;
      const packet = queue.peek();
      if (packet === undefined) return Number.POSITIVE_INFINITY;
      switch (this.#port.sendPacket(packet)) {
        case 'sent':
          queue.shift();
          this.#framesOut++;
          this.#backlogBytes -= packet.length - HEADER_BYTES;
          this.#port.drained(packet.length - HEADER_BYTES);
          break;
        case 'full':
          this.#notBeforeMs = nowMs + FULL_PAUSE_MS;
          return this.#notBeforeMs;
        case 'offline':
          this.#notBeforeMs = nowMs + OFFLINE_PAUSE_MS;
          return this.#notBeforeMs;
        case 'failed':
          this.#fail('toxcore refused a packet for good', false);
          return Number.POSITIVE_INFINITY;
      }
    }
  }

  freeze(): void {
    this.#frozen = true;
  }

  thaw(): void {
    this.#frozen = false;
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
  }

  pathChanged(): void {
    this.#notBeforeMs = Number.NEGATIVE_INFINITY;
  }

  stats(): ChannelStats {
    return {
      backlogBytes: this.#backlogBytes,
      inFlightBytes: 0,
      framesOut: this.#framesOut,
      framesIn: this.#framesIn,
      roundTripMs: 0,
      packetsLost: 0,
    };
  }

  #handUp(): void {
    for (;;) {
      const frame = this.#undelivered.peek();
      if (frame === undefined || !this.#port.deliver(frame)) return;
      this.#undelivered.shift();
      this.#framesIn++;
    }
  }

  #fail(detail: string, remote: boolean): void {
    this.#failed = true;
    const backlogBytes = this.#backlogBytes;
    this.#backlogBytes = 0;
    this.#urgent.clear();
    this.#bulk.clear();
    this.#undelivered.clear();
    this.#port.drained(backlogBytes);
    this.#port.fail(new TunnelError('ERR_LIMIT', `${detail}; the session ends, connect again`, { remote }));
  }
}
