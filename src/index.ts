/**
 * TCP and UDP tunnels between any two machines over the Tox network.
 *
 * @packageDocumentation
 */
export { type AccessState, parseAccessState } from './access/access_state.js';
export type { AllowedPeer } from './access/peer_key.js';
export type { AccessEvents, AccessPolicy, TurnedAway } from './access/policy.js';
export { formatTicket, parseRemote, parseTicket, type Ticket } from './access/ticket.js';
export type { Ineligible, NewTicket, TicketInfo } from './access/ticket_book.js';
export type { NodeHealth, SeenAddress } from './bridge/contract.js';
export type { PackageFiles } from './bridge/package_files.js';
export { ERROR_CODES, TunnelError, type TunnelErrorCode, type TunnelErrorOptions } from './core/errors.js';
export type { PortRange } from './core/ip.js';
export { type Logger, type LogLevel, silentLogger } from './core/logger.js';
export { DEFAULT_LIMITS, type Limits } from './core/peer_limits.js';
export type { ProxyAddress, ProxyCredentials } from './core/proxy.js';
export { RETURN_CODES, type ReturnCode } from './core/return_codes.js';
export type { BootstrapAddress, Path, SocketPlace } from './core/tox_network.js';
export type { TunnelAgent, TunnelHttpsAgent } from './forward/stream/agent.js';
export { DialError } from './forward/stream/dial_error.js';
export type { Offer } from './forward/stream/offers.js';
export type { StreamPeer, TunnelStream } from './forward/stream/tunnel_stream.js';
export type { UdpFlow, UdpFlowEvents } from './forward/stream/udp_flow.js';
export type { UndiciConnect, UndiciTarget, UndiciTlsOptions } from './forward/stream/undici_connect.js';
export { REASONS, type Reason } from './mux/wire/reasons.js';
export { parseBootstrapLine, parseNodesFile } from './network/bootstrap_list.js';
export { type KnownPlace, parseKnownPlaces } from './network/known_places.js';
export { publicNodes } from './network/public_nodes.js';
export { parseToxId, type ToxId } from './network/tox_id.js';
export type { PeerInfo } from './peer/peer_info.js';
export type { Traffic } from './peer/traffic.js';
export type { Endpoint, HostPort, SocketPath } from './rules/endpoint.js';
export {
  type ExposedHost,
  type ExposedPath,
  type ExposedPorts,
  type ExposeSpec,
  type IsName,
  type Protocol,
  parseExposeSpec,
  printRule,
  type ReadRule,
  type Rule,
  readRule,
} from './rules/expose.js';
export {
  type Bind,
  type LocalSpec,
  parseDynamicSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseUdpSpec,
  type ReverseSpec,
  type UdpSpec,
} from './rules/forward_spec.js';
export { parseReverseRule, type ReverseRule } from './rules/reverse_rule.js';
export type { Grant, NamedRules, ReverseBook, ReverseRules, RuleBook } from './rules/rule_book.js';
export { createIdentity, formatIdentity, type Identity, parseIdentity } from './state/identity.js';
export type { AuditEnds, AuditFlow, AuditPeer, AuditRecord, AuditRefusal } from './tunnel/audit.js';
export type { BootstrapNode, BootstrapNodeEvents } from './tunnel/bootstrap_node.js';
export type { Connector } from './tunnel/connector.js';
export type {
  CodeEvent,
  PeerChange,
  Refusal,
  ReverseChange,
  StreamOrigin,
  TunnelEvents,
} from './tunnel/events.js';
export type { Forward, ForwardEvents } from './tunnel/forward.js';
export type { Listener } from './tunnel/listener.js';
export type { NetworkNode, NodeEvents, SeenAddresses } from './tunnel/network_node.js';
export type {
  Abortable,
  BootstrapNodeOptions,
  CloseOptions,
  CommonOptions,
  ConnectionOptions,
  ConnectOptions,
  DialOptions,
  DynamicOptions,
  ListenOptions,
  NodeOptions,
  Ports,
  RoleOptions,
  ServiceOptions,
  UdpTarget,
} from './tunnel/options.js';
export type { PresenceEvents, State } from './tunnel/presence.js';
export type { Reverse } from './tunnel/reverse_forwards.js';
export type { Tunnel, TunnelStats } from './tunnel/tunnel.js';
export type { TunnelNode } from './tunnel/tunnel_node.js';

