import type { Duplex } from 'node:stream';
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from 'node:tls';
import type { Endpoint } from '../../rules/endpoint.js';

/** What undici says of a connection that it wants. */
export interface UndiciTarget {
  readonly hostname: string;
  /** `http:` or `https:`. */
  readonly protocol: string;
  /** Empty: the protocol's own. */
  readonly port: string;
  readonly servername?: string | null | undefined;
}

/** The `connect` of an undici `Agent`, `Pool` or `Client`. */
export type UndiciConnect = (
  target: UndiciTarget,
  // As undici's own type has it.
  callback: (...result: [error: null, socket: TLSSocket] | [error: Error, socket: null]) => void,
) => void;

/** What the TLS to https targets is spoken with: `ca`, `rejectUnauthorized`, `cert` … */
export type UndiciTlsOptions = Omit<ConnectionOptions, 'socket' | 'host' | 'port' | 'path'>;

/** Has the far end dial for undici, and speaks TLS to https targets from here. */
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
      // undici takes any Duplex with the face of a socket; its types ask for Node's own classes.
      if (error === null) callback(null, socket as TLSSocket);
      else callback(error, null);
    };
    const connected = isTls ? 'secureConnect' : 'connect';
    const opened = (): void => settle(null);
    socket.on('error', settle).on(connected, opened);
  };
}
