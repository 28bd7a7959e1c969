/**
 * TCP and UDP tunnels between any two machines over the Tox network.
 *
 * @packageDocumentation
 */
export { type AccessState, parseAccessState } from './access/access_state.js';
export type { Grant } from './access/grant.js';
export type { NamedRules } from './access/named_rules.js';
export type { AllowedPeer } from './access/peer_key.js';
export type { AccessEvents, AccessPolicy } from './access/policy.js';
export type { ReverseBook, ReverseRules } from './access/reverse_book.js';
export { type IsName, printRule, type ReadRule, type Rule, readRule } from './access/rule.js';
export type { RuleBook } from './access/rule_book.js';
export { formatTicket, parseRemote, parseTicket, type Ticket } from './access/ticket.js';
export type { NewTicket, TicketInfo } from './access/ticket_book.js';
export { ERROR_CODES, TunnelError, type TunnelErrorCode, type TunnelErrorOptions } from './core/errors.js';
export { type Logger, type LogLevel, silentLogger } from './core/logger.js';
export { DEFAULT_LIMITS, type Limits } from './core/peer_limits.js';
export type { ProxyCredentials } from './core/proxy_credentials.js';
export { RETURN_CODES, type ReturnCode } from './core/return_codes.js';
export type { TunnelAgent, TunnelHttpsAgent } from './forward/agent.js';
export { DialError } from './forward/dial_error.js';
export type { Endpoint, SocketPath } from './forward/endpoint.js';
export {
  type ExposedHost,
  type ExposedPath,
  type ExposedPorts,
  type ExposeSpec,
  type PortRange,
  type Protocol,
  parseExposeSpec,
} from './forward/expose.js';
export type { Offer } from './forward/offers.js';
export { parseReverseRule, type ReverseRule } from './forward/reverse_rule.js';
export { parseReverseSpec, type ReverseSpec } from './forward/reverse_spec.js';
export { type HostPort, type LocalSpec, parseDynamicSpec, parseLocalSpec } from './forward/spec.js';
export type { TunnelStream } from './forward/tunnel_stream.js';
export { parseUdpSpec, type UdpSpec } from './forward/udp_spec.js';
export type { UndiciConnect, UndiciTarget, UndiciTlsOptions } from './forward/undici_connect.js';
export { REASONS, type Reason } from './mux/reasons.js';
export { type BootstrapAddress, parseBootstrapLine, parseNodesFile } from './node/bootstrap_list.js';
export { createIdentity, type Identity } from './node/identity.js';
export { publicNodes } from './node/public_nodes.js';
export { parseToxId, type ToxId } from './node/tox_id.js';
export type { BootstrapNode, BootstrapNodeEvents } from './tunnel/bootstrap_node.js';
export type { Connector, Forward } from './tunnel/connector.js';
export type {
  CodeEvent,
  PeerChange,
  Refusal,
  ReverseChange,
  StreamOrigin,
  TunnelEvents,
} from './tunnel/events.js';
export type { Listener } from './tunnel/listener.js';
export type {
  Abortable,
  CommonOptions,
  ConnectOptions,
  DialOptions,
  DynamicOptions,
  ListenOptions,
  NodeOptions,
  Ports,
  TunnelOptions,
} from './tunnel/options.js';
export type { PeerInfo } from './tunnel/peer_info.js';

export type { Reverse } from './tunnel/reverse_forwards.js';
export type { SeenAddresses, Tunnel, TunnelStats } from './tunnel/tunnel.js';
export type { Path, ProxyAddress, SeenAddress, SocketPlace } from './worker/contract.js';
export type { PackageFiles } from './worker/package_files.js';

import { BootstrapNode } from './tunnel/bootstrap_node.js';
import { Connector } from './tunnel/connector.js';
import { Listener } from './tunnel/listener.js';
import type { ConnectOptions, ListenOptions, NodeOptions } from './tunnel/options.js';

/**
 * Waits for connectors and opens for them what `expose` names.
 *
 * @throws {TunnelError} before anything is started ERR_ARGUMENT_INVALID, ERR_ADDRESS_INVALID, ERR_SPEC_INVALID,
 *   ERR_BOOTSTRAP_INVALID, ERR_STATE_INVALID or ERR_USAGE, which name the option; then ERR_LISTEN for a UDP port that is
 *   taken, ERR_TOX_START, ERR_CLOSED when aborted
 */
export function listen(options: ListenOptions = {}): Promise<Listener> {
  return Listener.start(options);
}

/**
 * Connects to a listener. Resolves when started, not when connected: events tell of that, and
 * connections to its forwards wait for it.
 *
 * @throws {TunnelError} before anything is started ERR_ARGUMENT_INVALID, ERR_TICKET_INVALID, ERR_ADDRESS_INVALID or
 *   ERR_BOOTSTRAP_INVALID, which name the option; then ERR_LISTEN for a UDP port that is taken, ERR_TOX_START, ERR_CLOSED
 *   when aborted
 */
export function connect(options: ConnectOptions): Promise<Connector> {
  return Connector.start(options);
}

/**
 * Runs a private bootstrap node with a TCP relay.
 *
 * @throws {TunnelError} before anything is started ERR_ARGUMENT_INVALID or ERR_BOOTSTRAP_INVALID, which name the option;
 *   then ERR_LISTEN for a port that is taken, ERR_TOX_START, ERR_CLOSED when aborted
 */
export function node(options: NodeOptions = {}): Promise<BootstrapNode> {
  return BootstrapNode.start(options);
}
export type { Traffic } from './tunnel/traffic.js';
