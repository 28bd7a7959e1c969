import { MAX_PACKET_BYTES } from './packets.js';

/** Longest frame when the peer offers no more, in bytes. */
export const DEFAULT_FRAME_BYTES = 1024;
/**
 * Longest frame that we offer, in bytes: what a lossy packet holds after its id byte, less 28
 * bytes for the channel's own header (docs/protocol.md, section 5).
 */
export const MAX_FRAME_BYTES = MAX_PACKET_BYTES - 1 - 28;

/** Peers one node may have at once; each has a row of the {@link ../ring} tables. */
export const MAX_PEERS = 64;

/**
 * Bytes of frames that the main thread may have handed to a peer's channel and the channel has
 * not yet put on the wire. Small, so that a keystroke never waits behind much; at 100 MB/s it
 * is 2.5 ms of work for the worker.
 */
export const CHANNEL_BACKLOG_BYTES = 256 * 1024;
/** Part of it that urgent frames alone may use: four streams' bursts, or 25 ms at 5 Mbit/s. */
export const URGENT_RESERVE_BYTES = 16 * 1024;

/** Receive window that a new stream starts with, in bytes. */
export const INITIAL_WINDOW_BYTES = 256 * 1024;
/** What a stream's receive window may grow to, in bytes. */
export const MAX_STREAM_WINDOW_BYTES = 16 * 1024 * 1024;
/** What the receive windows of one peer's streams may add up to, in bytes, initial windows aside. */
export const MAX_PEER_WINDOW_BYTES = 64 * 1024 * 1024;
/** Streams that one peer may have open at once. */
export const MAX_STREAMS_PER_PEER = 4096;
/** Streams that may wait here to be opened when that many are open. */
export const MAX_WAITING_OPENS = 1024;

/** Longest datagram that is carried, in bytes: the most that UDP has. */
export const MAX_DATAGRAM_BYTES = 65_535;
/** Memory of one stream's datagrams that wait to be sent, and of those that came, in bytes each; of more the oldest go. */
export const MAX_STREAM_DATAGRAM_BYTES = 256 * 1024;
/** The same of all streams of one peer, both directions together. */
export const MAX_PEER_DATAGRAM_BYTES = 8 * 1024 * 1024;

/**
 * How long streams outlive a peer that went offline or silent, in milliseconds, unless told
 * otherwise: time for a router to restart, or for a laptop to find another network.
 */
export const DEFAULT_PATIENCE_MS = 300_000;

/** Size of each of the two rings, in bytes; a power of two. */
export const RING_BYTES = 4 * 1024 * 1024;

/**
 * Dials of targets that may be under way for one peer at once. Stops a peer that asks for targets
 * that never answer from using up the listener's sockets and its name resolver.
 */
export const MAX_DIALS_PER_PEER = 256;
/** Ports that one peer may have us listen at, at once. */
export const MAX_REVERSE_PORTS_PER_PEER = 16;
/** How long a target may take to be resolved and connected to, in milliseconds. */
export const DIAL_TIMEOUT_MS = 10_000;

/** How long a UDP client and its target may be silent before what joins them is given up, in milliseconds. */
export const UDP_IDLE_MS = 60_000;
/** UDP clients of one forward at once; one more takes the place of the one that was silent longest. */
export const MAX_UDP_CLIENTS = 1024;
/** Bytes that may wait in a UDP socket to be sent; what comes meanwhile is dropped. */
export const MAX_UDP_QUEUE_BYTES = 256 * 1024;

/** Connections that one forward keeps waiting at once, for a session or for their turn; each has a socket. */
export const MAX_WAITING_CONNECTIONS = 1024;
/** How long a connection waits for a session before it is reset, in milliseconds. */
export const SESSION_WAIT_MS = 30_000;
