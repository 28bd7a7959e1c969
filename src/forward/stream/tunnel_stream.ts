import { isIPv4, isIPv6 } from 'node:net';
import { Duplex } from 'node:stream';
import { inspect } from 'node:util';
import { Timer, type Timers } from '../../core/clock.js';
import { isolated } from '../../core/errors.js';
import type { MuxStream, StreamHandlers } from '../../mux/stream/stream_api.js';
import type { Reason } from '../../mux/wire/reasons.js';
import { DialError } from './dial_error.js';

/** Who is at the other end of a stream. */
export interface StreamPeer {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /** On a served stream, the name of the ticket or allowed peer that let the peer in; else undefined. */
  readonly name: string | undefined;
}

export interface TunnelStreamOptions {
  readonly timers: Timers;
  readonly peer: StreamPeer;
  /** The name of the other side in errors. */
  readonly target: string;
  /** False for a stream whose target has yet to be dialled. */
  readonly isOpen: boolean;
  /** Keeps our direction open after the far end has ended. Default: false, as for `net.connect`. */
  readonly allowHalfOpen?: boolean;
}

type WriteDone = (error?: Error | null) => void;

/**
 * How long the far end may leave its direction open after ours has ended. Source: Linux's tcp_fin_timeout.
 */
const LINGER_MS = 60_000;

/** The longest timeout. Source: the timers of Node.js. */
const MAX_TIMEOUT_MS = 2 ** 31 - 1;

/**
 * A connection through the tunnel. It behaves like a `net.Socket`. Besides the events of a Duplex it emits
 * `timeout`, and a dialled stream emits `connect` and `ready` when the target is connected. A stream that
 * fails is destroyed with a {@link DialError}, and each `close` says whether it has failed. Callbacks of
 * writes that could not be sent get the error.
 */
export abstract class TunnelStream extends Duplex {
  /** Who is at the other end of the tunnel. */
  readonly peer: StreamPeer;
  /**
   * On a dialled stream, the requested host once the target is connected; undefined for a path, as on a
   * `net.Socket`. On a served stream, an IPv6 address made from the peer's public key, which nobody routes:
   * the same for all streams of the peer.
   */
  readonly remoteAddress: string | undefined = undefined;
  /** The requested port, on a dialled stream that is connected; undefined for a path. */
  readonly remotePort: number | undefined = undefined;
  /** The name that was offered, on a served stream. */
  readonly localAddress: string | undefined = undefined;
  /** The port that was offered, on a served stream. */
  readonly localPort: number | undefined = undefined;
  /** Always empty: the far end looks up names, and does not report the result. */
  readonly autoSelectFamilyAttemptedAddresses: string[] = [];
  /** Bytes received from the far end. */
  bytesRead = 0;
  /** True until the target is connected. */
  connecting: boolean;
  /** What {@link setTimeout} was given last, in milliseconds; 0 when it was turned off. */
  timeout: number | undefined;
  readonly #target: string;
  #stream: MuxStream | undefined;
  /** Bytes whose credit has gone back to the far end. */
  #takenBytes = 0;
  /** What a write or an end does once the target is connected. */
  #onConnected: (() => void) | undefined;
  /** The callback of the write or end in progress. */
  #onDone: WriteDone | undefined;
  /** Bytes handed to the tunnel. */
  #handedBytes = 0;
  /** Those of the write in progress. */
  #heldBytes = 0;
  #ended = false;
  /** The far end has sent everything. */
  #farEnded = false;
  /** What the next write fails with, because the far end has gone after its end. */
  #gone: DialError | undefined;
  readonly #timer: Timer;

  protected constructor({ timers, peer, target, isOpen, allowHalfOpen = false }: TunnelStreamOptions) {
    // `_destroy` emits it, with an argument.
    super({ allowHalfOpen, emitClose: false });
    this.#timer = new Timer(timers);
    this.peer = peer;
    this.#target = target;
    this.connecting = !isOpen;
  }

  /** True until the target is connected, and again when the stream is destroyed. */
  get pending(): boolean {
    return this.connecting || this.destroyed;
  }

  /** The family of {@link remoteAddress}; undefined for a name, which the far end resolves. */
  get remoteFamily(): 'IPv4' | 'IPv6' | undefined {
    const { remoteAddress = '' } = this;
    if (isIPv4(remoteAddress)) return 'IPv4';
    return isIPv6(remoteAddress) ? 'IPv6' : undefined;
  }

