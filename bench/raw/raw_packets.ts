import { LOSSY_PACKET_ID, MAX_PACKET_BYTES } from '../../src/core/packets.js';

//  0     1      2     3        7
//  +-----+------+-----+--------+-- - - --+
//  | id  | kind | run | number | payload |   kind DATA
//  | id  | kind | run |  next  |             kind COUNT: all numbers below `next` came or are lost
//  +-----+------+-----+--------+-- - - --+
const KIND_DATA = 0;
const KIND_COUNT = 1;
const HEADER_BYTES = 7;
const PAYLOAD_BYTES = MAX_PACKET_BYTES - HEADER_BYTES;

/** Packets on their way at most: well below what the sockets' buffers of 4 MiB hold, so that hardly one is lost. */
const WINDOW_PACKETS = 1024;
/** The receiver tells how far it is after so many. */
const COUNT_EVERY = 32;
/** In one turn of the event loop, as the channel does. */
const MAX_TURN_PACKETS = 256;
/** So long without a word of the receiver, in ms, and the newest packet goes once more: it, or its count, was lost. */
const ASK_AFTER_MS = 50;

type Send = (packet: Uint8Array) => boolean;

export function packetsOf(bytes: number): number {
  return Math.ceil(bytes / PAYLOAD_BYTES);
}

/** Sends bytes as lossy packets, as fast as a window lets it; nothing is sent again but to ask. */
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

  /** The receiver has seen the last packet. */
  get isDone(): boolean {
    return this.#counted === this.#total;
  }

  /** @returns when to be called again, in ms */
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

  /** A packet of the receiver's. */
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

/** Keeps what comes in its place, and tells the sender how far it is. */
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

  /** A packet of the sender's. toxcore lets a handler send. */
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

  /** What came, and the numbers of the packets that did not: zeros stand in their place. */
  result(): { readonly bytes: Buffer; readonly missing: readonly number[] } {
    const missing: number[] = [];
    for (const [number, came] of this.#came.entries()) if (came === 0) missing.push(number);
    return { bytes: this.#bytes, missing };
  }
}

/** Makes of the bytes that were sent those that a receiver has that misses these packets. */
export function blank(bytes: Buffer, missing: readonly number[]): Buffer {
  if (missing.length === 0) return bytes;
  const holed = Buffer.from(bytes);
  for (const number of missing) holed.fill(0, number * PAYLOAD_BYTES, (number + 1) * PAYLOAD_BYTES);
  return holed;
}

function numberOf(packet: Uint8Array): number {
  return new DataView(packet.buffer, packet.byteOffset, packet.length).getUint32(3);
}
