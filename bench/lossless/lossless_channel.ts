import { TunnelError } from '../../src/core/errors.js';
import { LOSSLESS_PACKET_ID } from '../../src/core/packets.js';
import type {
  Channel,
  ChannelHost,
  ChannelOptions,
  ChannelStats,
  CreateChannel,
} from '../../src/worker/channel/channel.js';
import { PacketFifo } from './packet_fifo.js';

/** First byte of a frame in a lossless packet; the handshake leaves this value free. */
export const KIND_FRAME = 5;

const HEADER_BYTES = 2;

/**
 * How long to wait after toxcore refused a packet, in ms. Its congestion control counts a sender
 * that retries at once as congestion, and its rate drops to 4 packets/s.
 */
const FULL_PAUSE_MS = 10;

/** The friend will soon be reported offline, or is back: check again after this time at the latest. */
const OFFLINE_PAUSE_MS = 100;

/** Frames that arrived while the inbound ring was full; each counts {@link KEEPING_BYTES} extra. */
const MAX_UNDELIVERED_BYTES = 32 * 1024 * 1024;

/** The approximate cost of a kept frame besides its bytes, so that many small frames are bounded as well. */
const KEEPING_BYTES = 128;

/** The main thread keeps to a far smaller backlog, so exceeding this is a bug of ours. */
const MAX_BACKLOG_BYTES = 4 * 1024 * 1024;

/**
 * The simple channel against which the real one is measured. It sends each frame in one lossless packet of
 * toxcore, `[0xb7][4][frame]`. It is as fast as those packets are, and loses what toxcore holds when the
 * friend goes offline.
 */
export const createLosslessChannel: CreateChannel = (host, options) => new LosslessChannel(host, options);

class LosslessChannel implements Channel {
  readonly #host: ChannelHost;
  readonly #urgent = new PacketFifo();
  readonly #bulk = new PacketFifo();
  readonly #undelivered = new PacketFifo();
  #frozen: boolean;
  #failed = false;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #backlogBytes = 0;
  #framesOut = 0;
  #framesIn = 0;

  constructor(host: ChannelHost, options: ChannelOptions) {
    this.#host = host;
    this.#frozen = !options.online;
  }

  get backlogBytes(): number {
    return this.#backlogBytes;
  }

  send(frame: Uint8Array, urgent: boolean): void {
    if (this.#failed) {
      this.#host.drained(frame.length);
      return;
    }
    this.#backlogBytes += frame.length;
    if (this.#backlogBytes > MAX_BACKLOG_BYTES) {
      throw new Error(`a channel holds ${this.#backlogBytes} bytes, far over its backlog limit`);
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
    if (this.#undelivered.peek() === undefined && this.#host.deliver(frame)) {
      this.#framesIn++;
      return;
    }
    const keptBytes = this.#undelivered.bytes + this.#undelivered.count * KEEPING_BYTES;
    if (keptBytes + frame.length + KEEPING_BYTES > MAX_UNDELIVERED_BYTES) {
      this.#fail(`the peer sent more than ${MAX_UNDELIVERED_BYTES} bytes that this end has not read`, true);
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
      switch (this.#host.sendPacket(packet)) {
        case 'sent':
          queue.shift();
          this.#framesOut++;
          this.#backlogBytes -= packet.length - HEADER_BYTES;
          this.#host.drained(packet.length - HEADER_BYTES);
          break;
        case 'full':
          this.#notBeforeMs = nowMs + FULL_PAUSE_MS;
          return this.#notBeforeMs;
        case 'offline':
          this.#notBeforeMs = nowMs + OFFLINE_PAUSE_MS;
          return this.#notBeforeMs;
        case 'failed':
          this.#fail('toxcore refused a packet permanently', false);
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
      if (frame === undefined || !this.#host.deliver(frame)) return;
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
    this.#host.drained(backlogBytes);
    this.#host.fail(new TunnelError('ERR_LIMIT', `${detail}; the session ends, connect again`, { remote }));
  }
}
