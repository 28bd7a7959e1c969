import type { Reason } from '../wire/reasons.js';
import type { Target } from '../wire/target.js';

/**
 * What a stream tells. Called inside `Session.flush`, `writable`, `tick`, `thaw`, `open`, `close` or a method of a stream,
 * never inside `Session.receive`. They may call anything of the session and its streams, and must not
 * throw: what a batch had for others would be lost to them.
 */
export interface StreamHandlers {
  /** The far end has dialled the target: bytes flow. Only for streams that we opened. */
  onOpened?(): void;
  /**
   * The far end did not open the target, or we could not ask it for want of a place. Nothing follows. `text` may be
   * empty, and is printable.
   */
  onRefused?(reason: Reason, text: string): void;
  /** The next bytes in order. They are the handler's to keep; call `consumed` when it is done with them. */
  onData?(chunk: Uint8Array): void;
  /** A datagram, whole, in no certain order; the handler's to keep. Only for a stream to a UDP target. */
  onDatagram?(datagram: Uint8Array): void;
  /** The far end has sent all; our direction stays open. */
  onEnd?(): void;
  /**
   * The stream was cut short. Nothing follows. Not called for our own {@link MuxStream.reset}.
   * `remote` is false when this side ended it: the session was closed, or a limit reached.
   */
  onReset?(reason: Reason, remote: boolean): void;
  /** After {@link MuxStream.write} gave false: go on writing. */
  onDrain?(): void;
}

/** One TCP connection carried through the tunnel. */
export interface MuxStream {
  /** The UUID as text, for logs. */
  readonly id: string;
  /** Bytes written and not yet in a frame. */
  readonly backlogBytes: number;
  /** True when nothing more will come or go. */
  readonly isClosed: boolean;
  /**
   * Sends bytes. They belong to the stream from now on: do not change them.
   *
   * @returns false: stop until `onDrain`. On a closed stream the bytes are dropped.
   * @throws {TunnelError} ERR_CLOSED after {@link end}; ERR_LIMIT when false is ignored for long
   */
  write(bytes: Uint8Array): boolean;
  /**
   * Sends a datagram, once {@link StreamHandlers.onOpened} was told; before, it waits. It may get lost, and when too
   * many wait the oldest are dropped. It belongs to the stream from now on: do not change it. Dropped on a closed stream.
   *
   * @throws {RangeError} of a stream to another than a UDP target, and above 65,535 bytes
   */
  sendDatagram(datagram: Uint8Array): void;
  /** No more bytes from us: half-close. What was written before is still sent. */
  end(): void;
  /** Cuts both directions short, at once; what was not yet sent is dropped. */
  reset(reason: Reason): void;
  /**
   * The consumer is done with that many bytes of what `onData` gave: the far end may send more.
   *
   * @throws {RangeError} for more bytes than `onData` gave
   */
  consumed(bytes: number): void;
}

/** A session with the peer, as its users see it. */
export interface StreamOpener {
  /**
   * Asks the far end for a stream to `target`. Bytes may be written after `onOpened`.
   *
   * @throws {TunnelError} ERR_LIMIT when there are too many streams; ERR_PEER_GONE when the session is over
   */
  open(target: Target, handlers: StreamHandlers): MuxStream;
}

/** The far end asks us to dial. Answer it once, now or later. */
export interface OpenRequest {
  readonly target: Target;
  /** UUID of the stream, 16 bytes. */
  readonly idBytes: Uint8Array;
  /** The session that the request came in, for streams back to the peer. */
  readonly opener: StreamOpener;
  /** True when the far end no longer wants it, or the session is closed. */
  readonly isCancelled: boolean;
  /** Called once when the far end no longer wants it: stop dialling. Set it before returning to the session. */
  onCancelled: (() => void) | undefined;
  /**
   * The target is there.
   *
   * @throws {TunnelError} ERR_STREAM_RESET when {@link isCancelled}; ERR_CLOSED when already answered
   */
  accept(handlers: StreamHandlers): MuxStream;
  /** @param text said to the far end, at most 255 bytes of it. Does nothing when already answered or cancelled. */
  refuse(reason: Reason, text?: string): void;
}
