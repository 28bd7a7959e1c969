import { LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../src/core/packets.js';

//  0     1      2     3        7
//  +-----+------+-----+--------+-- - - --+
//  | id  | kind | run | number | payload |   kind DATA
//  | id  | kind | run |  next  |             kind COUNT: all numbers below `next` have arrived or are lost
//  +-----+------+-----+--------+-- - - --+
const KIND_DATA = 0;
const KIND_COUNT = 1;
const HEADER_BYTES = 7;
const PAYLOAD_BYTES = MAX_PACKET_BYTES - HEADER_BYTES;

/**
 * Maximum number of packets in flight: well below the socket buffers of 4 MiB, so that hardly any is lost.
 */
const WINDOW_PACKETS = 1024;
/** The receiver reports its progress after this many packets. */
const COUNT_EVERY = 32;
/** Maximum number of packets per turn of the event loop, as in the channel. */
const MAX_TURN_PACKETS = 256;
/**
 * After this many ms without a report from the receiver, the sender repeats the newest packet, since it or
 * its report was lost.
 */
const ASK_AFTER_MS = 50;

type Send = (packet: Uint8Array) => boolean;

export function packetsOf(bytes: number): number {
  return Math.ceil(bytes / PAYLOAD_BYTES);
}

/**
 * Sends bytes as lossy packets at the speed that a window allows; repeats a packet only to ask for a report.
 */
export class RawSender {
  readonly #send: Send;
  readonly #bytes: Uint8Array;
  readonly #packet = new Uint8Array(MAX_PACKET_BYTES);
  readonly #view = new DataView(this.#packet.buffer);
  readonly #total: number;
  #next = 0;
  #counted = 0;
  #heardAtMs = Number.NEGATIVE_INFINITY;

  constructor(send: Send, bytes: Uint8Array, run: number) {
    this.#send = send;
    this.#bytes = bytes;
    this.#total = packetsOf(bytes.length);
    this.#packet[0] = LOSSY_PACKET_ID;
    this.#packet[1] = KIND_DATA;
    this.#packet[2] = run;
  }

  /** True when the receiver has seen the last packet. */
  get isDone(): boolean {
    return this.#counted === this.#total;
  }

  /** @returns the time of the next call, in ms */
  pump(nowMs: number): number {
    if (this.isDone) return Number.POSITIVE_INFINITY;
    if (this.#heardAtMs === Number.NEGATIVE_INFINITY) this.#heardAtMs = nowMs;
    for (let sent = 0; sent < MAX_TURN_PACKETS; sent++) {
      if (this.#next === this.#total || this.#next - this.#counted >= WINDOW_PACKETS) {
        return this.#ask(nowMs);
      }
      if (!this.#sendOne(this.#next)) return nowMs + 1;
      this.#next++;
    }
    return nowMs;
  }

  /** Handles a packet from the receiver. */
  receive(packet: Uint8Array, nowMs: number): void {
    if (packet[1] !== KIND_COUNT || packet[2] !== this.#packet[2]) return;
    this.#heardAtMs = nowMs;
    this.#counted = Math.max(this.#counted, numberOf(packet));
  }

  #ask(nowMs: number): number {
    if (nowMs - this.#heardAtMs >= ASK_AFTER_MS && this.#sendOne(this.#next - 1)) this.#heardAtMs = nowMs;
    return this.#heardAtMs + ASK_AFTER_MS;
  }

  #sendOne(number: number): boolean {
    const at = number * PAYLOAD_BYTES;
    const payload = this.#bytes.subarray(at, at + PAYLOAD_BYTES);
    this.#view.setUint32(3, number);
    this.#packet.set(payload, HEADER_BYTES);
    return this.#send(this.#packet.subarray(0, HEADER_BYTES + payload.length));
  }
}

/** Stores the payloads that arrive, and reports its progress to the sender. */
export class RawReceiver {
  readonly #send: Send;
  readonly #run: number;
  readonly #bytes: Buffer;
  readonly #came: Uint8Array;
  #next = 0;
  #sinceCount = 0;

  constructor(send: Send, bytes: number, run: number) {
    this.#send = send;
    this.#run = run;
    this.#bytes = Buffer.alloc(bytes);
    this.#came = new Uint8Array(packetsOf(bytes));
  }

  /** Handles a packet from the sender. toxcore allows a handler to send. */
  receive(packet: Uint8Array): void {
    if (packet[1] !== KIND_DATA || packet[2] !== this.#run) return;
    const number = numberOf(packet);
    if (number >= this.#came.length) return;
    const again = this.#came[number] === 1;
    this.#bytes.set(packet.subarray(HEADER_BYTES), number * PAYLOAD_BYTES);
    this.#came[number] = 1;
    this.#next = Math.max(this.#next, number + 1);
    if (++this.#sinceCount < COUNT_EVERY && this.#next < this.#came.length && !again) return;
    this.#sinceCount = 0;
    const count = new Uint8Array(HEADER_BYTES);
    count.set([LOSSY_PACKET_ID, KIND_COUNT, this.#run]);
    new DataView(count.buffer).setUint32(3, this.#next);
    this.#send(count);
  }

  /**
   * Returns the bytes that arrived, with zeros in the place of missing packets, and the numbers of those
   * packets.
   */
  result(): { readonly bytes: Buffer; readonly missing: readonly number[] } {
    const missing: number[] = [];
    for (const [number, came] of this.#came.entries()) if (came === 0) missing.push(number);
    return { bytes: this.#bytes, missing };
  }
}

/** Returns the bytes as a receiver has them, with zeros in the place of missing packets. */
export function blank(bytes: Buffer, missing: readonly number[]): Buffer {
  if (missing.length === 0) return bytes;
  const holed = Buffer.from(bytes);
  for (const number of missing) holed.fill(0, number * PAYLOAD_BYTES, (number + 1) * PAYLOAD_BYTES);
  return holed;
}

function numberOf(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset, packet.length).getUint32(3);
}
