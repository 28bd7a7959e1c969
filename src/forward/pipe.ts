import type { Socket } from 'node:net';
import type { MuxStream, StreamHandlers } from '../mux/stream/stream_api.js';
import type { Reason } from '../mux/wire/reasons.js';
import { HELD_BYTES, resetSocket } from './tcp_socket.js';

/** The part of a stream that a pipe needs. */
export type PipeStream = Pick<MuxStream, 'write' | 'isCrowded' | 'end' | 'reset' | 'consumed'>;

/**
 * Bytes handed to the kernel in one call, but at least one chunk. This is enough to make the cost of the call
 * negligible, and small enough that a slow reader's credit comes in steps.
 */
const WRITE_BYTES = 256 * 1024;

const NOTHING = new Uint8Array(0);

export interface PipeOptions {
  /** Called once, when the socket is closed and the stream has ended. */
  readonly onOver?: (outcome: PipeOutcome) => void;
  /** The socket is a UNIX socket or a named pipe. Default: false. */
  readonly isPath?: boolean;
}

/** How a {@link Pipe} ended: `ended` when both directions did, `reset` when it was cut short. */
export type PipeOutcome = 'ended' | 'reset';

/**
 * Joins one connection to one stream. Carries bytes, half-closes and resets both ways. The pipe holds the
 * bytes that the socket has not taken yet: a few chunks, because the stream keeps the rest until the kernel has
 * taken them. A socket is paused while its stream is full.
 *
 * Create the socket with `allowHalfOpen`. The pipe owns it from the start. Call {@link attach} with a stream,
 * which may still be waiting for its answer, then {@link flow}.
 */
export class Pipe implements StreamHandlers {
  readonly #socket: Socket;
  readonly #onOver: ((outcome: PipeOutcome) => void) | undefined;
  readonly #isPath: boolean;
  #stream: PipeStream | undefined;
  #flowing = false;
  /** The stream takes no more until it drains. */
  #stopped = false;
  /** The stream ended before the socket emitted `close`, so it must not be reset. */
  #streamOver = false;
  /** Bytes from the stream, in order, that the socket does not have yet. */
  #chunks: Uint8Array[] = [];
  #flushScheduled = false;
  #writing = false;
  #streamEnded = false;
  /** The socket's end was passed on to the stream. */
  #endTold = false;

