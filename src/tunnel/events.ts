import type { ReturnCode } from '../core/return_codes.js';
import type { TunnelStream } from '../forward/stream/tunnel_stream.js';
import type { Reason } from '../mux/wire/reasons.js';
import type { AuditRecord } from './audit.js';
import type { PresenceEvents } from './presence.js';

/** A peer came online or went offline, its path changed, or the round trip was measured. */
export interface PeerChange {
  readonly status: 'online' | 'offline';
  /** The path to the peer: directly over UDP, through a TCP relay, or none. */
  readonly path: 'udp' | 'relay' | 'none';
  readonly code: 301 | 302;
  /** Milliseconds. Set only in an extra event, soon after the peer came online or its path changed. */
  readonly roundTripMs?: number;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly publicKey: string;
}

/** What the far end did not open: a connection, whose client has seen a reset, or a port of a reverse forward. */
export interface Refusal {
  readonly kind: 'connection' | 'reverse';
  /** The requested `host:port` or path; of a reverse forward, where the far end was to listen. */
  readonly target: string;
  /** A short name for programs. */
  readonly reason: Reason;
  /** A sentence for people. */
  readonly text: string;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
}

/** The listener opened a port for a connector, or closed it. */
export interface ReverseChange {
  readonly status: 'open' | 'closed';
  /** `host:port` on the listener's machine. */
  readonly listen: string;
  /** Connector only: the `host:port` or path that it dials for each connection. */
  readonly target?: string;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
}

/** The peer that opened a stream, and the offer that it named. */
export interface StreamOrigin {
  /** The offer's host, as offered. */
  readonly host: string;
  readonly port: number;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
  /** Name of the ticket or allowed peer that let the peer in. */
  readonly name: string;
}

/** A return code: one step in a connection's life. `RETURN_CODES` explains the numbers. */
export interface CodeEvent {
  readonly code: ReturnCode;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer?: string;
  readonly detail?: string;
}

/** The events of a listener and of a connector. */
export interface TunnelEvents extends PresenceEvents {
  /** Something is taking long. The message says what, and what may help. The tunnel keeps trying. */
  waiting: [info: { readonly message: string }];
  code: [info: CodeEvent];
  peer: [change: PeerChange];
  refused: [refusal: Refusal];
  reverse: [change: ReverseChange];
  /**
   * Listener: a connection to one of `ListenOptions.offer`. The handler owns the stream, as with
   * `net.Server`: an `error` event without a listener is an uncaught exception. Without a handler for
   * this event, the connection is refused.
   */
  stream: [stream: TunnelStream, from: StreamOrigin];
  /**
   * Listener: who was let in or refused, and each flow: opened, denied, ended. Streams that were opened before the
   * first handler was added are not recorded.
   */
  audit: [record: AuditRecord];
  /** Listener: tickets or peers have changed. Save {@link Listener.access}. */
  access: [];
}
