import type { TunnelError } from '../core/errors.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { TunnelStream } from '../forward/stream/tunnel_stream.js';
import type { Reason } from '../mux/wire/reasons.js';

/** A peer came online or went offline, the way to it changed, or the round trip over it was measured. */
export interface PeerChange {
  readonly status: 'online' | 'offline';
  /** How the peer is reached: directly by UDP, through a TCP relay, or not at all. */
  readonly path: 'udp' | 'relay' | 'none';
  readonly code: 301 | 302;
  /** Online: told by an event of its own soon after the peer came online or the way changed. Milliseconds. */
  readonly roundTripMs?: number;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly publicKey: string;
}

/** A connection that came to nothing at the far end; its client has seen a reset. */
export interface Refusal {
  /** `host:port` or path that was asked for; `-R` and a place, when the listener does not listen there. */
  readonly target: string;
  /** A short name for programs. */
  readonly reason: Reason;
  /** A sentence for people. */
  readonly text: string;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
}

/** A port of the listener was opened for a connector, or closed. */
export interface ReverseChange {
  readonly status: 'open' | 'closed';
  /** `host:port` where the listener's machine listens. */
  readonly listen: string;
  /** Connector: `host:port` or path that is dialled for its connections. */
  readonly target?: string;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
}

/** Who asked for a stream, and for which of the offers. */
export interface StreamOrigin {
  /** As it was offered. */
  readonly host: string;
  readonly port: number;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer: string;
  /** Name of the ticket that it came in by, or of the allowed peer. */
  readonly name: string;
}

/** A return code, as it happens. */
export interface CodeEvent {
  readonly code: ReturnCode;
  /** The peer's public key, 64 hexadecimal digits. */
  readonly peer?: string;
  readonly detail?: string;
}

/** The events of a listener and a connector. */
export interface TunnelEvents {
  /** Joined the network, once. @param info the Tox ID, 76 hexadecimal digits */
  ready: [info: { readonly toxId: string }];
  /** How this node itself is joined to the network: by UDP, through TCP relays alone, or not at all. */
  network: [info: { readonly path: PeerChange['path'] }];
  /** Something takes long; says what, and what may help. It is still being tried. */
  waiting: [info: { readonly message: string }];
  code: [info: CodeEvent];
  peer: [change: PeerChange];
  refused: [refusal: Refusal];
  reverse: [change: ReverseChange];
  /**
   * Listener: a connection to one of `ListenOptions.offer`. It is the handler's, as one of a
   * `net.Server` is: an `error` event that nobody listens to is an uncaught exception. Without a handler
   * it is refused.
   */
  stream: [stream: TunnelStream, from: StreamOrigin];
  /** Listener: tickets or peers have changed; {@link Listener.access} has what is to be kept. */
  access: [];
  /** It is over; nothing follows. */
  error: [error: TunnelError];
}
