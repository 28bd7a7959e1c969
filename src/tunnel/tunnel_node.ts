import { isTicket } from '../access/ticket.js';
import { throwIfAborted } from '../core/aborting.js';
import { TunnelError } from '../core/errors.js';
import { MAX_PEERS } from '../core/limits.js';
import { limitsOf } from '../core/peer_limits.js';
import { upperHex } from '../network/tox_id.js';
import { publicKeyOf } from '../state/identity.js';
import { Connector } from './connector.js';
import { Listener, type ListenerService, listenerService } from './listener.js';
import { type Machine, thisMachine } from './machine.js';
import { NetworkNode, type NodeNeeds, type NodeRole } from './network_node.js';
import type {
  ConnectionOptions,
  ConnectOptions,
  ListenOptions,
  NodeOptions,
  ServiceOptions,
} from './options.js';
import {
  type CheckedConnectionOptions,
  type CheckedNodeOptions,
  type CheckedServiceOptions,
  connectionOptions,
  connectOptions,
  listenOptions,
  nodeOptions,
  serviceOptions,
} from './read_options.js';
import type { Tunnel, TunnelHost } from './tunnel.js';

/**
 * The UDP ports of a connector with a new identity. For two minutes, toxcore at the other end ignores
 * a new identity at the address of one that has just disappeared. A listener has no such problem, and
 * keeps to the ports that LAN discovery searches.
 */
const ANY_PORT = { from: 0, to: 0 } as const;

/** A Tox node that carries a listener, any number of connectors, or both: one identity and one thread for all. */
export class TunnelNode extends NetworkNode {
  /** By the listener's public key. */
  readonly #connectors = new Map<string, Connector>();
  #listener: Listener | undefined;

  /** Starts a node without a listener or a connector. See `createNode()`. */
  static async start(given: NodeOptions, machine: Machine = thisMachine()): Promise<TunnelNode> {
    const options = nodeOptions(given, 'createNode()');
    return TunnelNode.#start(options, { ports: undefined, channels: MAX_PEERS, isOwned: false }, machine);
  }

  /** Starts a node for one connector. See `connect()`. */
  static async connect(given: ConnectOptions | string, machine: Machine = thisMachine()): Promise<Connector> {
    const options = connectOptions(orRemote(given), 'connect()');
    const ports = options.identity === undefined ? ANY_PORT : undefined;
    const { identity, remote } = options;
    if (identity !== undefined) refuseSelf(publicKeyOf(identity.secretKey), remote, 'connect()');
    const node = await TunnelNode.#start(options, { ports, channels: 1, isOwned: true }, machine);
    return node.#only(() => node.#connect(options, true));
  }

  /** Starts a node for a listener. See `listen()`. */
  static async listen(given: ListenOptions, machine: Machine = thisMachine()): Promise<Listener> {
    const options = listenOptions(given, 'listen()');
    const service = listenerService(options, machine);
    const channels = limitsOf(options.limits).maxPeers;
    const node = await TunnelNode.#start(options, { ports: undefined, channels, isOwned: true }, machine);
    return node.#only(() => node.#listen(options, service, true));
  }

