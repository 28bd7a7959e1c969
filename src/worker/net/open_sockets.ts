import { createSocket, type Socket, type SocketType } from 'node:dgram';
import { once } from 'node:events';
import { createServer, isIPv6, type Server } from 'node:net';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { exhaustionOf, exhaustionRemedy } from '../../core/exhaustion.js';
import type { PortRange } from '../../core/ip.js';
import { askForBuffers } from '../../core/socket_buffers.js';

/**
 * Tox's usual UDP ports: 33445 and the hundred after it, so that several programs on one machine find one
 * each. Source: TOX_PORTRANGE_FROM, TOX_PORTRANGE_TO, toxcore/network.h.
 */
export const DEFAULT_UDP_PORTS: PortRange = { from: 33_445, to: 33_545 };

/** Buffer size to request in both directions. */
const SOCKET_BUFFER_BYTES = 4 * 1024 * 1024;

/** All nodes on the link, where IPv6 LAN discovery sends. Source: RFC 4291, section 2.7.1. */
const ALL_NODES = 'ff02::1';

/** Error codes of a system without IPv6. */
const NO_IPV6 = new Set(['EAFNOSUPPORT', 'EADDRNOTAVAIL', 'EINVAL', 'EPROTONOSUPPORT']);

/** Error codes of a port that is taken. Windows also returns EACCES for ports that it reserves. */
const PORT_TAKEN = new Set(['EADDRINUSE', 'EACCES']);

/**
 * Opens a bound UDP socket: on all addresses, IPv6 and IPv4 in one, or on `bindAddress`.
 *
 * @param ports default: {@link DEFAULT_UDP_PORTS}, then one that the system chooses
 * @throws {TunnelError} ERR_LISTEN, which names the ports
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
 * Opens a listening TCP socket.
 *
 * @param port 0 lets the system choose
 * @throws {TunnelError} ERR_LISTEN, which names the port
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
 * Opens a TCP socket that listens on the port, or on any port if that is taken.
 *
 * @throws {TunnelError} ERR_LISTEN when no port is available
 */
export async function openTcpLike(port: number, bindAddress: string | undefined): ReturnType<typeof openTcp> {
  try {
    return await openTcp(port, bindAddress);
  } catch (error) {
    if (!TunnelError.is(error)) throw error;
    return await openTcp(0, bindAddress);
  }
}

/** Returns undefined when the port is taken. */
async function bindUdp(type: SocketType, address: string, port: number): Promise<Socket | undefined> {
  const socket = createSocket({
    type,
    ipv6Only: false,
    // toxcore passes only numeric addresses. Node's lookup of each would cost more than the sending.
    lookup: (host, family, answer) => answer(null, host, typeof family === 'number' ? family : 0),
  });
  try {
    // Listen for the event first: with this lookup, bind() completes within the call.
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

/** Sets large buffers and the options that LAN discovery needs, each as far as the system allows. */
function tune(socket: Socket, type: SocketType): void {
  askForBuffers(socket, SOCKET_BUFFER_BYTES);
  attempt(() => socket.setBroadcast(true));
  if (type === 'udp6') attempt(() => socket.addMembership(ALL_NODES));
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // the socket works without it
  }
}

function allTaken(protocol: string, from: number, to: number, cause?: unknown): TunnelError {
  const ports = from === to ? `port ${from}` : `every port from ${from} to ${to}`;
  return new TunnelError(
    'ERR_LISTEN',
    `${protocol} ${ports} is taken or not allowed; choose another one, or 0 to let the system choose`,
    { cause },
  );
}

function cannotBind(protocol: string, address: string, port: number, cause: unknown): TunnelError {
  const exhausted = exhaustionOf(cause);
  if (exhausted !== undefined)
    return new TunnelError(
      'ERR_LISTEN',
      `cannot open ${protocol} port ${port}: there is ${exhausted}; ${exhaustionRemedy(cause)}`,
      { cause },
    );
  const why = cause instanceof Error ? cause.message : String(cause);
  return new TunnelError(
    'ERR_LISTEN',
    `cannot bind ${protocol} port ${port} at ${address} (${why}); use an address of this machine`,
    { cause },
  );
}