  /** Bytes written for the far end, including those that wait. */
  get bytesWritten(): number {
    return this.#handedBytes - this.#heldBytes + this.writableLength;
  }

  /** The same as `writableLength`, for code that expects a `net.Socket`. */
  get bufferSize(): number | undefined {
    return this.destroyed ? undefined : this.writableLength;
  }

  get readyState(): 'opening' | 'open' | 'readOnly' | 'writeOnly' | 'closed' {
    if (this.connecting && !this.destroyed) return 'opening';
    if (this.readable) return this.writable ? 'open' : 'readOnly';
    return this.writable ? 'writeOnly' : 'closed';
  }

  /** Keeps the output of `console.log` short: it would otherwise show all fields of a Duplex. */
  [inspect.custom](_depth: number, options: object): string {
    return `TunnelStream ${inspect(this.toJSON(), options)}`;
  }

  /** Returns the fields that are useful in a log. */
  toJSON() {
    const { readyState, bytesRead, bytesWritten } = this;
    return { target: this.#target, readyState, bytesRead, bytesWritten };
  }

  /**
   * Emits `timeout` after `ms` milliseconds without a byte; 0 turns that off. The stream stays open.
   *
   * @throws {TypeError} ERR_INVALID_ARG_TYPE, {RangeError} ERR_OUT_OF_RANGE, as a `net.Socket`
   */
  setTimeout(ms: number, callback?: () => void): this {
    if (this.destroyed) return this;
    checkTimeout(ms, callback);
    this.timeout = ms;
    if (callback !== undefined) {
      if (ms === 0) this.off('timeout', callback);
      else this.once('timeout', callback);
    }
    this.#active();
    return this;
  }

  /** Ends the stream, and destroys it once everything written has gone to the tunnel. */
  destroySoon(): void {
    if (this.writable) this.end();
    if (this.writableFinished) this.destroy();
    else this.once('finish', () => this.destroy());
  }

  /** Destroys the stream so that the target sees a reset. */
  resetAndDestroy(): this {
    this.#stream?.reset('reset');
    return this.destroy();
  }

  /**
   * Does nothing: the stream connects by itself. Some clients, such as `pg`, call it on a socket that they are given.
   */
  connect(..._where: readonly unknown[]): this {
    return this;
  }

  /** Does nothing, like the next three methods. They exist for code that expects a `net.Socket`. */
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

  /** Always empty: a stream has no local address. */
  address(): Record<string, never> {
    return {};
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: WriteDone): void {
    // A copy, because the caller may reuse its buffer as soon as we call back.
    this.#send(Buffer.from(chunk), done);
  }

  override _writev(chunks: { chunk: Buffer }[], done: WriteDone): void {
    this.#send(Buffer.concat(chunks.map(({ chunk }) => chunk)), done);
  }

  override _final(done: WriteDone): void {
    this.#onDone = done;
    this.#whenConnected(() => {
      this.#ended = true;
      this.#stream?.end();
      this.#done();
    });
  }

  /** Every way to take bytes from a stream calls this. What was taken returns to the far end as credit. */
  override read(size?: number): ReturnType<Duplex['read']> {
    const taken: unknown = super.read(size);
    this.#giveCredit();
    return taken;
  }

  /** Fetches nothing: bytes arrive by themselves. Node calls it when it has room, so it may be time to return credit. */
  override _read(): void {
    this.#giveCredit();
  }

  #giveCredit(): void {
    const takenBytes = this.bytesRead - this.readableLength;
    const bytes = takenBytes - this.#takenBytes;
    if (bytes <= 0) return;
    this.#takenBytes = takenBytes;
    this.#stream?.consumed(bytes);
  }

  override _destroy(error: Error | null, done: WriteDone): void {
    this.#onConnected = undefined;
    this.#timer.clear();
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
    // After the `error` event. Node.js calls back the writes behind the one in progress only once that one is done.
    process.nextTick(() => this.#done(error ?? notSent()));
    process.nextTick(() => this.emit('close', error !== null));
  }

  /**
   * Closes the way a kernel closes a socket: sends our end, and answers bytes that still arrive with a reset.
   */
  #leave(stream: MuxStream): void {
    if (!this.#ended) stream.end();
    this.#ended = true;
    if (this.readableEnded) return;
    this.#timer.set(LINGER_MS, () => stream.reset('cancelled'));
  }

  /** Sets the mux stream that carries the bytes. */
  protected attach(stream: MuxStream): void {
    this.#stream = stream;
  }

  /** Called when the target is connected, before the events. */
  protected opened(): void {}

  /** Called when the stream is destroyed. */
  protected abandoned(): void {}

  /** Returns the handlers to open or accept the mux stream with. */
  protected streamHandlers(): StreamHandlers {
    return {
      onOpened: () => {
        this.connecting = false;
        this.opened();
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
          this.#timer.clear();
          this.#stream?.reset('reset');
          return;
        }
        this.bytesRead += chunk.length;
        this.#active();
        // `push` may call the reader at once.
        isolated(() => this.push(chunk));
        this.#giveCredit();
      },
      onEnd: () => {
        this.#farEnded = true;
        if (this.destroyed) this.#timer.clear();
        else isolated(() => this.push(null));
      },
      onReset: (reason, remote) => {
        // As for a TCP connection: nothing is lost if nothing more is written.
        const isOrderly = remote && reason === 'peer-shutdown' && this.#farEnded && this.writableLength === 0;
        if (this.destroyed) this.#timer.clear();
        else if (isOrderly) this.#gone = this.#errorOf('read', reason, '');
        else if (!remote && reason === 'peer-shutdown') this.#failClosed();
        else this.#fail(this.#syscall, reason, '');
      },
      onDrain: () => isolated(() => this.#done()),
    };
  }

  #send(bytes: Buffer, done: WriteDone): void {
    this.#onDone = done;
    this.#whenConnected(() => {
      if (this.#gone !== undefined) {
        this.destroy(this.#gone);
        return;
      }
      this.#handedBytes += bytes.length;
      this.#heldBytes = bytes.length;
      this.#active();
      if (this.#stream?.write(bytes) !== false) this.#done();
    });
  }

  /** Calls back for the write or end in progress, if there is one. */
  #done(error?: Error): void {
    const done = this.#onDone;
    this.#onDone = undefined;
    this.#heldBytes = 0;
    done?.(error);
  }

  #whenConnected(action: () => void): void {
    if (this.connecting) this.#onConnected = action;
    else action();
  }

  /** This end has closed its tunnel. The reason is worded for the other end. */
  #failClosed(): void {
    this.#fail(this.#syscall, 'cancelled', 'this end has closed the tunnel');
  }

  get #syscall(): 'connect' | 'read' {
    return this.connecting ? 'connect' : 'read';
  }

  #fail(syscall: 'connect' | 'read', reason: Reason, text: string): void {
    this.destroy(this.#errorOf(syscall, reason, text));
  }

  #errorOf(syscall: 'connect' | 'read', reason: Reason, text: string): DialError {
    return new DialError(syscall, this.#target, reason, text);
  }

  #active(): void {
    if (this.destroyed) return;
    this.#timer.clear();
    const ms = Math.min(this.timeout ?? 0, MAX_TIMEOUT_MS);
    if (ms > 0) this.#timer.set(ms, () => this.emit('timeout'));
  }
}

/** @throws the errors of `net.Socket.setTimeout`, by their codes */
function checkTimeout(ms: unknown, callback: unknown): void {
  if (typeof ms !== 'number') {
    const message = `setTimeout(): the time must be a number of milliseconds, not ${typeof ms}`;
    throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
  }
  if (!(ms >= 0 && ms < Number.POSITIVE_INFINITY)) {
    const message = `setTimeout(): the time must be 0 or more milliseconds and finite, not ${ms}`;
    throw Object.assign(new RangeError(message), { code: 'ERR_OUT_OF_RANGE' });
  }
  if (callback === undefined || typeof callback === 'function') return;
  const message = `setTimeout(): the callback must be a function, not ${typeof callback}`;
  throw Object.assign(new TypeError(message), { code: 'ERR_INVALID_ARG_TYPE' });
}

/** What the callback of a write gets when nobody gave a reason. The code is that of Node's streams. */
function notSent(): Error {
  const message = 'the stream was destroyed before everything was sent';
  return Object.assign(new Error(message), { code: 'ERR_STREAM_DESTROYED' });
}
