import { createSocket, type Socket, type SocketType } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server } from 'node:net';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import type { PortRange } from '../../core/ip.js';

/**
 * Where Tox looks for UDP by custom: 33445 and the hundred after it, so that several programs of
 * one machine each find one. Source: TOX_PORTRANGE_FROM, TOX_PORTRANGE_TO, toxcore/network.h.
 */
export const DEFAULT_UDP_PORTS: PortRange = { from: 33_445, to: 33_545 };

/** Asked of the system for both directions; what it does not grant is asked for in half, down to the least. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;
const LEAST_SOCKET_BUFFER_BYTES = 256 * 1024;

/** All nodes of the link, where IPv6 LAN discovery speaks. Source: RFC 4291, section 2.7.1. */
const ALL_NODES = 'ff02::1';

/** What the system says when IPv6 is switched off. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL', 'EPROTONOSUPPORT']);

/** What it says of a port that others hold; EACCES also for ports that Windows keeps for itself. */
const PORT_TAKEN = new Set(['EADDRINUSE', 'EACCES']);

/**
 * A bound UDP socket: on every address, IPv6 and IPv4 in one, unless `bindAddress` says where.
 *
 * @param ports by default {@link DEFAULT_UDP_PORTS}, then one that the system chooses
 * @throws {TunnelError} ERR_LISTEN naming the ports
 */
export async function openUdp(
  ports: PortRange | undefined,
  bindAddress: string | undefined,
): Promise<{ readonly socket: Socket; readonly ipv6: boolean }> {
  const { from, to } = ports ?? DEFAULT_UDP_PORTS;
  const addresses = bindAddress === undefined ? ['::', '0.0.0.0'] : [bindAddress];
  for (const address of addresses) {
    const ipv6 = isIPv6(address);
    try {
      for (let port = from; port <= to; port++) {
        const socket = await bindUdp(ipv6 ? 'udp6' : 'udp4', address, port);
        if (socket !== undefined) return { socket, ipv6 };
      }
      if (ports === undefined) {
        const socket = await bindUdp(ipv6 ? 'udp6' : 'udp4', address, 0);
        if (socket !== undefined) return { socket, ipv6 };
      }
    } catch (error) {
      const another = bindAddress === undefined && ipv6 && NO_IPV6.has(errnoOf(error) ?? '');
      if (another) continue;
      throw cannotBind('UDP', address, from, error);
    }
    throw allTaken('UDP', from, to);
  }
  throw allTaken('UDP', from, to);
}

/**
 * A listening TCP socket.
 *
 * @param port 0: the system chooses
 * @throws {TunnelError} ERR_LISTEN naming the port
 */
export async function openTcp(
  port: number,
  bindAddress: string | undefined,
): Promise<{ readonly server: Server; readonly ipv6: boolean }> {
  const addresses = bindAddress === undefined ? ['::', '0.0.0.0'] : [bindAddress];
  for (const host of addresses) {
    const server = createServer();
    try {
      server.listen({ port, host, exclusive: true });
      await once(server, 'listening');
      return { server, ipv6: isIPv6(host) };
    } catch (error) {
      const code = errnoOf(error) ?? '';
      if (PORT_TAKEN.has(code) && port !== 0) throw allTaken('TCP', port, port, error);
      if (bindAddress === undefined && isIPv6(host) && NO_IPV6.has(code)) continue;
      throw cannotBind('TCP', host, port, error);
    }
  }
  throw allTaken('TCP', port, port);
}

/**
 * A listening TCP socket at the port, or at any when that is taken.
 *
 * @throws {TunnelError} ERR_LISTEN when none is to be had
 */
export async function openTcpLike(port: number, bindAddress: string | undefined): ReturnType<typeof openTcp> {
  try {
    return await openTcp(port, bindAddress);
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    return await openTcp(0, bindAddress);
  }
}

/** Undefined when the port is taken. */
async function bindUdp(type: SocketType, address: string, port: number): Promise<Socket | undefined> {
  const socket = createSocket({
    type,
    ipv6Only: false,
    // toxcore names numeric addresses only: Node's lookup of each would cost more than the sending.
    lookup: (host, family, answer) => answer(null, host, typeof family === 'number' ? family : 0),
  });
  try {
    // Listened for first: with that lookup it binds within the call.
    const listening = once(socket, 'listening');
    socket.bind({ address, port, exclusive: true });
    await listening;
  } catch (error) {
    socket.close();
    if (PORT_TAKEN.has(errnoOf(error) ?? '')) return undefined;
    throw error;
  }
  tune(socket, type);
  return socket;
}

/** Large buffers, and what LAN discovery needs; each only as far as the system allows. */
function tune(socket: Socket, type: SocketType): void {
  askBuffer((bytes) => socket.setRecvBufferSize(bytes));
  askBuffer((bytes) => socket.setSendBufferSize(bytes));
  attempt(() => socket.setBroadcast(true));
  if (type === 'udp6') attempt(() => socket.addMembership(ALL_NODES));
}

function askBuffer(ask: (bytes: number) => void): void {
  for (let bytes = SOCKET_BUFFER_BYTES; bytes >= LEAST_SOCKET_BUFFER_BYTES; bytes /= 2) {
    if (attempt(() => ask(bytes))) return;
  }
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

function allTaken(protocol: string, from: number, to: number, cause?: unknown): TunnelError {
  const ports = from === to ? `port ${from}` : `every port from ${from} to ${to}`;
  return new TunnelError(
    'ERR_LISTEN',
    `${protocol} ${ports} is taken or not allowed to us: name another one, or 0 to let the system choose`,
    { cause },
  );
}

function cannotBind(protocol: string, address: string, port: number, cause: unknown): TunnelError {
  const exhausted = exhaustionOf(cause);
  if (exhausted !== undefined)
    return new TunnelError(
      'ERR_LISTEN',
      `${protocol} port ${port}: there is ${exhausted}; raise the limit with ulimit -n`,
      { cause },
    );
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TunnelError(
    'ERR_LISTEN',
    `${protocol} at ${address} port ${port} (${why}): is that an address of this machine?`,
    { cause },
  );
}
