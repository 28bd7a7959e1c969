import type { Reason } from '../wire/reasons.js';
import type { Target } from '../wire/target.js';

/**
 * Callbacks of a stream. They are called inside `flush`, `writable`, `tick`, `thaw`, `open` and `close` of
 * the session and inside methods of a stream, never inside `Session.receive`. They may call any method of the
 * session and its streams. They must not throw, because other streams would then miss their part of a batch.
 */
export interface StreamHandlers {
  /** The far end has connected to the target, and bytes flow. Only for streams that we opened. */
  onOpened?(): void;
  /**
   * The far end did not open the target, or the limits left no room for the request. No other callback
   * follows. `text` is printable and may be empty.
   */
  onRefused?(reason: Reason, text: string): void;
  /**
   * The next bytes in order. The handler owns them. Call {@link MuxStream.consumed} when it is done with
   * them.
   */
  onData?(chunk: Uint8Array): void;
  /** One whole datagram, in any order. The handler owns it. Only for streams to a UDP target. */
  onDatagram?(datagram: Uint8Array): void;
  /** The far end has sent everything. Our direction stays open. */
  onEnd?(): void;
  /**
   * The stream was cut short. No other callback follows. Not called for our own {@link MuxStream.reset}.
   * `remote` is false when this end cut the stream: the session was closed, or a limit was reached.
   */
  onReset?(reason: Reason, remote: boolean): void;
  /** The writer may continue after {@link MuxStream.write} returned false. */
  onDrain?(): void;
}

/** One TCP connection, or the datagrams of one UDP client, carried through the tunnel. */
export interface MuxStream {
  /** The UUID as text, for logs. */
  readonly id: string;
  /** Bytes that were written and are not in a frame yet. */
  readonly backlogBytes: number;
  /**
   * True when the peer's streams together hold as much unsent data as allowed. Then write in small pieces until {@link
   * write} returns false.
   */
  readonly isCrowded: boolean;
  /** True when nothing more will arrive or be sent. */
  readonly isClosed: boolean;
  /**
   * Sends bytes. The stream owns them from now on; do not change them. A closed stream drops them.
   *
   * @returns false to stop the writer until `onDrain`
   * @throws {TunnelError} ERR_CLOSED after {@link end}; ERR_LIMIT when false is ignored for long
   */
  write(bytes: Uint8Array): boolean;
  /**
   * Sends a datagram, which waits until the stream is open. It may be lost. When too many wait, the oldest
   * are dropped. The stream owns the datagram from now on; do not change it. A closed stream drops it.
   *
   * @throws {RangeError} on a stream to any target but a UDP one, and above 65,535 bytes
   */
  sendDatagram(datagram: Uint8Array): void;
  /** Ends our direction (half-close). Bytes written before are still sent. */
  end(): void;
  /** Cuts both directions at once, and drops what was not sent. */
  reset(reason: Reason): void;
  /**
   * The consumer is done with that many bytes from `onData`, so the far end may send more.
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
   * @throws {TunnelError} ERR_LIMIT when there are too many streams; ERR_PEER_GONE when the session has ended
   */
  open(target: Target, handlers: StreamHandlers): MuxStream;
}

/** A stream that the far end asks for. Answer it once, now or later. */
export interface OpenRequest {
  readonly target: Target;
  /** The UUID of the stream, 16 bytes. */
  readonly idBytes: Uint8Array;
  /** The session that the request came in, for streams back to the peer. */
  readonly opener: StreamOpener;
  /** True when the far end has cancelled the request, or the session is closed. */
  readonly isCancelled: boolean;
  /** Called once when the far end cancels the request. Set it before returning to the session. */
  onCancelled: (() => void) | undefined;
  /**
   * Where the stream really leads, for the audit: the address dialled, or the port opened. Set it before
   * {@link accept}.
   */
  reached?: string | undefined;
  /**
   * Opens the stream. Call it when the target is connected.
   *
   * @throws {TunnelError} ERR_STREAM_RESET if {@link isCancelled}; ERR_CLOSED if already answered
   */
  accept(handlers: StreamHandlers): MuxStream;
  /**
   * Refuses the stream. Does nothing if the request was answered or cancelled.
   *
   * @param text for people at the far end, cut after 255 bytes
   */
  refuse(reason: Reason, text?: string): void;
}
