import type { AccessState } from '../access/access_state.js';
import type { AllowedPeer } from '../access/peer_key.js';
import type { Ticket } from '../access/ticket.js';
import type { PackageFiles } from '../bridge/package_files.js';
import type { PortRange } from '../core/ip.js';
import type { Logger } from '../core/logger.js';
import type { Limits } from '../core/peer_limits.js';
import type { ProxyAddress, ProxyCredentials } from '../core/proxy.js';
import type { BootstrapAddress } from '../core/tox_network.js';
import type { DialedStreamOptions } from '../forward/stream/dialed_stream.js';
import type { Offer } from '../forward/stream/offers.js';
import type { KnownPlace } from '../network/known_places.js';
import type { ToxId } from '../network/tox_id.js';
import type { HostPort, SocketPath } from '../rules/endpoint.js';
import type { Rule } from '../rules/expose.js';
import type { ReverseRule } from '../rules/reverse_rule.js';
import type { Identity } from '../state/identity.js';

/** An inclusive range of ports; the first that is free is taken. From 0 to 0: the system chooses. */
export type Ports = PortRange;

/** Options of every Tox node. */
export interface CommonOptions {
  /** Also as text, from `formatIdentity()`. Default: a new identity, for this run only. */
  readonly identity?: Identity | string | undefined;
  /**
   * Bootstrap nodes to join the network through, also as text `HOST:PORT:KEY`. Default: the nodes of the public
   * network; for a bootstrap node, none. With an empty list, only the LAN is searched.
   */
  readonly bootstrap?: readonly (BootstrapAddress | string)[] | undefined;
  /** Whether to search the LAN for other nodes. Default true. */
  readonly lanDiscovery?: boolean | undefined;
  /** Numeric address that the sockets for the network are bound to. Default: all addresses, IPv6 and IPv4. */
  readonly bindAddress?: string | undefined;
  /** Default: logs nothing. */
  readonly logger?: Logger | undefined;
  /** Closes it when aborted, also while it starts. */
  readonly signal?: AbortSignal | undefined;
  /** URLs of the worker and the wasm, for a bundle that does not have them next to it. */
  readonly files?: PackageFiles | undefined;
}

/** Options of `createNode()`, and of the node of `connect()` and `listen()`. */
export interface NodeOptions extends CommonOptions {
  /** Whether to use UDP. Without it all traffic goes through TCP relays. Default true. */
  readonly udp?: boolean | undefined;
  /**
   * UDP ports to try in turn. Default: 33445 to 33545, then any; for `connect()` without {@link identity},
   * any.
   */
  readonly udpPorts?: Ports | undefined;
  /**
   * A proxy for all traffic to the network: through TCP relays, whatever {@link udp} says, and without LAN
   * discovery. The proxy looks up the names of relays. Also as a URL, `socks5://[USER:PASSWORD@]HOST:PORT`.
   * Default: none.
   */
  readonly proxy?: ProxyAddress | string | undefined;
  /**
   * Where peers were last reached, from {@link NetworkNode.places} of an earlier run with this identity. Peers are looked
   * for there first, alongside the usual search, so an end that has not moved is back at once. Default: nothing.
   */
  readonly places?: readonly KnownPlace[] | undefined;
}

/** What `node.listen()` and `node.connect()` share. */
export interface RoleOptions {
  /**
   * How long streams wait for a peer that is offline or silent before they are reset, in
   * milliseconds. 0 resets them at once. Default 300,000 (5 minutes).
   */
  readonly patienceMs?: number | undefined;
  /** Limits for each peer. Default `DEFAULT_LIMITS`. */
  readonly limits?: Partial<Limits> | undefined;
  /** Closes the listener or connector when aborted. */
  readonly signal?: AbortSignal | undefined;
}

/** Options of `node.listen()`. */
export interface ServiceOptions extends RoleOptions {
  /**
   * What peers may reach besides the offers, also as text: `'22'`, `'db.lan:5432'`. Default: nothing, the
   * same as an empty list. 'loopback' opens every port on this machine's loopback interface, until a rule
   * of either kind is added or removed.
   */
  readonly expose?: readonly (Rule | string)[] | 'loopback' | undefined;
  /**
   * Names that this process serves itself, through `stream` events. Open to all peers without rules of
   * their own. Default: none.
   */
  readonly offer?: readonly Offer[] | undefined;
  /**
   * Where peers may open ports on this machine (`-R`), also as text: `'8080'`, `'0.0.0.0:80'`. Default:
   * nowhere. It lets them reach no target.
   */
  readonly allowReverse?: readonly (ReverseRule | string)[] | undefined;
  /**
   * Tickets and peers that an earlier run saved, from {@link Listener.access}. Default: a new
   * ticket, for this run only.
   */
  readonly access?: AccessState | undefined;
  /**
   * Peers that need no ticket, also as text `[NAME=]KEY`. KEY is a public key or a Tox ID in hexadecimal
   * digits.
   */
  readonly allowPeers?: readonly (AllowedPeer | string)[] | undefined;
  /** Public keys that no ticket lets in: 32 bytes each, or 64 hexadecimal digits. */
  readonly denyPeers?: readonly (Uint8Array | string)[] | undefined;
}

/** Options of `listen()`. */
export interface ListenOptions extends NodeOptions, ServiceOptions {}

/** Options of `node.connect()`. */
export interface ConnectionOptions extends RoleOptions {
  /** The listener's ticket, or its Tox ID if it allows our public key; as text or parsed. */
  readonly remote: Ticket | ToxId | string;
}

/** Options of `connect()`. */
export interface ConnectOptions extends NodeOptions, ConnectionOptions {}

/** Options of a call that can be aborted. */
export interface Abortable {
  /** Ends the call with ERR_ABORTED when aborted, with the signal's reason as its cause, and closes what it has opened. */
  readonly signal?: AbortSignal | undefined;
}

/** How `close()` ends. */
export interface CloseOptions {
  /**
   * Whether to deliver first what was written to streams and connections. Default true; false cuts them at once.
   */
  readonly drain?: boolean | undefined;
  /** How long that may take, in milliseconds. Default 5000. */
  readonly timeoutMs?: number | undefined;
}

/** What `dialUdp()` sends to. The default host is `localhost`. */
export interface UdpTarget extends Abortable {
  readonly host?: string | undefined;
  readonly port: number;
}

/** Options of a SOCKS5 and HTTP CONNECT proxy. */
export interface DynamicOptions extends Abortable {
  /** Address to listen on, also as text: `'1080'`, `'127.0.0.1:0'`. Port 0 chooses a free port. */
  readonly bind: HostPort | string;
  /** User name and password that clients must give. Default: none. */
  readonly credentials?: ProxyCredentials | undefined;
}

/** What the far end dials, and how the stream behaves. The default host is `localhost`. */
export type DialOptions = (SocketPath | (Pick<HostPort, 'port'> & Partial<HostPort>)) &
  Pick<DialedStreamOptions, 'allowHalfOpen' | 'sessionWaitMs' | 'signal'>;

/** Options of `createBootstrapNode()`. */
export interface BootstrapNodeOptions extends CommonOptions {
  /** UDP port. Default: the first free one from 33445 to 33545, else any. */
  readonly port?: number | undefined;
  /** Port of the TCP relay. Default: the number of the UDP port, else any. */
  readonly tcpPort?: number | undefined;
}
