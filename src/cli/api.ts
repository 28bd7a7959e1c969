import type { EventEmitter } from 'node:events';
import type { Duplex } from 'node:stream';
import type { AccessState } from '../access/access_state.js';
import type { AllowedPeer } from '../access/peer_key.js';
import type { AccessPolicy } from '../access/policy.js';
import type { Ticket } from '../access/ticket.js';
import type { Logger } from '../core/logger.js';
import type { BootstrapAddress } from '../core/tox_network.js';
import type {
  DialOptions,
  DynamicOptions,
  Limits,
  PeerInfo,
  Ports,
  ProxyAddress,
  Reverse,
  SeenAddresses,
  TunnelEvents,
  TunnelStats,
} from '../index.js';
import type { ToxId } from '../network/tox_id.js';
import type { HostPort } from '../rules/endpoint.js';
import type { Rule } from '../rules/expose.js';
import type { LocalSpec, ReverseSpec, UdpSpec } from '../rules/forward_spec.js';
import type { ReverseRule } from '../rules/reverse_rule.js';
import type { ReverseBook, RuleBook } from '../rules/rule_book.js';
import type { Identity } from '../state/identity.js';

/** What the command line needs of the library. Handed in, so that its tests need no network. */
export interface TunnelApi {
  listen(options: ListenOptions): Promise<ListenerHandle>;
  /** Resolves when it has started, not when it is connected. */
  connect(options: CommonOptions & { readonly remote: Ticket | ToxId }): Promise<ConnectorHandle>;
  node(options: NodeOptions): Promise<BootstrapNodeHandle>;
}

export interface CommonOptions {
  readonly bootstrap: readonly BootstrapAddress[];
  readonly identity?: Identity;
  readonly udp?: boolean;
  readonly udpPorts?: Ports;
  readonly proxy?: ProxyAddress;
  readonly patienceMs?: number;
  readonly limits?: Partial<Limits>;
  readonly lanDiscovery?: boolean;
  readonly bindAddress?: string;
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

export interface ListenOptions extends CommonOptions {
  readonly expose?: readonly Rule[] | 'loopback';
  readonly allowReverse?: readonly ReverseRule[];
  readonly access?: AccessState;
  readonly allowPeers?: readonly AllowedPeer[];
  readonly denyPeers?: readonly Uint8Array[];
}

export interface NodeOptions {
  readonly bootstrap?: readonly BootstrapAddress[];
  readonly identity?: Identity;
  readonly port?: number;
  readonly tcpPort?: number;
  readonly lanDiscovery?: boolean;
  readonly bindAddress?: string;
  readonly logger?: Logger;
  readonly signal?: AbortSignal;
}

export interface TunnelHandle extends EventEmitter<TunnelEvents> {
  readonly toxId: string;
  /** How the node itself is joined to the network. */
  readonly networkPath: 'udp' | 'relay' | 'none';
  readonly identity: Identity;
  close(): Promise<void>;
  seenAddresses(): Promise<SeenAddresses>;
  datagrams(): Promise<{ readonly received: number; readonly sent: number }>;
  peers(): readonly PeerInfo[];
  /** What all streams have carried so far. */
  stats(): TunnelStats;
}

export interface ListenerHandle extends TunnelHandle {
  /** Lets connectors in: a secret. */
  readonly ticket: string;
  readonly access: AccessPolicy;
  /** @returns undefined when there is no ticket of that name */
  ticketOf(name: string): string | undefined;
  readonly rules: RuleBook;
  readonly reverseRules: ReverseBook;
  /** Public keys of 64 hexadecimal digits. */
  removePeer(publicKey: string): Promise<boolean>;
  denyPeer(publicKey: string): void;
  allowPeer(publicKey: string): boolean;
}

/** Of a proxy whose place was read already. */
export interface ProxyOptions extends DynamicOptions {
  readonly bind: HostPort;
}

export interface ConnectorHandle extends TunnelHandle {
  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  forward(spec: LocalSpec): Promise<Forward>;
  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  dynamic(options: ProxyOptions): Promise<Forward>;
  /** @throws {TunnelError} ERR_LISTEN, with the system's error as its cause */
  udpForward(spec: UdpSpec): Promise<Forward>;
  dial(options: DialOptions): Duplex;
  /** @throws {TunnelError} ERR_ADDRESS_INVALID */
  reverse(spec: ReverseSpec): Reverse;
  /** @throws {TunnelError} ERR_PEER_GONE */
  ping(): Promise<{ readonly roundTripMs: number; readonly path: 'udp' | 'relay' | 'none' }>;
}

export interface Forward {
  /** `host:port` where it really listens. */
  readonly local: string;
  readonly target: string;
  /** Accepts no more; open connections go on. */
  close(): void;
}

export interface BootstrapNodeHandle extends EventEmitter<TunnelEvents> {
  readonly identity: Identity;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  readonly udpPort: number;
  /** 0 when there is none. */
  readonly tcpPort: number;
  close(): Promise<void>;
}
