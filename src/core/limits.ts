import { MAX_PACKET_BYTES } from './packets.js';

/** Longest frame when the peer offers nothing longer, in bytes. */
export const DEFAULT_FRAME_BYTES = 1024;
/**
 * Longest frame that we offer, in bytes: a lossy packet without its id byte and without the 28 bytes of the channel's
 * header (docs/reference/protocol.md, section 5).
 */
export const MAX_FRAME_BYTES = MAX_PACKET_BYTES - 1 - 28;

/** Default limit of the peers that a listener has at once. Each has a row in the tables of the ring. */
export const DEFAULT_PEERS = 1024;
/**
 * Highest limit of peers that a listener may be given. The wasm's memory holds their friends, connections and lists:
 * 512 MiB at most (wasm/build.sh), some 24 KiB for each peer. With so many rows a channel id still has 2,048
 * generations.
 */
export const MAX_PEERS = 8192;

/**
 * Backlog of a peer's channel, in bytes: frames that the main thread has handed over and the channel has not yet sent.
 * It is small, so that a keystroke never waits long; at 100 MB/s it is 2.5 ms of work for the worker.
 */
export const CHANNEL_BACKLOG_BYTES = 256 * 1024;
/** Part of the backlog that only urgent frames may use: the bursts of four streams, or 25 ms at 5 Mbit/s. */
export const URGENT_RESERVE_BYTES = 16 * 1024;

/** Highest limit of a rate, in bytes per second. */
export const MAX_BYTES_PER_SECOND = 1024 ** 4;

/** Largest size of the wasm memory, in bytes. Source: MAXIMUM_MEMORY, wasm/build.sh. */
export const MAX_WASM_BYTES = 512 * 1024 * 1024;

/** Initial receive window of a stream, in bytes. */
export const INITIAL_WINDOW_BYTES = 256 * 1024;
/** Window that every stream gets, however many there are, in bytes. */
export const LEAST_WINDOW_BYTES = 16 * 1024;
/** Largest receive window of a stream, in bytes. */
export const MAX_STREAM_WINDOW_BYTES = 16 * 1024 * 1024;
/** Largest sum of the receive windows of one peer's streams, in bytes, not counting their initial windows. */
export const MAX_PEER_WINDOW_BYTES = 64 * 1024 * 1024;
/** Streams that one peer may have open at once. */
export const MAX_STREAMS_PER_PEER = 4096;
/** Streams that may wait for a place or for their turn. Each holds a socket, so open files limit them further. */
export const MAX_WAITING_OPENS = 16_384;

/** Longest datagram that the tunnel carries, in bytes: the maximum of UDP. */
export const MAX_DATAGRAM_BYTES = 65_535;
/** Datagrams of one stream that wait in one direction, in bytes. Beyond that, the oldest are dropped. */
export const MAX_STREAM_DATAGRAM_BYTES = 256 * 1024;
/** Waiting datagrams of all streams of one peer in both directions, in bytes. */
export const MAX_PEER_DATAGRAM_BYTES = 8 * 1024 * 1024;

/**
 * Default patience in milliseconds: how long streams wait for a peer that is offline or silent. It is enough for a
 * router to restart, or for a laptop to find another network.
 */
export const DEFAULT_PATIENCE_MS = 300_000;

/** Size of each of the two rings, in bytes; a power of two. */
export const RING_BYTES = 4 * 1024 * 1024;

/**
 * Dials in progress for one peer at once. Keeps a peer that requests unresponsive targets from using up the
 * listener's sockets and its name resolver.
 */
export const MAX_DIALS_PER_PEER = 256;
/** Ports that one peer may have open on this machine at once. */
export const MAX_REVERSE_PORTS_PER_PEER = 16;
/** Time for resolving a target and connecting to it, in milliseconds. */
export const DIAL_TIMEOUT_MS = 10_000;

/** Default idle timeout of a UDP client, in milliseconds. Source: RFC 4787, REQ-5: at least two minutes for a NAT. */
export const UDP_IDLE_MS = 120_000;
/** UDP clients of one forward at once. Another one replaces the client that was idle longest. */
export const MAX_UDP_CLIENTS = 1024;
/** Bytes that may wait in a UDP socket to be sent. Beyond that, datagrams are dropped. */
export const MAX_UDP_QUEUE_BYTES = 256 * 1024;

/**
 * Connections that the system may hold for us until we accept them, up to its own limit (net.core.somaxconn). Node's
 * default of 511 is too few for a crowd that arrives while the process is busy: the system then resets some.
 */
export const ACCEPT_BACKLOG = 4096;

/** Connections of one forward that may wait for a session or for their turn; each holds a socket. */
export const MAX_WAITING_CONNECTIONS = 4096;
/** How long a connection waits for a session before it is reset, in milliseconds. */
export const SESSION_WAIT_MS = 30_000;