import { BootstrapNode } from './tunnel/bootstrap_node.js';
import type { Connector } from './tunnel/connector.js';
import type { Listener } from './tunnel/listener.js';
import type { BootstrapNodeOptions, ConnectOptions, ListenOptions, NodeOptions } from './tunnel/options.js';
import { TunnelNode } from './tunnel/tunnel_node.js';

/**
 * Starts a Tox node for a listener, any number of connectors, or both: one identity and one thread for all. Resolves
 * when it has started; `node.online()` waits until it is in the network.
 *
 * @throws {TunnelError} Before anything starts: ERR_ARGUMENT_INVALID, ERR_ADDRESS_INVALID or ERR_BOOTSTRAP_INVALID,
 *   whose messages name the option. Later: ERR_LISTEN when the UDP port is taken, ERR_TOX_START, ERR_WORKER_DIED,
 *   ERR_ABORTED
 *
 * @example
 * ```ts
 * const node = await createNode({ identity: process.env.IDENTITY });
 * const home = node.connect(process.env.HOME_TICKET);
 * const listener = node.listen({ expose: ['22'] });
 * ```
 */
export function createNode(options: NodeOptions = {}): Promise<TunnelNode> {
  return TunnelNode.start(options);
}

/**
 * Starts a listener on a node of its own: it waits for connectors and lets them reach what `expose` opens. Resolves
 * when it has started; `listener.online()` waits until it is in the network.
 *
 * @throws {TunnelError} Before anything starts: ERR_ARGUMENT_INVALID, ERR_ADDRESS_INVALID, ERR_SPEC_INVALID,
 *   ERR_BOOTSTRAP_INVALID, ERR_STATE_INVALID or ERR_USAGE, whose messages name the option. Later: ERR_LISTEN when the
 *   UDP port is taken, ERR_TOX_START, ERR_WORKER_DIED, ERR_ABORTED
 *
 * @example
 * ```ts
 * await using listener = await listen({ expose: ['22', 'db.lan:5432'] });
 * listener.on('error', (error) => console.error(error.code, error.message));
 * console.log(listener.ticket);
 * ```
 */
export function listen(options: ListenOptions = {}): Promise<Listener> {
  return TunnelNode.listen(options);
}

/**
 * Starts a connector on a node of its own. Resolves when it has started; `tunnel.online()` waits for the listener.
 * Connections to its forwards, and dialled streams, wait for it too.
 *
 * @param options a ticket or a Tox ID, or an object with it as `remote`
 * @throws {TunnelError} Before anything starts: ERR_ARGUMENT_INVALID, ERR_TICKET_INVALID, ERR_ADDRESS_INVALID or
 *   ERR_BOOTSTRAP_INVALID, whose messages name the option. Later: ERR_LISTEN when the UDP port is taken, ERR_TOX_START,
 *   ERR_WORKER_DIED, ERR_ABORTED
 *
 * @example
 * ```ts
 * await using tunnel = await connect(process.env.TICKET);
 * const { local } = await tunnel.forward('0:localhost:5432');
 * await tunnel.online({ signal: AbortSignal.timeout(30_000) });
 * ```
 */
export function connect(options: ConnectOptions | string): Promise<Connector> {
  return TunnelNode.connect(options);
}

/**
 * Starts a private bootstrap node with a TCP relay. Resolves when its ports are open.
 *
 * @throws {TunnelError} Before anything starts: ERR_ARGUMENT_INVALID or ERR_BOOTSTRAP_INVALID, whose messages name the
 *   option. Later: ERR_LISTEN when a port is taken, ERR_TOX_START, ERR_WORKER_DIED, ERR_ABORTED
 *
 * @example
 * ```ts
 * await using first = await createBootstrapNode({ bindAddress: '127.0.0.1', lanDiscovery: false });
 * const bootstrap = [`127.0.0.1:${first.udpPort}:${first.publicKey}`];
 * const listener = await listen({ bootstrap, bindAddress: '127.0.0.1', lanDiscovery: false });
 * ```
 */
export function createBootstrapNode(options: BootstrapNodeOptions = {}): Promise<BootstrapNode> {
  return BootstrapNode.start(options);
}
