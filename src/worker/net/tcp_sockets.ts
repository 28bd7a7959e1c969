import type { AddressInfo, Server, Socket } from 'node:net';
import type { DescriptorShare } from '../../core/descriptors.js';
import { errnoOf } from '../../core/errors.js';
import type { Greeting } from './proxy_greeting.js';

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

/** What goes before the first byte of a connection through a proxy. */
export interface Opening {
  readonly greeting: Greeting;
  /** Called once: the proxy leads to the target now, or why it never will, in words that follow "the proxy". */
  done(why: string | undefined): void;
}

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

  /** While it is not over, toxcore sees a connection that does not stand yet. */
  #opening: Opening | undefined;

  /**
   * @param onMove called when there may be more to do: bytes came, it stands, it has room, it ended
   * @param opening of a `socket` that leads to a proxy, and connects now
   */
  constructor(socket: Socket, onMove: () => void, opening?: Opening) {
    this.#socket = socket;
    this.#onMove = onMove;
    this.#opening = opening;
    this.#state = socket.connecting ? 'connecting' : 'open';
    socket.setNoDelay(true);
    socket.on('connect', () => {
      if (this.#opening === undefined) this.#opened();
      else socket.write(this.#opening.greeting.begin());
    });
    socket.on('data', (chunk) => this.#take(chunk));
    socket.on('drain', onMove);
    socket.on('end', () => this.#ended());
    socket.on('close', () => this.#ended());
    // 'close' follows
    socket.on('error', (error) => this.#endOpening(`cannot be reached (${errnoOf(error) ?? error.message})`));
  }

  /** The address of ours that it comes from; undefined when it is not connected. */
  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  /** The far end is not reached any more: it reads as one that has hung up. */
  hangUp(): void {
    this.#socket.destroy();
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
    // So toxcore loses its patience.
    this.#endOpening('gave no answer in time');
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

  #opened(): void {
    this.#state = 'open';
    this.#onMove();
  }

  #greet({ greeting }: Opening, chunk: Buffer): void {
    const step = greeting.take(chunk);
    switch (step.kind) {
      case 'more':
        if (step.say.length > 0) this.#socket.write(step.say);
        break;
      case 'done':
        this.#endOpening(undefined);
        this.#opened();
        if (step.rest.length > 0) this.#take(Buffer.from(step.rest));
        break;
      case 'failed':
        this.#endOpening(step.why);
        this.#socket.destroy();
        break;
    }
  }

  #endOpening(why: string | undefined): void {
    const opening = this.#opening;
    this.#opening = undefined;
    opening?.done(why);
  }

  #take(chunk: Buffer): void {
    if (this.#state === 'over') return;
    if (this.#opening !== undefined) {
      this.#greet(this.#opening, chunk);
      return;
    }
    // What comes after a proxy has failed.
    if (this.#state === 'connecting') return;
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
    this.#endOpening('closed the connection');
    if (this.#state === 'open') {
      this.#state = 'hung-up';
      this.#onMove();
    } else if (this.#state === 'connecting') {
      // Never stood: toxcore's own 10 s of patience keep it from trying again too fast.
      this.#state = 'over';
    }
  }
}

/** Connections that wait for toxcore. Source: MAX_INCOMING_CONNECTIONS, toxcore/TCP_server.h. */
const MAX_WAITING = 256;

/** A listening TCP socket as toxcore uses it. */
export class TcpListener {
  readonly port: number;
  readonly #server: Server;
  readonly #waiting: TcpStream[] = [];

  /**
   * @param server listening, without a listener of 'connection'
   * @param descriptors what its connections may use
   */
  constructor(server: Server, onMove: () => void, descriptors: DescriptorShare) {
    // A TCP server's address is never a pipe's name.
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    server.on('connection', (socket) => {
      if (this.#waiting.length >= MAX_WAITING || !descriptors.accept(socket)) {
        socket.destroy();
        return;
      }
      this.#waiting.push(new TcpStream(socket, onMove));
      onMove();
    });
    // A failed accept: the next may go well.
    server.on('error', (error) => descriptors.note(error));
  }

  accept(): TcpStream | undefined {
    return this.#waiting.shift();
  }

  close(): void {
    this.#server.close();
    for (const stream of this.#waiting.splice(0)) stream.close();
  }
}