  static async #start(options: CheckedNodeOptions, needs: NodeNeeds, machine: Machine): Promise<TunnelNode> {
    return NetworkNode.startWith(
      options,
      needs,
      machine,
      (parts) => new TunnelNode(parts, options, needs.isOwned),
    );
  }

  /**
   * Connects to a listener. Events report the progress; connections to its forwards wait for the listener.
   *
   * @param options a ticket or a Tox ID, or an object with it as `remote`
   * @throws {TunnelError} ERR_ARGUMENT_INVALID, ERR_TICKET_INVALID or ERR_ADDRESS_INVALID, whose messages name the
   *   option; ERR_USAGE when the node has an open connector to this listener; ERR_ABORTED; ERR_CLOSED when the node is
   *   closed
   *
   * @example
   * ```ts
   * const home = node.connect(process.env.HOME_TICKET);
   * const office = node.connect({ remote: process.env.OFFICE_TICKET, patienceMs: 60_000 });
   * ```
   */
  connect(options: ConnectionOptions | string): Connector {
    const name = 'connect()';
    const checked = connectionOptions(orRemote(options), name);
    refuseSelf(this.parts.tox.started.publicKey, checked.remote, name);
    this.#expectOpen();
    return this.#connect(checked, false);
  }

  /**
   * Lets peers in, and lets them reach what `expose` and `offer` open. A node has one listener at a time.
   *
   * @throws {TunnelError} ERR_ARGUMENT_INVALID, ERR_SPEC_INVALID, ERR_ADDRESS_INVALID or ERR_STATE_INVALID, whose
   *   messages name the option; ERR_USAGE when the node has an open listener; ERR_ABORTED; ERR_CLOSED when the node is
   *   closed
   *
   * @example
   * ```ts
   * const listener = node.listen({ expose: ['22'], allowReverse: ['8080'] });
   * ```
   */
  listen(options: ServiceOptions = {}): Listener {
    const checked = serviceOptions(options, 'listen()');
    const service = listenerService(checked, this.parts.machine);
    this.#expectOpen();
    return this.#listen(checked, service, false);
  }

  /** Makes the only role of a node that belongs to it. When that fails, nothing is left behind. */
  async #only<Role>(make: () => Role): Promise<Role> {
    try {
      return make();
    } catch (error) {
      await this.close({ drain: false });
      throw error;
    }
  }

  #connect(options: CheckedConnectionOptions, isOwned: boolean): Connector {
    throwIfAborted(options.signal);
    const key = keyOf(options.remote);
    const open = this.#connectors.get(key);
    if (open !== undefined)
      throw taken(open, 'connector to this listener', 'use it, or close it first: await its close()');
    const host = this.#host(isOwned, () => this.#connectors.delete(key));
    const connector = new Connector(host, options);
    this.#connectors.set(key, connector);
    return connector;
  }

  #listen(options: CheckedServiceOptions, service: ListenerService, isOwned: boolean): Listener {
    throwIfAborted(options.signal);
    const open = this.#listener;
    if (open !== undefined)
      throw taken(open, 'listener', 'change its rules, or close it first: await its close()');
    const forget = (): void => {
      this.#listener = undefined;
    };
    const isRemote = (publicKey: string): boolean => this.#connectors.has(publicKey);
    this.#listener = new Listener(this.#host(isOwned, forget), options, service, isRemote);
    return this.#listener;
  }

  #host(isOwned: boolean, forget: () => void): TunnelHost {
    const join = (role: NodeRole): (() => void) => {
      this.roles.add(role);
      return () => {
        this.roles.delete(role);
        forget();
      };
    };
    return { node: this, parts: this.parts, isOwned, join };
  }

  #expectOpen(): void {
    if (this.isClosing()) throw new TunnelError('ERR_CLOSED', 'this node is closed; start a new one');
  }
}

/** Takes a remote in place of options. An unset variable counts as a remote, because its error says what is missing. */
const orRemote = <Options extends object>(given: Options | string): Options | { readonly remote: string } =>
  typeof given === 'object' ? given : { remote: given };

const taken = (role: Tunnel, name: string, remedy: string): TunnelError =>
  new TunnelError(
    'ERR_USAGE',
    role.state === 'closing'
      ? `the ${name} of this node is still closing; await its close()`
      : `this node has an open ${name}: ${remedy}`,
  );

const keyOf = (remote: CheckedConnectionOptions['remote']): string =>
  upperHex((isTicket(remote) ? remote.toxId : remote).publicKey);

function refuseSelf(own: Uint8Array, remote: CheckedConnectionOptions['remote'], name: string): void {
  if (upperHex(own) !== keyOf(remote)) return;
  throw new TunnelError(
    'ERR_ADDRESS_INVALID',
    `${name}: remote is this node itself; connect from another node`,
  );
}
