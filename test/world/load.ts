import type { Duplex } from 'node:stream';
import type { LocalTcp, SimSocket } from './local_tcp.js';

/** The port of the echo target, exposed by the listener's rules, and one that no rule names. */
export const ECHO_PORT = 80;
export const CLOSED_PORT = 81;
const ID_BYTES = 4;

/** The byte at `offset` of exchange `id`: no two exchanges look alike, and no offset repeats soon. */
function byteAt(id: number, offset: number): number {
  return (offset * 31 + (offset >>> 8) * 7 + (offset >>> 16) * 13 + id * 101) & 0xff;
}

function piece(id: number, from: number, bytes: number): Buffer {
  const into = Buffer.alloc(bytes);
  for (let i = 0; i < bytes; i++) {
    const offset = from + i;
    into[i] = offset < ID_BYTES ? (id >>> (8 * offset)) & 0xff : byteAt(id, offset);
  }
  return into;
}

export interface ExchangeShape {
  readonly id: number;
  readonly totalBytes: number;
  readonly pieceBytes: number;
  /** Time between pieces; 0: as fast as the socket takes them. */
  readonly everyMs: number;
}

/** A client that sends bytes to an echo target and checks every byte that comes back. */
export class Exchange {
  readonly shape: ExchangeShape;
  receivedBytes = 0;
  outcome: 'open' | 'whole' | 'cut' = 'open';
  /** What must never happen. */
  fault: string | undefined;
  overAtMs = 0;
  /** The longest time between two arrivals. */
  longestSilenceMs = 0;
  #heardAtMs: number;
  readonly #socket: SimSocket;
  readonly #later: (run: () => void, ms: number) => void;
  readonly #nowMs: () => number;
  #sentBytes = 0;
  #isEnding = false;

  constructor(
    socket: SimSocket,
    shape: ExchangeShape,
    nowMs: () => number,
    later: (run: () => void, ms: number) => void,
  ) {
    this.#socket = socket;
    this.shape = shape;
    this.#later = later;
    this.#nowMs = nowMs;
    this.#heardAtMs = nowMs();
    socket.on('data', (chunk: Buffer) => this.#check(chunk));
    socket.on('end', () => this.#ended());
    socket.on('error', () => this.#over('cut'));
    socket.on('close', () => this.#over('cut'));
    this.#send();
  }

  /** Sends no more. */
  finish(): void {
    if (this.outcome !== 'open' || this.#isEnding) return;
    this.#isEnding = true;
    this.#socket.end();
  }

  get sentBytes(): number {
    return this.#sentBytes;
  }

  #send(): void {
    const { id, totalBytes, pieceBytes, everyMs } = this.shape;
    if (this.outcome !== 'open' || this.#isEnding) return;
    const bytes = Math.min(pieceBytes, totalBytes - this.#sentBytes);
    if (bytes === 0) {
      this.finish();
      return;
    }
    const hasRoom = this.#socket.write(piece(id, this.#sentBytes, bytes));
    this.#sentBytes += bytes;
    const next = (): void => this.#later(() => this.#send(), everyMs);
    if (hasRoom) next();
    else this.#socket.once('drain', next);
  }

  #check(chunk: Buffer): void {
    const { id } = this.shape;
    const expected = piece(id, this.receivedBytes, chunk.length);
    if (!expected.equals(chunk)) this.fault ??= `exchange ${id}: a wrong byte after ${this.receivedBytes}`;
    // The first answer may have waited for the session.
    if (this.receivedBytes > 0)
      this.longestSilenceMs = Math.max(this.longestSilenceMs, this.#nowMs() - this.#heardAtMs);
    this.receivedBytes += chunk.length;
    this.#heardAtMs = this.#nowMs();
    if (this.receivedBytes > this.#sentBytes) this.fault ??= `exchange ${id}: more bytes than were sent`;
  }

  #ended(): void {
    if (!this.#isEnding || this.receivedBytes !== this.#sentBytes) {
      this.fault ??= `exchange ${this.shape.id}: a clean end after ${this.receivedBytes} of ${this.#sentBytes} bytes`;
    }
    this.#over('whole');
  }

  #over(outcome: 'whole' | 'cut'): void {
    if (this.outcome !== 'open') return;
    this.outcome = outcome;
    this.overAtMs = this.#nowMs();
  }
}

/** Target programs on the listener's machine. */
export class Targets {
  /** Exchanges whose connections are open here. */
  readonly open = new Map<Duplex, number>();
  /** Set when a connection reached the port that no rule names. */
  wasBreached = false;

  serve(tcp: LocalTcp): void {
    tcp.serve(ECHO_PORT, (socket) => {
      this.open.set(socket, -1);
      socket.once('data', (chunk: Buffer) => {
        if (chunk.length >= ID_BYTES) this.open.set(socket, chunk.readUInt32LE());
      });
      socket.on('error', () => {});
      socket.on('close', () => this.open.delete(socket));
      socket.pipe(socket);
    });
    tcp.serve(CLOSED_PORT, (socket) => {
      this.wasBreached = true;
      socket.destroy();
    });
  }
}
