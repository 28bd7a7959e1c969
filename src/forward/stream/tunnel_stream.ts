import { Duplex } from 'node:stream';
import { inspect } from 'node:util';
import type { TimerHandle, Timers } from '../../core/clock.js';
import type { MuxStream, StreamHandlers } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { DialError } from './dial_error.js';

export interface TunnelStreamOptions {
  readonly timers: Timers;
  /** How the other side is called in errors. */
  readonly target: string;
  /** False for a stream whose target has yet to be dialled. */
  readonly isOpen: boolean;
  /** Whether our direction stays open when the far end has ended. Default false, as of `net.connect`. */
  readonly allowHalfOpen?: boolean;
}

type WriteDone = (error?: Error | null) => void;

/** After our end, how long the other one may leave its own open. Source: Linux's tcp_fin_timeout. */
const LINGER_MS = 60_000;

/**
 * A connection through the tunnel as a stream of this process, with the face of a `net.Socket`. Events
 * beside a Duplex's own: `timeout`, and of one that was dialled `connect` and `ready` when the target is there.
 */
export abstract class TunnelStream extends Duplex {
  /** Of a host that was dialled, as it was asked for; undefined for a path, as of `net.Socket`. */
  readonly remoteAddress: string | undefined = undefined;
  readonly remotePort: number | undefined = undefined;
  /** Of a stream that we serve: the name and the port that were offered. */
  readonly localAddress: string | undefined = undefined;
  readonly localPort: number | undefined = undefined;
  /** Bytes that came from the far end, and that were given to it. */
  bytesRead = 0;
  bytesWritten = 0;
  /** True until the target is there. */
  connecting: boolean;
  /** Milliseconds of {@link setTimeout}; undefined while there is none. */
  timeout: number | undefined;
  readonly #target: string;
  readonly #timers: Timers;
  #stream: MuxStream | undefined;
  /** Bytes that the stream was told are taken. */
  #takenBytes = 0;
  /** What waits until the target is there. */
  #onConnected: (() => void) | undefined;
  #onDrained: WriteDone | undefined;
  #ended = false;
  #timer: TimerHandle | undefined;

  protected constructor({ timers, target, isOpen, allowHalfOpen = false }: TunnelStreamOptions) {
    super({ allowHalfOpen });
    this.#timers = timers;
    this.#target = target;
    this.connecting = !isOpen;
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

  /** What `console.log` shows, instead of all that a Duplex has. */
  [inspect.custom](_depth: number, options: object): string {
    return `TunnelStream ${inspect(this.toJSON(), options)}`;
  }

  /** What may be logged. */
  toJSON() {
    const { readyState, bytesRead, bytesWritten } = this;
    return { target: this.#target, readyState, bytesRead, bytesWritten };
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

  /** It connects by itself. For clients that are given a `net.Socket` and then call this, as `pg` does. */
  connect(..._where: readonly unknown[]): this {
    return this;
  }

  /** Has no meaning here, as the next four; they are for code that expects a `net.Socket`. */
  setNoDelay(_noDelay?: boolean): this {
    return this;
  }

  setKeepAlive(_enable?: boolean, _initialDelayMs?: number): this {
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
    this.abandoned();
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

  /** What carries it, from now on. */
  protected attach(stream: MuxStream): void {
    this.#stream = stream;
  }

  /** It was destroyed: nobody waits for it any more. */
  protected abandoned(): void {}

  /** For whoever opens or accepts what carries it. */
  protected streamHandlers(): StreamHandlers {
    return {
      onOpened: () => {
        this.connecting = false;
        this.#active();
        isolated(() => this.emit('connect'));
        isolated(() => this.emit('ready'));
        const onConnected = this.#onConnected;
        this.#onConnected = undefined;
        if (onConnected !== undefined) isolated(onConnected);
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
        // Whoever reads is called at once.
        isolated(() => this.push(chunk));
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
        if (done !== undefined) isolated(done);
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
    this.destroy(new DialError(syscall, this.#target, reason, text));
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

/** What a listener throws is an uncaught exception, as of a socket; to the session it would be a loss for other streams. */
function isolated(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
