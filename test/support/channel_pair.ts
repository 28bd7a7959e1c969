import assert from 'node:assert/strict';
import type { TunnelError } from '../../src/core/errors.js';
import type { PacketResult } from '../../src/worker/channel/channel.js';
import { type AckBatch, Bbr } from '../../src/worker/channel/congestion/bbr.js';
import { ReliableChannel } from '../../src/worker/channel/reliable_channel.js';

export const TAG = 0x0a0b0c0d;

/** A channel whose packets stay in an array until a test moves them. */
export class HeldChannel {
  readonly sent: Uint8Array[] = [];
  readonly frames: string[] = [];
  drained = 0;
  result: PacketResult = 'sent';
  /** Number of frames that the ring accepts before it is full. */
  room = Number.POSITIVE_INFINITY;
  error: TunnelError | undefined;
  readonly channel: ReliableChannel;

  /** How often the channel has called `seekPeer`, if its host offers that. */
  seeks = 0;

  constructor(seed = 1, online = true, bbr?: Bbr, canSeek = false) {
    this.channel = new ReliableChannel(
      {
        sendPacket: (packet) => {
          if (this.result === 'sent') this.sent.push(packet.slice());
          return this.result;
        },
        deliver: (frame) => {
          if (this.frames.length >= this.room) return false;
          this.frames.push(hex(frame));
          return true;
        },
        drained: (bytes) => {
          this.drained += bytes;
        },
        ...(canSeek && {
          seekPeer: () => {
            this.seeks++;
          },
        }),
        fail: (error) => {
          this.error = error;
        },
      },
      { tag: TAG, seed, frameBytes: 1344, online },
      bbr,
    );
  }

  send(frame: string, urgent = false): void {
    this.channel.send(bytes(frame), urgent, 0);
  }

  sendLossy(frame: string): void {
    this.channel.send(bytes(frame), false, 0, true);
  }

  receive(packet: string | Uint8Array, nowMs = 0): void {
    this.channel.receive(typeof packet === 'string' ? bytes(packet) : packet, nowMs);
  }

  /** Returns the packets that leave in one pump, as hex. */
  pump(nowMs = 0): string[] {
    this.sent.length = 0;
    this.channel.pump(nowMs);
    return this.sent.map(hex);
  }

  assertBlamesPeer(): void {
    assert.equal(this.error?.code, 'ERR_PACKET_INVALID');
    assert.equal(this.error.remote, true);
    assert.equal(this.error.cause, undefined, 'the fault is ours');
  }
}

/** A controller that lets everything pass and records its calls. */
export class Notes extends Bbr {
  override windowBytes = 1e9;
  override pacingRate = 1e9;
  readonly batches: AckBatch[] = [];
  timeouts = 0;
  pathChanges = 0;
  readonly urgentAtMs: number[] = [];

  constructor() {
    super(1);
  }

  override onUrgent(nowMs: number): void {
    this.urgentAtMs.push(nowMs);
  }

  override onAcked(batch: AckBatch): void {
    this.batches.push({ ...batch });
  }

  override onTimeout(): void {
    this.timeouts++;
  }

  override onPathChanged(): void {
    this.pathChanges++;
  }
}

export function bytes(text: string): Uint8Array {
  return Uint8Array.from(Buffer.from(text.replaceAll(' ', ''), 'hex'));
}

export function hex(data: Uint8Array): string {
  return Buffer.from(data).toString('hex');
}

/** Removes the blanks that make golden bytes readable. */
export function plain(text: string): string {
  return text.replaceAll(' ', '');
}
