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
import type { ToxId } from '../network/tox_id.js';
import type { HostPort, SocketPath } from '../rules/endpoint.js';
import type { Rule } from '../rules/expose.js';
import type { ReverseRule } from '../rules/reverse_rule.js';
import type { Identity } from '../state/identity.js';

/** An inclusive range of ports; the first that is free is taken. From 0 to 0: the system chooses. */
export type Ports = PortRange;

/** What every kind of node takes. */
export interface CommonOptions {
  /** Default: a new identity, for this run alone. */
  readonly identity?: Identity;
  /** Nodes to join the network by, also as `HOST:PORT:KEY`. Without any, only a LAN is searched. */
  readonly bootstrap?: readonly (BootstrapAddress | string)[];
  /** Whether other nodes are looked for on the LAN. Default true. */
  readonly lanDiscovery?: boolean;
  /** Numeric address that the sockets to the network bind to. Default: all, IPv6 and IPv4. */
  readonly bindAddress?: string;
  /** Default: says nothing. */
  readonly logger?: Logger;
  /** Closes it when aborted, also while it starts. */
  readonly signal?: AbortSignal;
  /** Where the worker and the wasm are, in a bundle that does not have them beside it. */
  readonly files?: PackageFiles;
}

export interface TunnelOptions extends CommonOptions {
  /** Whether UDP is used at all; without it everything goes through TCP relays. Default true. */
  readonly udp?: boolean;
  /** UDP ports to try. Default 33445 to 33545, then any; of a connector without {@link identity}, any. */
  readonly udpPorts?: Ports;
  /**
   * A proxy that everything to the network goes through: by TCP relays, whatever {@link udp} says, and without LAN
   * discovery. It looks up the names of relays. Also as a URL, `socks5://[USER:PASSWORD@]HOST:PORT`. Default: none.
   */
  readonly proxy?: ProxyAddress | string;
  /**
   * How long streams wait for a peer that went offline or silent before they are reset, in
   * milliseconds. Default 5 minutes.
   */
  readonly patienceMs?: number;
  /** What a peer may ask of us. Default `DEFAULT_LIMITS`. */
  readonly limits?: Partial<Limits>;
}

export interface ListenOptions extends TunnelOptions {
  /**
   * What peers may reach, beside what is offered; also as text: `'22'`, `'db.lan:5432'`. Default: nothing, as with an
   * empty list. 'loopback' opens every port of this machine's own loopback until a rule of either kind is added or removed.
   */
  readonly expose?: readonly (Rule | string)[] | 'loopback';
  /**
   * Names that this process serves itself, by `stream` events: open to all peers that have no rules of
   * their own. Default: none.
   */
  readonly offer?: readonly Offer[];
  /**
   * Where peers may have ports opened on this machine; also as text: `'8080'`, `'0.0.0.0:80'`. Default: nowhere. It
   * opens no target.
   */
  readonly allowReverse?: readonly (ReverseRule | string)[];
  /**
   * Tickets and peers that an earlier run has kept, from {@link Listener.access}. Default: a new
   * ticket, for this run alone.
   */
  readonly access?: AccessState;
  /** Peers that need no ticket. Also as text: `[NAME=]KEY`, where KEY is a public key or a Tox ID in hexadecimal digits. */
  readonly allowPeers?: readonly (AllowedPeer | string)[];
  /** Public keys that no ticket lets in: 32 bytes each, or hexadecimal digits. */
  readonly denyPeers?: readonly (Uint8Array | string)[];
}

export interface ConnectOptions extends TunnelOptions {
  /** The listener: its ticket, or its bare Tox ID where it allows us by our public key; as text or parsed. */
  readonly remote: Ticket | ToxId | string;
}

/** Of what may be given up. */
export interface Abortable {
  /** Gives it up when aborted, with ERR_CLOSED; what is open by then is closed. */
  readonly signal?: AbortSignal;
}

/** Of a SOCKS5 and HTTP CONNECT proxy. */
export interface DynamicOptions extends Abortable {
  /** Where it listens; port 0 takes a free one. Also as text: `'1080'`, `'127.0.0.1:0'`. */
  readonly bind: HostPort | string;
  /** What clients must name. Default: nobody is asked. */
  readonly credentials?: ProxyCredentials;
}

/** What the far end shall dial, and how the stream to it shall be. The host is `localhost` when none is named. */
export type DialOptions = (SocketPath | (Pick<HostPort, 'port'> & Partial<HostPort>)) &
  Pick<DialedStreamOptions, 'allowHalfOpen' | 'sessionWaitMs' | 'signal'>;

export interface NodeOptions extends CommonOptions {
  /** UDP port. Default: one from 33445 to 33545, or any. */
  readonly port?: number;
  /** Port of the TCP relay; default: the UDP port's number, or any. */
  readonly tcpPort?: number;
}