  constructor(socket: Socket, options: PipeOptions = {}) {
    this.#socket = socket;
    this.#onOver = options.onOver;
    this.#isPath = options.isPath ?? false;
    // Until `flow`, the socket fills its own small buffer. We notice a reset but not an end, as intended: a
    // client may end early and still want its answer.
    socket.on('error', this.#onSocketError);
    socket.on('close', this.#onSocketClose);
  }

  /**
   * Returns the handlers to open the stream with. The pipe flows once the peer opens the stream, and resets
   * the connection if the peer refuses.
   *
   * @param onRefused called after the reset
   */
  opening(onRefused: (reason: Reason, text: string) => void): StreamHandlers {
    return {
      onOpened: () => this.flow(),
      onRefused: (reason, text) => {
        this.abort();
        onRefused(reason, text);
      },
      onData: (chunk) => this.onData(chunk),
      onEnd: () => this.onEnd(),
      onReset: (reason, remote) => this.onReset(reason, remote),
      onDrain: () => this.onDrain(),
    };
  }

  get isOver(): boolean {
    return this.#streamOver || this.#socket.destroyed;
  }

  /** Sets the stream. The pipe resets it when the socket fails. */
  attach(stream: PipeStream): void {
    this.#stream = stream;
    if (this.#socket.destroyed) this.#resetStream();
  }

  /** Starts carrying the socket's bytes. Call it when the stream is open. */
  flow(): void {
    if (this.isOver || this.#flowing) return;
    this.#flowing = true;
    this.#socket.on('end', this.#onSocketEnd);
    this.#socket.on('data', this.#onSocketData);
    this.#pull();
    // A socket that ends without a byte emits `end` even if nobody reads it. Then we have missed the event.
    if (this.#socket.readableEnded) this.#onSocketEnd();
  }

  /**
   * Cuts the connection: the other end sees a reset, never a clean end. Ending the stream is the caller's
   * job.
   */
  abort(): void {
    this.#streamOver = true;
    this.#chunks = [];
    resetSocket(this.#socket);
  }

  onData(chunk: Uint8Array): void {
    if (this.isOver) return;
    this.#chunks.push(chunk);
    if (this.#writing || this.#flushScheduled) return;
    // Send everything that arrives in this turn of the event loop to the kernel in one call.
    this.#flushScheduled = true;
    process.nextTick(this.#flush);
  }

  onEnd(): void {
    this.#streamEnded = true;
    if (!this.#flushScheduled && !this.#writing) this.#flush();
  }

  onReset(reason: Reason = 'reset', remote = true): void {
    const hasAll = this.#streamEnded && this.#chunks.length === 0 && !this.#writing;
    if (remote && reason === 'peer-shutdown' && hasAll) this.#leave();
    else this.abort();
  }

  onDrain(): void {
    this.#stopped = false;
    if (this.#flowing && !this.isOver) this.#pull();
  }

  /** The far end sent its end and then closed. A reset could drop bytes that the kernel still has to send. */
  #leave(): void {
    this.#streamOver = true;
    this.#socket.destroySoon();
  }

  /**
   * Takes what the socket holds, then lets it read on. `resume` would let it read at once: each socket of a crowd would
   * then hold a further block.
   */
  #pull(): void {
    const socket = this.#socket;
    while (this.#stream?.isCrowded && socket.readableLength > 0) {
      const bytes = this.#pieceBytes(socket.readableLength);
      // Emits 'data'. A number beyond the socket's high-water mark would raise the mark.
      socket.read(bytes === socket.readableLength ? undefined : bytes);
      if (this.#stopped || this.isOver) return;
    }
    socket.resume();
  }

  /**
   * How many of these bytes the stream gets at once. Of the others, the socket keeps none, or enough to stop reading.
   */
  #pieceBytes(heldBytes: number): number {
    return this.#stream?.isCrowded && heldBytes >= 2 * HELD_BYTES ? HELD_BYTES : heldBytes;
  }

  readonly #onSocketData = (chunk: Buffer): void => {
    for (let at = 0; at < chunk.length && !this.isOver; ) {
      const piece = chunk.subarray(at, at + this.#pieceBytes(chunk.length - at));
      const mayGoOn = this.#stream?.write(withoutBlock(piece));
      at += piece.length;
      if (mayGoOn !== false) continue;
      this.#stopped = true;
      this.#socket.pause();
      // A paused socket that gets its bytes back does not read another block.
      if (at < chunk.length) this.#socket.unshift(chunk.subarray(at));
      return;
    }
  };

  /**
   * libuv reports an end instead of an error for a reset that arrives while bytes are unread (POLLHUP after a
   * partial read). A connection that was cut short must never look complete, so we ask the kernel first: an
   * empty write fails if the connection was reset. We cannot ask once our own side has ended. UNIX sockets
   * and named pipes have no resets, and there an empty write also fails after a clean end.
   */
  readonly #onSocketEnd = (): void => {
    if (this.#socket.writableEnded || this.#isPath) this.#endStream();
    // A pending write is tried, and fails, before this turn of the event loop is over.
    else if (this.#writing || this.#flushScheduled) setImmediate(this.#endStream);
    else this.#socket.write(NOTHING, this.#endStream);
  };

  readonly #endStream = (error?: Error | null): void => {
    if (error || this.isOver) return;
    this.#endTold = true;
    this.#stream?.end();
  };

  readonly #onSocketError = (): void => {
    // `close` follows. Its handler sees from the socket's state that the end was not clean.
  };

  readonly #onSocketClose = (): void => {
    const socket = this.#socket;
    const ended = !this.#streamOver && this.#endTold && socket.writableFinished;
    if (!ended) this.#resetStream();
    this.#streamOver = true;
    this.#chunks = [];
    socket.off('error', this.#onSocketError);
    socket.off('close', this.#onSocketClose);
    socket.off('end', this.#onSocketEnd);
    socket.off('data', this.#onSocketData);
    this.#onOver?.(ended ? 'ended' : 'reset');
  };

  #resetStream(): void {
    if (this.#streamOver || this.#stream === undefined) return;
    this.#streamOver = true;
    this.#stream.reset(this.#flowing ? 'reset' : 'cancelled');
  }

  readonly #flush = (): void => {
    this.#flushScheduled = false;
    if (this.isOver) return;
    const batch = this.#takeBatch();
    const last = batch.pop();
    if (last === undefined) {
      if (this.#streamEnded) this.#socket.end();
      return;
    }
    this.#writing = true;
    let bytes = last.length;
    this.#socket.cork();
    for (const chunk of batch) {
      bytes += chunk.length;
      this.#socket.write(chunk);
    }
    this.#socket.write(last, () => this.#onWritten(bytes));
    this.#socket.uncork();
  };

  #onWritten(bytes: number): void {
    if (this.isOver) {
      this.#writing = false;
      return;
    }
    // Gives more bytes, which wait for the flush below.
    this.#stream?.consumed(bytes);
    this.#writing = false;
    if (this.#chunks.length > 0 || this.#streamEnded) this.#flush();
  }

  #takeBatch(): Uint8Array[] {
    let count = 0;
    let bytes = 0;
    for (const chunk of this.#chunks) {
      if (count > 0 && bytes + chunk.length > WRITE_BYTES) break;
      bytes += chunk.length;
      count++;
    }
    return this.#chunks.splice(0, count);
  }
}

/**
 * Copies the end of a block: nothing else needs the block any more, and the socket may read another one now.
 */
function withoutBlock(piece: Buffer): Uint8Array {
  const blockBytes = piece.buffer.byteLength;
  const isEnd = piece.byteOffset + piece.length === blockBytes;
  return isEnd && piece.length < blockBytes ? new Uint8Array(piece) : piece;
}
