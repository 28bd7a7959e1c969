import type { Socket } from 'node:net';

/** Bytes that wait for toxcore before the socket is paused: 30 of its largest packets. */
const MAX_UNREAD_BYTES = 64 * 1024;

/**
 * Bytes that toxcore may have sent and the system has not taken. With the system's own send
 * buffer it keeps a relay busy between two turns; more would only be delay.
 */
const MAX_UNSENT_BYTES = 128 * 1024;

/** Small writes of one turn are put together up to this size. */
const WRITE_BYTES = 16 * 1024;

/**
 * toxcore never asks whether a stream has ended: it finds out by a ping that stays away for 10
 * to 20 s. A stream that the far end has closed therefore reads as endless 0xff: no valid length
 * (65535, the largest is MAX_PACKET_SIZE 2048, toxcore/TCP_common.h) and no valid handshake, so
 * that toxcore drops the connection at once and tries the next.
 */
const HANG_UP_BYTE = 0xff;
const HANG_UP_BYTES = 0xffff;

/** How toxcore words what it makes of a hang-up: nothing to warn anyone of. Source: toxcore/TCP_common.c. */
export const HANG_UP_WORDS = 'TCP packet too large: 65535 >';

const EMPTY = Buffer.alloc(0);

/** A TCP connection as toxcore uses it: without waiting, and without an unbounded queue. */
export class TcpStream {
  readonly #socket: Socket;
  readonly #onMove: () => void;
  #state: 'connecting' | 'open' | 'hung-up' | 'over';

  #unread: Buffer = EMPTY;
  #unreadStart = 0;
  #unreadEnd = 0;

  #unsent: Buffer = EMPTY;
  #unsentBytes = 0;
  #flushDue = false;

  /**
   * @param onMove called when there may be more to do: bytes came, it stands, it has room, it ended
   */
  constructor(socket: Socket, onMove: () => void) {
    this.#socket = socket;
    this.#onMove = onMove;
    this.#state = socket.connecting ? 'connecting' : 'open';
    socket.setNoDelay(true);
    socket.on('connect', () => {
      this.#state = 'open';
      onMove();
    });
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('drain', onMove);
    socket.on('end', () => this.#ended());
    socket.on('close', () => this.#ended());
    socket.on('error', () => {}); // 'close' follows
  }

  /** Bytes that {@link recv} could give now. */
  get unreadBytes(): number {
    return this.#state === 'hung-up' ? HANG_UP_BYTES : this.#unreadEnd - this.#unreadStart;
  }

  /** Bytes taken, -1 when there is nothing now. */
  recv(into: Uint8Array): number {
    const waiting = this.#unreadEnd - this.#unreadStart;
    const length = Math.min(waiting, into.length);
    into.set(this.#unread.subarray(this.#unreadStart, this.#unreadStart + length));
    this.#unreadStart += length;
    if (length === waiting) {
      this.#unread = EMPTY;
      this.#unreadStart = this.#unreadEnd = 0;
    }
    if (this.#state === 'hung-up') {
      // Also after the first half of a packet: toxcore waits for the rest of it.
      into.fill(HANG_UP_BYTE, length);
      return into.length;
    }
    if (waiting - length < MAX_UNREAD_BYTES / 2 && this.#socket.isPaused()) this.#socket.resume();
    return length === 0 ? -1 : length;
  }

  /** All of `bytes`, or -1: not connected, or too much waits. Copied. */
  send(bytes: Uint8Array): number {
    if (this.#state !== 'open') return -1;
    if (this.#unsentBytes + this.#socket.writableLength + bytes.length > MAX_UNSENT_BYTES) return -1;
    if (this.#unsentBytes + bytes.length > WRITE_BYTES) this.#flush();
    if (bytes.length > WRITE_BYTES) {
      this.#socket.write(Buffer.from(bytes));
      return bytes.length;
    }
    if (this.#unsent.length === 0) this.#unsent = Buffer.allocUnsafe(WRITE_BYTES);
    this.#unsent.set(bytes, this.#unsentBytes);
    this.#unsentBytes += bytes.length;
    if (!this.#flushDue) {
      this.#flushDue = true;
      process.nextTick(() => {
        this.#flushDue = false;
        this.#flush();
      });
    }
    return bytes.length;
  }

  close(): void {
    if (this.#state === 'open') this.#flush();
    this.#state = 'over';
    this.#unread = EMPTY;
    this.#unreadStart = this.#unreadEnd = 0;
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#unsentBytes === 0 || this.#state !== 'open') return;
    // Copied to size: most writes are small, and this buffer serves again.
    this.#socket.write(Buffer.from(this.#unsent.subarray(0, this.#unsentBytes)));
    this.#unsentBytes = 0;
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'over') return;
    const waiting = this.#unreadEnd - this.#unreadStart;
    this.#unread =
      waiting === 0
        ? chunk
        : Buffer.concat([this.#unread.subarray(this.#unreadStart, this.#unreadEnd), chunk]);
    this.#unreadStart = 0;
    this.#unreadEnd = this.#unread.length;
    if (this.#unreadEnd >= MAX_UNREAD_BYTES) this.#socket.pause();
    this.#onMove();
  }

  #ended(): void {
    if (this.#state === 'open') {
      this.#state = 'hung-up';
      this.#onMove();
    } else if (this.#state === 'connecting') {
      // Never stood: toxcore's own 10 s of patience keep it from trying again too fast.
      this.#state = 'over';
    }
  }
}
