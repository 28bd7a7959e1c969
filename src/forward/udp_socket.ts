import { createSocket, type Socket } from 'node:dgram';
import { type IpAddress, parseAddress } from '../core/ip.js';
import { MAX_UDP_QUEUE_BYTES } from '../core/limits.js';
import { askForBuffers, unsentBytes } from '../core/socket_buffers.js';
import type { HostPort } from '../rules/endpoint.js';

/** Buffers to request: many clients may send at once to one that listens. */
const LISTENER_BUFFER_BYTES = 4 * 1024 * 1024;
const TARGET_BUFFER_BYTES = 1024 * 1024;

/** Opens a socket that exchanges datagrams with one address only, from a port that the system chooses. */
export type ConnectUdp = (address: IpAddress, port: number) => Promise<Socket>;

/** Rejects with the system's error. */
export const connectUdp: ConnectUdp = (address, port) => {
  const socket = createSocket(address.family === 6 ? 'udp6' : 'udp4');
  return ready(socket, TARGET_BUFFER_BYTES, (done) => {
    socket.once('connect', done);
    socket.connect(port, address.text);
  });
};

/** Opens a socket that listens on `bind`. Rejects with the system's error. */
export function bindUdp(bind: HostPort): Promise<Socket> {
  const socket = createSocket(parseAddress(bind.host)?.family === 6 ? 'udp6' : 'udp4');
  return ready(socket, LISTENER_BUFFER_BYTES, (done) =>
    socket.bind({ address: bind.host, port: bind.port, exclusive: true }, done),
  );
}

/**
 * Tells whether the socket can take another datagram. Dropping one is better than letting it wait behind too
 * many.
 */
export function hasRoom(socket: Socket): boolean {
  return (unsentBytes(socket) ?? 0) < MAX_UDP_QUEUE_BYTES;
}

function ready(socket: Socket, bufferBytes: number, start: (done: () => void) => void): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', onError);
    start(() => {
      socket.off('error', onError);
      // Port unreachable, no route, datagram too long: each costs one datagram, and the next may arrive.
      socket.on('error', () => {});
      askForBuffers(socket, bufferBytes);
      resolve(socket);
    });
  });
}
