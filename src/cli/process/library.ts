/**
 * The part of the library that the command line uses. Tests replace it, so that they need no network.
 */
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import type {
  Bind,
  BootstrapNode,
  ConnectOptions,
  Connector,
  DialOptions,
  DynamicOptions,
  Listener,
  ListenOptions,
  NodeOptions,
  Tunnel,
  TunnelEvents,
} from '../../index.js';

export interface Library {
  listen(options: ListenOptions): Promise<ListenerHandle>;
  connect(options: ConnectOptions): Promise<ConnectorHandle>;
  node(options: NodeOptions): Promise<BootstrapNodeHandle>;
}

type Shared =
  | 'toxId'
  | 'networkPath'
  | 'health'
  | 'places'
  | 'identity'
  | 'close'
  | 'seenAddresses'
  | 'datagrams'
  | 'peers'
  | 'stats';

/** A listener or a connector. */
export type TunnelHandle = EventEmitter<TunnelEvents> & Pick<Tunnel, Shared>;

export type ListenerHandle = TunnelHandle &
  Pick<
    Listener,
    'ticket' | 'ticketOf' | 'access' | 'rules' | 'reverseRules' | 'removePeer' | 'denyPeer' | 'allowPeer'
  >;

export type ConnectorHandle = TunnelHandle &
  Pick<Connector, 'forward' | 'dynamic' | 'udpForward' | 'reverse' | 'ping'> & {
    dial(options: DialOptions): Duplex;
  };

export type BootstrapNodeHandle = EventEmitter<TunnelEvents> &
  Pick<BootstrapNode, 'identity' | 'publicKey' | 'udpPort' | 'tcpPort' | 'close'>;

/** Options of a proxy whose bind address is already parsed. */
export interface ProxyOptions extends DynamicOptions {
  readonly bind: Bind;
}
