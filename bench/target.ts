/**
 * The server at the end of every way, and the requests of the benchmarks. A connection starts with a request
 * of 16 bytes: u64 kind, u64 bytes, both big-endian.
 */
import { createHash } from 'node:crypto';
import { createServer, type Socket } from 'node:net';
import { dialLoopback, listenOnLoopback } from '../test/support/loopback.js';
import { pattern } from '../test/support/pattern.js';
import { onRequest, roomOrEnd } from './request.js';

const REQUEST_BYTES = 16;
const KIND = { down: 1n, up: 2n, echo: 3n } as const;
type Kind = keyof typeof KIND;

/** The chunk of one write: small enough that a slow way cannot take everything into one buffer. */
const WRITE_BYTES = 256 * 1024;

export type Direction = 'down' | 'up';

/** Returns the bytes to transfer in this direction; both ends know them. */
export function bulkBytes(direction: Direction, bytes: number): Buffer {
  return pattern(`bench, ${direction}`, bytes);
}

/**
 * Serves on the loopback until the process ends; returns the port. @param maxBytes the most that one request
 * may ask for
 */
export async function serveBench(maxBytes: number): Promise<number> {
  const bytes = bulkBytes('down', maxBytes);
  const server = createServer({ allowHalfOpen: true, noDelay: true });
  onRequest(server, REQUEST_BYTES, (socket, request) => serve(socket, request, bytes));
  return await listenOnLoopback(server);
}

function serve(socket: Socket, request: Buffer, down: Buffer): void {
  const kind = request.readBigUInt64BE(0);
  const bytes = Number(request.readBigUInt64BE(8));
  if (kind === KIND.echo) socket.pipe(socket);
  else if (kind === KIND.down) void writeAll(socket, down.subarray(0, bytes)).then(() => socket.end());
  else {
    const sink = new Sink(socket);
    void sink.take(bytes).then(() => {
      socket.write('!'); // the sender's clock stops here
      socket.end(sink.sha256());
    });
  }
}

/** Keeps what arrives, so that hashing does not count in the measured time. */
class Sink {
  readonly #socket: Socket;
  readonly #chunks: Buffer[] = [];

  constructor(socket: Socket) {
    this.#socket = socket;
  }

  async take(bytes: number): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      let left = bytes;
      this.#socket.on('data', (chunk: Buffer) => {
        this.#chunks.push(chunk);
        left -= chunk.length;
        if (left <= 0) resolve();
      });
      this.#socket.once('close', () => reject(new Error(`closed with ${left} bytes missing`)));
      this.#socket.resume();
    });
  }

  sha256(): string {
    const hash = createHash('sha256');
    for (const chunk of this.#chunks) hash.update(chunk);
    return hash.digest('hex');
  }
}

/** Transfers bytes over one connection and checks them; returns the milliseconds from the dial on. */
export async function transfer(port: number, direction: Direction, bytes: Buffer): Promise<number> {
  const begun = performance.now();
  const socket = request(port, direction, bytes.length);
  try {
    if (direction === 'down') {
      const sink = new Sink(socket);
      await sink.take(bytes.length);
      const ms = performance.now() - begun;
      check(sink.sha256(), bytes);
      return ms;
    }
    const answer = new Promise<string>((resolve, reject) => {
      let text = '';
      socket.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
      socket.once('end', () => resolve(text.slice(1)));
      socket.once('close', () => reject(new Error('closed without a response')));
    });
    const arrived = new Promise((resolve) => socket.once('data', resolve));
    // The first failure is reported; the other must not become an unhandled rejection.
    answer.catch(() => {});
    await writeAll(socket, bytes);
    await Promise.race([arrived, answer]);
    const ms = performance.now() - begun;
    check(await answer, bytes);
    return ms;
  } finally {
    socket.destroy();
  }
}

/**
 * Downloads without an end, and tells how much: returns a function that returns the bytes so far, and one that stops.
 * Nothing is checked.
 */
export function openFlow(port: number, maxBytes: number): { bytes(): number; stop(): void } {
  let total = 0;
  let socket = dial();
  function dial(): Socket {
    const next = request(port, 'down', maxBytes);
    next.on('data', (chunk: Buffer) => {
      total += chunk.length;
    });
    next.on('end', () => {
      next.end();
      socket = dial();
    });
    next.on('error', () => {});
    return next;
  }
  return { bytes: () => total, stop: () => socket.removeAllListeners('end').destroy() };
}

/** Dials a connection that echoes its bytes. */
export function openEcho(port: number): Socket {
  return request(port, 'echo', 0);
}

function request(port: number, kind: Kind, bytes: number): Socket {
  const socket = dialLoopback(port);
  const head = Buffer.alloc(REQUEST_BYTES);
  head.writeBigUInt64BE(KIND[kind], 0);
  head.writeBigUInt64BE(BigInt(bytes), 8);
  socket.write(head);
  return socket;
}

async function writeAll(socket: Socket, bytes: Buffer): Promise<void> {
  for (let at = 0; at < bytes.length && !socket.destroyed; at += WRITE_BYTES) {
    if (!socket.write(bytes.subarray(at, at + WRITE_BYTES))) await roomOrEnd(socket);
  }
}

function check(sha256: string, bytes: Buffer): void {
  const right = createHash('sha256').update(bytes).digest('hex');
  if (sha256 !== right) throw new Error(`wrong bytes arrived: sha256 ${sha256} instead of ${right}`);
}
