import type { Socket } from 'node:net';
import type { StreamHandlers } from '../mux/stream/stream_api.js';
import type { Reason } from '../mux/wire/reasons.js';
import { resetSocket } from './reset_socket.js';
import type { PipeStream } from './stream_opener.js';

/**
 * Bytes handed to the kernel in one call, at least one chunk: enough that the call costs
 * nothing beside the bytes, small enough that a slow reader's credit comes in steps.
 */
const WRITE_BYTES = 256 * 1024;

const NOTHING = new Uint8Array(0);

export interface PipeOptions {
  /** Called once, when the socket is closed and the stream is over. */
  readonly onOver?: (outcome: PipeOutcome) => void;
  /** The socket is a UNIX socket or a named pipe. Default false. */
  readonly isPath?: boolean;
}

/** How a {@link Pipe} came to its end: both directions ended, or it was cut short. */
export type PipeOutcome = 'ended' | 'reset';

/**
 * Joins one connection and one stream: bytes, half-closes and resets, both ways. It keeps
 * what the socket has not yet taken, which is at most the stream's receive window, as credit goes
 * back only for bytes that the kernel has. A socket whose stream is full is paused.
 *
 * The socket must be made with `allowHalfOpen`; it is the pipe's from the start. Life: made, then
 * {@link attach}ed to a stream that may still be waiting for its answer, then {@link flow}.
 */
export class Pipe implements StreamHandlers {
  readonly #socket: Socket;
  readonly #onOver: ((outcome: PipeOutcome) => void) | undefined;
  readonly #isPath: boolean;
  #stream: PipeStream | undefined;
  #flowing = false;
  /** Set when the stream is over before the socket's `close`, so that nothing is told twice. */
  #streamOver = false;
  /** Bytes from the stream, in order, that are not yet with the socket. */
  #chunks: Uint8Array[] = [];
  #flushScheduled = false;
  #writing = false;
  #streamEnded = false;
  /** The stream was told that the socket has ended. */
  #endTold = false;

  constructor(socket: Socket, options: PipeOptions = {}) {
    this.#socket = socket;
    this.#onOver = options.onOver;
    this.#isPath = options.isPath ?? false;
    // Until `flow`, the socket reads into its own small buffer: so we hear of a reset, but not
    // of an end, as a client may end early and still want its answer.
    socket.on('error', this.#onSocketError);
    socket.on('close', this.#onSocketClose);
  }

  /**
   * What its stream is opened with: it flows when that is opened, and is reset when it is refused.
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
      onReset: () => this.onReset(),
      onDrain: () => this.onDrain(),
    };
  }

  get isOver(): boolean {
    return this.#streamOver || this.#socket.destroyed;
  }

  /** From now on the stream is reset when the socket fails. */
  attach(stream: PipeStream): void {
    this.#stream = stream;
    if (this.#socket.destroyed) this.#resetStream();
  }

  /** The stream stands: the socket's bytes go into it. */
  flow(): void {
    if (this.isOver || this.#flowing) return;
    this.#flowing = true;
    this.#socket.on('end', this.#onSocketEnd);
    this.#socket.on('data', this.#onSocketData);
    this.#socket.resume();
    // An end without a byte before it is told even by a socket that nobody reads: it has been missed.
    if (this.#socket.readableEnded) this.#onSocketEnd();
  }

  /** Cuts the connection: its other end sees a reset, never a clean end. The stream must be over. */
  abort(): void {
    this.#streamOver = true;
    this.#chunks = [];
    resetSocket(this.#socket);
  }

  onData(chunk: Uint8Array): void {
    if (this.isOver) return;
    this.#chunks.push(chunk);
    if (this.#writing || this.#flushScheduled) return;
    // All that comes in this turn goes into one call of the kernel.
    this.#flushScheduled = true;
    process.nextTick(this.#flush);
  }

  onEnd(): void {
    this.#streamEnded = true;
    if (!this.#flushScheduled && !this.#writing) this.#flush();
  }

  onReset(): void {
    this.abort();
  }

  onDrain(): void {
    if (this.#flowing && !this.isOver) this.#socket.resume();
  }

  readonly #onSocketData = (chunk: Buffer): void => {
    if (this.#stream?.write(chunk) === false) this.#socket.pause();
  };

  /**
   * libuv reports an end, not an error, for a reset that comes while bytes are still to be read
   * (POLLHUP after a partial read). So that what was cut short never looks complete, the kernel
   * is asked first: writing nothing fails on a connection that was reset. Not possible once our
   * own side has ended. UNIX sockets and named pipes have no resets; there, that write fails when the
   * other end has closed in good order.
   */
  readonly #onSocketEnd = (): void => {
    if (this.#socket.writableEnded || this.#isPath) this.#endStream();
    // A write that waits is tried, and fails, before this turn of the loop is over.
    else if (this.#writing || this.#flushScheduled) setImmediate(this.#endStream);
    else this.#socket.write(NOTHING, this.#endStream);
  };

  readonly #endStream = (error?: Error | null): void => {
    if (error || this.isOver) return;
    this.#endTold = true;
    this.#stream?.end();
  };

  readonly #onSocketError = (): void => {
    // `close` follows, and tells from the socket's state that it did not end well.
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
    this.#writing = false;
    if (this.isOver) return;
    this.#stream?.consumed(bytes);
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
