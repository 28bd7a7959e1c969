/** Servers and clients on 127.0.0.1, on free ports. */
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Endpoint, type HostPort, isPath } from '../../src/rules/endpoint.js';

export const LOOPBACK_HOST = '127.0.0.1';

/** Listens on a free port and returns it. @param backlog of the socket; Node's default is 511 */
export async function listenOnLoopback(server: Server, backlog?: number): Promise<number> {
  server.listen({ port: 0, host: LOOPBACK_HOST, ...(backlog !== undefined && { backlog }) });
  await once(server, 'listening');
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('a TCP server has a port');
  return address.port;
}

/**
 * A port that is free now. It lies below those that systems give out for port 0, so that no other test gets it before
 * it is used, or while nothing must listen there.
 */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer();
    const port = randomInt(20_000, 32_000);
    const isFree = await new Promise<boolean>((resolve) => {
      server.once('error', () => resolve(false)).listen(port, LOOPBACK_HOST, () => resolve(true));
    });
    if (!isFree) continue;
    await new Promise((resolve) => server.close(resolve));
    return port;
  }
}

/**
 * Dials a connection that stays half-open when the other end has ended, as in most programs. An error of it
 * only closes it: read `errored` or await {@link ending} to see it.
 */
export function dialLoopback(port: number): Socket {
  const socket = connect({ host: LOOPBACK_HOST, port, allowHalfOpen: true, noDelay: true });
  return socket.on('error', () => {});
}

/** The port of a forward that listens on a port. */
export function hostPortOf(local: Endpoint): HostPort {
  if (isPath(local)) throw new Error(`${local.path} has no port`);
  return local;
}

/** Resolves with how a connection ended: the code of its error, or `closed`. */
export async function ending(socket: Socket): Promise<string> {
  if (!socket.closed) await new Promise((resolve) => socket.once('close', resolve));
  const { errored } = socket;
  if (errored === null) return 'closed';
  return 'code' in errored ? String(errored.code) : errored.message;
}

/** Whether this machine has ::1. */
export const hasIpv6Loopback = Object.values(networkInterfaces()).some((addresses) =>
  addresses?.some(({ address }) => address === '::1'),
);
