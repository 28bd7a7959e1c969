import type { AddressInfo, Server, Socket } from 'node:net';
import type { DescriptorShare } from '../../core/descriptors.js';
import { errnoOf } from '../../core/errors.js';
import type { Greeting } from './proxy_greeting.js';

/** Bytes that may wait for toxcore before the socket is paused: 30 of its largest packets. */
const MAX_UNREAD_BYTES = 64 * 1024;

/**
 * Bytes from toxcore that the system has not taken yet. Together with the system's send buffer they keep a
 * relay busy between two turns; more would only add delay.
 */
const MAX_UNSENT_BYTES = 128 * 1024;

/** Small writes of one turn are joined up to this size. */
const WRITE_BYTES = 16 * 1024;

/**
 * toxcore never asks whether a stream has ended. It notices only when a ping is not answered, after 10 to 20
 * s. So a stream that the far end has closed reads as endless 0xff. That is not a valid length (65535; the
 * largest is MAX_PACKET_SIZE 2048, toxcore/TCP_common.h) nor a valid handshake, so toxcore drops the
 * connection at once and tries the next.
 */
const HANG_UP_BYTE = 0xff;
const HANG_UP_BYTES = 0xffff;

/** toxcore's log line about a hang-up, which is not worth a warning. Source: toxcore/TCP_common.c. */
export const HANG_UP_WORDS = 'TCP packet too large: 65535 >';

const EMPTY = Buffer.alloc(0);

/** What precedes the first byte of a connection through a proxy. */
export interface Opening {
  readonly greeting: Greeting;
  /**
   * Called once: with undefined when the proxy has connected to the target, or with the reason why it never
   * will. The reason continues the words "the proxy".
   */
  done(why: string | undefined): void;
}

/** A TCP connection as toxcore uses it. No call blocks, and no queue is unbounded. */
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

  /** While this is set, toxcore sees a connection that is not open yet. */
  #opening: Opening | undefined;

  /**
   * @param onMove called when there may be more to do: the connection opened, received bytes, has room, or
   *   ended
   * @param opening for a `socket` that is connecting to a proxy
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

  /** Our address on this connection; undefined when it is not connected. */
  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  /** Ends a connection whose far end is out of reach. It then reads as closed by the far end. */
  hangUp(): void {
    this.#socket.destroy();
  }

  /** Bytes that {@link recv} would return now. */
  get unreadBytes(): number {
    return this.#state === 'hung-up' ? HANG_UP_BYTES : this.#unreadEnd - this.#unreadStart;
  }

  /** Returns the bytes received, or -1 when there is nothing now. */
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
      // Also after the first half of a packet, because toxcore waits for the rest.
      into.fill(HANG_UP_BYTE, length);
      return into.length;
    }
    if (waiting - length < MAX_UNREAD_BYTES / 2 && this.#socket.isPaused()) this.#socket.resume();
    return length === 0 ? -1 : length;
  }

  /** Copies all of `bytes`. Returns -1 instead when not connected, or when too much waits. */
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
    // toxcore closes a connection when it has waited too long.
    this.#endOpening('gave no answer in time');
    if (this.#state === 'open') this.#flush();
    this.#state = 'over';
    this.#unread = EMPTY;
    this.#unreadStart = this.#unreadEnd = 0;
    this.#socket.destroy();
  }

  #flush(): void {
    if (this.#unsentBytes === 0 || this.#state !== 'open') return;
    // Copied to size, because most writes are small and the buffer is reused.
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
    // Bytes that arrive after a proxy has failed.
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
      // It never opened. toxcore waits 10 s before it tries again, which is slow enough.
      this.#state = 'over';
    }
  }
}

/** Connections that may wait for toxcore. Source: MAX_INCOMING_CONNECTIONS, toxcore/TCP_server.h. */
const MAX_WAITING = 256;

/** A listening TCP socket as toxcore uses it. */
export class TcpListener {
  readonly port: number;
  readonly #server: Server;
  readonly #waiting: TcpStream[] = [];
  /** When false, connections are closed as they arrive. */
  isOpen = true;

  /**
   * @param server a listening server, without a listener for 'connection'
   * @param descriptors budget for its connections
   */
  constructor(server: Server, onMove: () => void, descriptors: DescriptorShare) {
    // The address of a TCP server is never the name of a pipe.
    this.port = (server.address() as AddressInfo).port;
    this.#server = server;
    server.on('connection', (socket) => {
      if (!this.isOpen || this.#waiting.length >= MAX_WAITING || !descriptors.accept(socket)) {
        socket.destroy();
        return;
      }
      this.#waiting.push(new TcpStream(socket, onMove));
      onMove();
    });
    // An accept failed; the next one may succeed.
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
