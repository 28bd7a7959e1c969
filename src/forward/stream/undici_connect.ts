import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Endpoint } from '../../rules/endpoint.js';

/** The connection that undici requests. */
export interface UndiciTarget {
  readonly hostname: string;
  /** `http:` or `https:`. */
  readonly protocol: string;
  /** Empty for the default port of the protocol. */
  readonly port: string;
  readonly servername?: string | null | undefined;
}

/** The `connect` option of an undici `Agent`, `Pool` or `Client`. */
export type UndiciConnect = (
  target: UndiciTarget,
  // Shaped like undici's own type.
  callback: (...result: [error: null, socket: TLSSocket] | [error: Error, socket: null]) => void,
) => void;

/** TLS options for https targets: `ca`, `rejectUnauthorized`, `cert` and so on. */
export type UndiciTlsOptions = Omit<ConnectionOptions, 'socket' | 'host' | 'port' | 'path'>;

/** Makes a `connect` function for undici: the far end dials, and TLS runs between this program and the target. */
export function undiciConnect(dial: (target: Endpoint) => Duplex, tls: UndiciTlsOptions = {}): UndiciConnect {
  return ({ hostname, protocol, port, servername }, callback) => {
    const isTls = protocol === 'https:';
    const host = hostname.replace(/^\[|\]$/g, '');
    let socket: Duplex;
    try {
      socket = dial({ host, port: Number(port === '' ? (isTls ? 443 : 80) : port) });
    } catch (error) {
      callback(error as Error, null); // a dial throws nothing else
      return;
    }
    if (isTls)
      socket = connectTls({ ALPNProtocols: ['http/1.1'], servername: servername || host, ...tls, socket });
    const settle = (error: Error | null): void => {
      socket.off('error', settle).off(connected, opened);
      // undici accepts any Duplex that behaves like a socket. Its types ask for Node.js's own classes.
      if (error === null) callback(null, socket as TLSSocket);
      else callback(error, null);
    };
    const connected = isTls ? 'secureConnect' : 'connect';
    const opened = (): void => settle(null);
    socket.on('error', settle).on(connected, opened);
  };
}
