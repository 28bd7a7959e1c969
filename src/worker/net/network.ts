/** Address families as toxcore numbers them. Source: TOX_AF_INET, TOX_AF_INET6, toxcore/net.h. */
export const FAMILY_IPV4 = 2;
export const FAMILY_IPV6 = 10;
export type Family = typeof FAMILY_IPV4 | typeof FAMILY_IPV6;

/** Socket types as toxcore numbers them. Source: TOX_SOCK_STREAM, TOX_SOCK_DGRAM, toxcore/net.h. */
export const SOCKET_STREAM = 1;
export const SOCKET_DATAGRAM = 2;
export type SocketType = typeof SOCKET_STREAM | typeof SOCKET_DATAGRAM;

/**
 * An address that the wasm side reads and writes in place. `bytes` holds 4 or 16 bytes by
 * family. One object is used again and again: copy what is to be kept.
 */
export interface MutableAddress {
  family: Family;
  readonly bytes: Uint8Array;
  port: number;
}

/** A socket's number, as toxcore sees it; -1 is none. */
export type SocketId = number;

/**
 * What toxcore asks of its host's network: its Network vtable (Network_Funcs, toxcore/net.h),
 * every call non-blocking and synchronous. Numbers below 0 mean "not now" or "failed", as with
 * POSIX sockets. Views of wasm memory (`bytes`, `into`) are good until the call returns.
 */
export interface Network {
  socket(family: Family, type: SocketType): SocketId;
  /** 0, or -1 when the port is not to be had. */
  bind(socket: SocketId, address: MutableAddress): number;
  listen(socket: SocketId, backlog: number): number;
  /** A new connection's socket, or -1 when none waits. */
  accept(socket: SocketId): SocketId;
  /** Starts to connect; 0 at once, {@link send} gives -1 until it stands. */
  connect(socket: SocketId, address: MutableAddress): number;
  /** Bytes that {@link recv} could give now. */
  recvBuffered(socket: SocketId): number;
  /** Bytes taken, 0 at the end of the stream, -1 when there is nothing now. */
  recv(socket: SocketId, into: Uint8Array): number;
  /** One datagram, cut to `into`; -1 when there is none now. */
  recvFrom(socket: SocketId, into: Uint8Array, from: MutableAddress): number;
  /** Bytes taken (all or none), -1 when it would block or failed. */
  send(socket: SocketId, bytes: Uint8Array): number;
  /** Length of the datagram sent, -1 when it failed. */
  sendTo(socket: SocketId, bytes: Uint8Array, to: MutableAddress): number;
  close(socket: SocketId): number;
}
