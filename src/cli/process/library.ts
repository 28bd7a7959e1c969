/**
 * The part of the library that the command line uses. Tests replace it, so that they need no network.
 */
import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import type {
  Abortable,
  Bind,
  BootstrapNode,
  BootstrapNodeEvents,
  BootstrapNodeOptions,
  ConnectOptions,
  Connector,
  DialOptions,
  DynamicOptions,
  Forward,
  Listener,
  ListenOptions,
  LocalSpec,
  NetworkNode,
  NodeEvents,
  Reverse,
  ReverseSpec,
  Tunnel,
  TunnelEvents,
  UdpSpec,
} from '../../index.js';

export interface Library {
  listen(options: ListenOptions): Promise<ListenerHandle>;
  connect(options: ConnectOptions): Promise<ConnectorHandle>;
  createBootstrapNode(options: BootstrapNodeOptions): Promise<BootstrapNodeHandle>;
}

/** The Tox node of a listener or a connector. */
export type NodeHandle = EventEmitter<NodeEvents> &
  Pick<NetworkNode, 'path' | 'health' | 'places' | 'seenAddresses' | 'datagrams'>;

/** A listener or a connector. */
export type TunnelHandle = EventEmitter<TunnelEvents> &
  Pick<Tunnel, 'toxId' | 'identity' | 'close' | 'peers' | 'stats'> & { readonly node: NodeHandle };

/** A forward, or a reverse forward. */
export type ForwardHandle = Pick<Forward, 'local' | 'target'> & { close(): unknown };
export type ReverseHandle = Pick<Reverse, 'remote' | 'target'> & { close(): unknown };

export type ListenerHandle = TunnelHandle &
  Pick<
    Listener,
    'ticket' | 'ticketOf' | 'access' | 'rules' | 'reverseRules' | 'removePeer' | 'denyPeer' | 'allowPeer'
  >;

export type ConnectorHandle = TunnelHandle &
  Pick<Connector, 'ping'> & {
    forward(spec: LocalSpec, options?: Abortable): Promise<ForwardHandle>;
    udpForward(spec: UdpSpec, options?: Abortable): Promise<ForwardHandle>;
    dynamic(options: DynamicOptions): Promise<ForwardHandle>;
    reverse(spec: ReverseSpec, options?: Abortable): ReverseHandle;
    dial(options: DialOptions): Duplex;
  };

export type BootstrapNodeHandle = EventEmitter<BootstrapNodeEvents> &
  Pick<BootstrapNode, 'identity' | 'publicKey' | 'udpPort' | 'tcpPort' | 'close'>;

/** Options of a proxy whose bind address is already parsed. */
export interface ProxyOptions extends DynamicOptions {
  readonly bind: Bind;
}
