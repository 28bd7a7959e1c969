import { createSocket, type Socket } from 'node:dgram';
import { type IpAddress, parseAddress } from '../core/ip.js';
import { MAX_UDP_QUEUE_BYTES } from '../core/limits.js';
import type { HostPort } from '../rules/endpoint.js';

/** Sends datagrams to an address, and takes those that come from there. Binds a port of its own. */
export type ConnectUdp = (address: IpAddress, port: number) => Promise<Socket>;

export const connectUdp: ConnectUdp = (address, port) =>
  new Promise((resolve, reject) => {
    const socket = createSocket(address.family === 6 ? 'udp6' : 'udp4');
    const fail = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', fail);
    socket.once('connect', () => {
      socket.off('error', fail);
      keepOpen(socket);
      resolve(socket);
    });
    socket.connect(port, address.text);
  });

/** @returns the socket, bound; rejects with the system's error */
export function bindUdp(bind: HostPort): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(parseAddress(bind.host)?.family === 6 ? 'udp6' : 'udp4');
    const fail = (error: Error): void => {
      socket.close();
      reject(error);
    };
    socket.once('error', fail);
    socket.bind({ address: bind.host, port: bind.port, exclusive: true }, () => {
      socket.off('error', fail);
      keepOpen(socket);
      resolve(socket);
    });
  });
}

/** Whether the socket takes another datagram; one that would have to wait behind too many is better lost. */
export function hasRoom(socket: Socket): boolean {
  return socket.getSendQueueSize() < MAX_UDP_QUEUE_BYTES;
}

/** Nobody listens, no way there, too long: that is one lost datagram, and the next may fare better. */
function keepOpen(socket: Socket): void {
  socket.on('error', () => {});
}
