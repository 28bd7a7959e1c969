import { addAbortSignal, Duplex } from 'node:stream';
import type { TimerHandle, Timers } from '../core/clock.js';
import type { Reason } from '../mux/reasons.js';
import type { MuxStream, StreamHandlers } from '../mux/stream_api.js';
import type { TcpTarget } from '../mux/target.js';
import { DialError } from './dial_error.js';
import type { StreamGate, StreamWish } from './stream_gate.js';

export interface TunnelStreamOptions {
  readonly gate: StreamGate;
  readonly timers: Timers;
  readonly target: TcpTarget;
  /** Whether our direction stays open when the far end has ended. Default false, as of `net.connect`. */
  readonly allowHalfOpen?: boolean;
  /** Milliseconds to wait for a session with the peer; Infinity: as long as it takes. Default: the gate's. */
  readonly sessionWaitMs?: number;
  /** Destroys the stream with an AbortError. */
  readonly signal?: AbortSignal;
}

type WriteDone = (error?: Error | null) => void;

/** After our end, how long the other one may leave its own open. Source: Linux's tcp_fin_timeout. */
const LINGER_MS = 60_000;

/**
 * A connection of the far end as a stream of this process, with the face of a `net.Socket`. Events
 * beside a Duplex's own: `connect` and `ready` when the target is there, and `timeout`.
 */
export class TunnelStream extends Duplex {
  readonly remoteAddress: string;
  readonly remotePort: number;
  /** Bytes that came from the far end, and that were given to it. */
  bytesRead = 0;
  bytesWritten = 0;
  /** True until the target is there. */
  connecting = true;
  /** Milliseconds of {@link setTimeout}; undefined while there is none. */
  timeout: number | undefined;
  readonly #gate: StreamGate;
  readonly #timers: Timers;
  readonly #wish: StreamWish;
  #stream: MuxStream | undefined;
  /** Bytes that the stream was told are taken. */
  #takenBytes = 0;
  /** What waits until the target is there. */
  #onConnected: (() => void) | undefined;
  #onDrained: WriteDone | undefined;
  #ended = false;
  #timer: TimerHandle | undefined;

  constructor(options: TunnelStreamOptions) {
    super({ allowHalfOpen: options.allowHalfOpen ?? false });
    const { gate, target, sessionWaitMs, signal } = options;
    this.#gate = gate;
    this.#timers = options.timers;
    this.remoteAddress = target.host;
    this.remotePort = target.port;
    this.#wish = {
      target,
      handlers: this.#handlers(),
      onAsked: (stream) => {
        this.#stream = stream;
      },
      ...(sessionWaitMs === undefined ? {} : { sessionWaitMs }),
    };
    if (signal !== undefined) addAbortSignal(signal, this);
    // Whoever dials listens to the events only after this.
    process.nextTick(() => {
      if (!this.destroyed) this.#gate.open(this.#wish);
    });
  }

  /** The same as {@link connecting}, as of `net.Socket`. */
  get pending(): boolean {
    return this.connecting;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting && !this.destroyed) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Emits `timeout` after so many milliseconds without a byte; 0 for never. It does no more. */
  setTimeout(ms: number, callback?: () => void): this {
    this.timeout = ms === 0 ? undefined : ms;
    if (callback !== undefined) {
      if (ms === 0) this.off('timeout', callback);
      else this.once('timeout', callback);
    }
    this.#active();
    return this;
  }

  /** Destroys it once all that was written is on its way. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** The target sees a reset. */
  resetAndDestroy(): this {
    this.#stream?.reset('reset');
    return this.destroy();
  }

  /** Has no meaning here, as the next four; they are for code that expects a `net.Socket`. */
  setNoDelay(): this {
    return this;
  }

  setKeepAlive(): this {
    return this;
  }

  ref(): this {
    return this;
  }

  unref(): this {
    return this;
  }

  address(): Record<string, never> {
    return {};
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: WriteDone): void {
    // The caller may use its buffer again as soon as we call back.
    this.#send(Buffer.from(chunk), done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: WriteDone): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: WriteDone): void {
    this.#whenConnected(() => {
      this.#ended = true;
      this.#stream?.end();
      done();
    });
  }

  /** The consumer has room: what it has taken goes back as credit. */
  override _read(): void {
    const takenBytes = this.bytesRead - this.readableLength;
    const bytes = takenBytes - this.#takenBytes;
    if (bytes <= 0) return;
    this.#takenBytes = takenBytes;
    this.#stream?.consumed(bytes);
  }

  override _destroy(error: Error | null, done: WriteDone): void {
    this.#onConnected = undefined;
    this.#onDrained = undefined;
    this.#stopTimer();
    this.#gate.forget(this.#wish);
    const stream = this.#stream;
    if (stream !== undefined && !stream.isClosed) {
      const isLossless = error === null && this.writableLength === 0 && this.readableLength === 0;
      if (this.connecting) stream.reset('cancelled');
      else if (isLossless) this.#leave(stream);
      else stream.reset('reset');
    }
    this.connecting = false;
    done(error);
  }

  /** As a kernel closes a socket: our end is told, and bytes that still come are answered with a reset. */
  #leave(stream: MuxStream): void {
    if (!this.#ended) stream.end();
    this.#ended = true;
    if (this.readableEnded) return;
    this.#timer = this.#timers.set(() => stream.reset('cancelled'), LINGER_MS);
  }

  #handlers(): StreamHandlers {
    return {
      onOpened: () => {
        this.connecting = false;
        this.#active();
        this.emit('connect');
        this.emit('ready');
        this.#onConnected?.();
        this.#onConnected = undefined;
      },
      onRefused: (reason, text) => this.#fail('connect', reason, text),
      onData: (chunk) => {
        if (this.destroyed) {
          this.#stopTimer();
          this.#stream?.reset('reset');
          return;
        }
        this.bytesRead += chunk.length;
        this.#active();
        this.push(chunk);
      },
      onEnd: () => {
        if (this.destroyed) this.#stopTimer();
        else this.push(null);
      },
      onReset: (reason) => {
        this.#stopTimer();
        this.#fail(this.connecting ? 'connect' : 'read', reason, '');
      },
      onDrain: () => {
        const done = this.#onDrained;
        this.#onDrained = undefined;
        done?.();
      },
    };
  }

  #send(bytes: Buffer, done: WriteDone): void {
    this.#whenConnected(() => {
      this.bytesWritten += bytes.length;
      this.#active();
      if (this.#stream?.write(bytes) === false) this.#onDrained = done;
      else done();
    });
  }

  #whenConnected(action: () => void): void {
    if (this.connecting) this.#onConnected = action;
    else action();
  }

  #fail(syscall: 'connect' | 'read', reason: Reason, text: string): void {
    const { remoteAddress: host, remotePort: port } = this;
    this.destroy(new DialError(syscall, `${host} port ${port}`, reason, text));
  }

  #active(): void {
    if (this.destroyed) return;
    this.#stopTimer();
    if (this.timeout === undefined) return;
    this.#timer = this.#timers.set(() => {
      this.#timer = undefined;
      this.emit('timeout');
    }, this.timeout);
  }

  #stopTimer(): void {
    if (this.#timer !== undefined) this.#timers.clear(this.#timer);
    this.#timer = undefined;
  }
}
