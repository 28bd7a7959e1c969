import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import type { NodeHealth, SeenAddress, TcpConnections } from '../bridge/contract.js';
import { ToxNode } from '../bridge/tox_node.js';
import { isAborted, onAbort, throwIfAborted, withDeadline } from '../core/aborting.js';
import { type DescriptorBudget, Descriptors, filePlan } from '../core/descriptors.js';
import { isolated, type TunnelError } from '../core/errors.js';
import { type Logger, silentLogger } from '../core/logger.js';
import { NOSPAM_BYTES, type Path, PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import { type KnownPlace, KnownPlaces } from '../network/known_places.js';
import { publicNodes } from '../network/public_nodes.js';
import { formatToxId } from '../network/tox_id.js';
import { type Identity, identityOf } from '../state/identity.js';
import type { Machine } from './machine.js';
import type { Abortable, CloseOptions, Ports } from './options.js';
import { Presence, type PresenceEvents, type State } from './presence.js';
import { type CheckedNodeOptions, closeOptions, signalOf } from './read_options.js';

/** Our UDP socket, and what other nodes see of it. */
export interface SeenAddresses {
  /** 0 without UDP. */
  readonly udpPort: number;
  readonly seen: readonly SeenAddress[];
}

export interface NodeEvents extends PresenceEvents {
  /** Something is taking long. The message says what, and what may help. The node keeps trying. */
  waiting: [info: { readonly message: string }];
  /**
   * The place where a peer can be reached has changed. Save {@link NetworkNode.places} to find it sooner in the next
   * run.
   */
  places: [];
}

/** What the listeners and connectors of a node share. */
export interface NodeParts {
  readonly tox: ToxNode;
  readonly machine: Machine;
  readonly logger: Logger;
  readonly knownPlaces: KnownPlaces;
  /** File descriptors for the connections of peers and forwards. */
  readonly descriptors: Descriptors;
}

/** A listener or a connector, seen from its node. */
export interface NodeRole {
  /** Begins to close it. Resolves when nothing of it is left on the node. */
  close(options: CloseOptions): Promise<void>;
  /** The node cannot continue. */
  fail(error: TunnelError): void;
}

/** How a node starts, depending on what will run on it. */
export interface NodeNeeds {
  /** UDP ports when the options name none. Default: 33445 to 33545, then any. */
  readonly ports: Ports | undefined;
  /** Peers that may be connected at once. */
  readonly channels: number;
  /** The node belongs to its only listener or connector, which reports its failure. */
  readonly isOwned: boolean;
}

/** A Tox node: its identity, and its own connection to the network. */
export class NetworkNode extends EventEmitter<NodeEvents> {
  /** The Tox ID, 76 hexadecimal digits. */
  readonly toxId: string;
  protected readonly parts: NodeParts;
  protected readonly roles = new Set<NodeRole>();
  readonly #isOwned: boolean;
  readonly #identity: Identity;
  readonly #forgetSignal: () => void;
  readonly #presence: Presence;
  #closing: Promise<void> | undefined;

  protected constructor(parts: NodeParts, options: CheckedNodeOptions, isOwned: boolean) {
    super();
    // Each role listens.
    this.setMaxListeners(0);
    this.parts = parts;
    this.#isOwned = isOwned;
    const { tox, logger } = parts;
    const { address } = tox.started;
    this.toxId = formatToxId(address);
    this.#identity = identityOf(
      tox.secretKey,
      address.slice(PUBLIC_KEY_BYTES, PUBLIC_KEY_BYTES + NOSPAM_BYTES),
    );
    this.#presence = new Presence('node', {
      online: (path) => this.emit('online', { path }),
      offline: () => this.emit('offline'),
      path: (path) => this.emit('path', { path }),
      close: () => this.emit('close'),
    });
    tox.on('path', (path) => {
      logger.log('info', path === 'none' ? 'left the network' : 'joined the network', { path });
      this.#presence.moved(path);
    });
    tox.on('friendPlace', (place) => parts.knownPlaces.met(place));
    tox.on('waiting', (message) => {
      if (!this.#presence.isClosing) this.emit('waiting', { message });
    });
    tox.on('fatal', (error) => this.#fail(error));
    const close = (): void => void this.close({ drain: false });
    this.#forgetSignal = onAbort(options.signal, close);
    // Nobody listened to the signal between the node's start and this line.
    if (isAborted(options.signal)) close();
  }

  /**
   * Starts a Tox node and passes its parts to `make`. When `make` throws, the node is closed, so that no worker is left
   * behind.
   */
  protected static async startWith<Made extends NetworkNode>(
    options: CheckedNodeOptions,
    { ports, channels }: NodeNeeds,
    machine: Machine,
    make: (parts: NodeParts) => Made,
  ): Promise<Made> {
    throwIfAborted(options.signal);
    const { identity, logger = silentLogger } = options;
    const tox = await ToxNode.start({
      start: {
        kind: 'tunnel',
        udp: options.udp ?? true,
        lanDiscovery: options.lanDiscovery ?? true,
        tcpConnections: relayConnections(machine.descriptors),
        ...(identity === undefined ? {} : { secretKey: identity.secretKey, nospam: identity.nospam }),
        ...udpPortsOf(options.udpPorts ?? ports),
        ...(options.proxy === undefined ? {} : { proxy: options.proxy }),
        ...(options.bindAddress === undefined ? {} : { bindAddress: options.bindAddress }),
      },
      bootstrap: options.bootstrap ?? publicNodes(),
      channels,
      timers: machine.timers,
      logger,
      files: options.files,
      budget: machine.descriptors,
      ...(machine.spawn === undefined ? {} : { spawn: machine.spawn }),
    });
    try {
      // The signal may have aborted during the wait.
      throwIfAborted(options.signal);
      let made: Made | undefined;
      const knownPlaces = new KnownPlaces({
        given: options.places ?? [],
        wallMs: () => machine.wallMs(),
        onChange: () => {
          if (made?.isClosing() === false) made.emit('places');
        },
      });
      const descriptors = new Descriptors(machine.descriptors, logger, machine.timers);
      made = make({ tox, machine, logger, knownPlaces, descriptors });
      return made;
    } catch (error) {
      await tox.close();
      throw error;
    }
  }

  /** Save it to keep the Tox ID. It holds the secret key, but does not print it. */
  get identity(): Identity {
    return this.#identity;
  }

  /** `online` while the node is in the network. */
  get state(): State {
    return this.#presence.state;
  }

  /** The node's own connection to the network: UDP, TCP relays only, or none. */
  get path(): Path {
    return this.#presence.path;
  }

  /** Resolves when the node is closed, with the error that ended it or with undefined. Never rejects. */
  get closed(): Promise<TunnelError | undefined> {
    return this.#presence.ended;
  }

  /** What strangers could use up, as of a few seconds ago. */
  get health(): NodeHealth {
    return this.parts.tox.health;
  }

  /** Where peers were last reached. Give it to the next run as `places`; keep it as private as an address book. */
  get places(): readonly KnownPlace[] {
    return this.parts.knownPlaces.list;
  }

  /**
   * Resolves when the node is in the network; at once when it is.
   *
   * @throws {TunnelError} ERR_ABORTED; ERR_CLOSED or ERR_WORKER_DIED when it closes or fails first;
   *   ERR_ARGUMENT_INVALID
   */
  async online(options: Abortable = {}): Promise<void> {
    await this.#presence.online(signalOf(options, 'online()'));
  }

  /**
   * Returns how many UDP datagrams the node itself has received and sent; both 0 without UDP.
   *
   * @throws {TunnelError} ERR_ABORTED, ERR_CLOSED, ERR_WORKER_DIED
   */
  async datagrams(options: Abortable = {}): Promise<{ readonly received: number; readonly sent: number }> {
    const signal = signalOf(options, 'datagrams()');
    throwIfAborted(signal);
    const { datagramsIn, datagramsOut } = await withDeadline(this.parts.tox.worker.stats(), { signal });
    return { received: datagramsIn, sent: datagramsOut };
  }

  /**
   * Returns our UDP port, and the addresses at which other nodes see it. They show the kind of NAT in
   * between. Nodes that have not reported it yet are asked, so the first answers may be empty.
   *
   * @throws {TunnelError} ERR_CLOSED, ERR_WORKER_DIED
   */
  async seenAddresses(): Promise<SeenAddresses> {
    const { tox } = this.parts;
    return { udpPort: tox.started.udpPort, seen: await tox.worker.seenAddresses() };
  }

  /** The process stays alive while the node is open. That is the default. */
  ref(): this {
    this.parts.tox.keepProcess(true);
    return this;
  }

  /** The process may end while the node is open: call it again after {@link ref}. Open connections keep it running. */
  unref(): this {
    this.parts.tox.keepProcess(false);
    return this;
  }

  /**
   * Closes all listeners and connectors of the node as their `close()` does, then leaves the network.
   *
   * @throws {TunnelError} ERR_ARGUMENT_INVALID; nothing else
   */
  async close(options: CloseOptions = {}): Promise<void> {
    const checked = closeOptions(options, 'close()');
    // From here on, no handler of the events below can add a role.
    this.#presence.closing(undefined);
    const roles = [...this.roles].map((role) => role.close(checked));
    this.#closing ??= this.#close(undefined, roles);
    await this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What `console.log` shows: no keys, no secrets. */
  [inspect.custom](_depth: number, options: object): string {
    return `${this.constructor.name} ${inspect(this.toJSON(), options)}`;
  }

  /** Safe to log. */
  toJSON() {
    const { toxId, state, path } = this;
    return { toxId, state, path };
  }

  protected isClosing(): boolean {
    return this.#presence.isClosing;
  }

  #fail(error: TunnelError): void {
    if (this.#presence.isClosing) {
      // Nothing more can be delivered.
      for (const role of this.roles) role.fail(error);
      return;
    }
    const roles = [...this.roles];
    this.#closing = this.#close(error, []);
    for (const role of roles) role.fail(error);
    if (!this.#isOwned) isolated(() => this.emit('error', error));
  }

  async #close(why: TunnelError | undefined, roles: readonly Promise<void>[]): Promise<void> {
    this.#forgetSignal();
    // Until it is closed.
    this.ref();
    this.#presence.closing(why);
    await Promise.all(roles);
    const { tox, descriptors } = this.parts;
    await tox.close();
    descriptors.flush();
    this.#presence.closed();
  }
}

/** Limits the relay connections of a tunnel's node. They use the node's own files, not the budget. */
function relayConnections({ limit }: DescriptorBudget): TcpConnections {
  return { most: filePlan(limit).relays, fileLimit: limit };
}

const udpPortsOf = (ports: Ports | undefined): { udpPorts?: Ports } =>
  ports === undefined ? {} : { udpPorts: ports };
