import { EventEmitter } from 'node:events';
import { inspect } from 'node:util';
import { ToxNode } from '../bridge/tox_node.js';
import { isAborted, onAbort, throwIfAborted } from '../core/aborting.js';
import type { TunnelError } from '../core/errors.js';
import { silentLogger } from '../core/logger.js';
import { NOSPAM_BYTES } from '../core/tox_network.js';
import { upperHex } from '../network/tox_id.js';
import { type Identity, identityOf } from '../state/identity.js';
import { type Machine, thisMachine } from './machine.js';
import type { BootstrapNodeOptions } from './options.js';
import { bootstrapNodeOptions, type CheckedBootstrapNodeOptions } from './read_options.js';

/** Maximum connections of one relay. It bounds the relay's memory, because toxcore has no limit. */
const MAX_RELAYED = 4096;
/** The relay's share of the free descriptors. The rest is for other nodes and tunnels in the same program. */
const RELAY_FRACTION = 3 / 4;

export interface BootstrapNodeEvents {
  waiting: [info: { readonly message: string }];
  /** The node has failed and closed. No event follows. */
  error: [error: TunnelError];
}

/** A private bootstrap node with a TCP relay: others join the network through it. */
export class BootstrapNode extends EventEmitter<BootstrapNodeEvents> {
  /** DHT public key, 64 hexadecimal digits. */
  readonly publicKey: string;
  readonly udpPort: number;
  /** 0 when there is none. */
  readonly tcpPort: number;
  readonly #node: ToxNode;
  readonly #identity: Identity;
  readonly #giveBack: () => void;
  readonly #forgetSignal: () => void;

  private constructor(node: ToxNode, options: CheckedBootstrapNodeOptions, giveBack: () => void) {
    super();
    this.#node = node;
    this.#giveBack = giveBack;
    const { dhtKey, udpPort, tcpPort } = node.started;
    this.#identity = identityOf(node.secretKey, new Uint8Array(NOSPAM_BYTES));
    this.publicKey = upperHex(dhtKey);
    this.udpPort = udpPort;
    this.tcpPort = tcpPort;
    // Without bootstrap nodes it is the first node of its network, and waits for no other.
    if ((options.bootstrap ?? []).length > 0)
      node.on('waiting', (message) => this.emit('waiting', { message }));
    node.on('fatal', (error) => {
      void this.close();
      this.emit('error', error);
    });
    const close = (): void => void this.close();
    this.#forgetSignal = onAbort(options.signal, close);
    // Nobody listened to the signal between the node's start and this line.
    if (isAborted(options.signal)) close();
  }

  /**
   * Starts a bootstrap node. Resolves once its ports are open.
   *
   * @throws {TunnelError} ERR_ARGUMENT_INVALID, ERR_BOOTSTRAP_INVALID; ERR_LISTEN when a port is in use,
   *   ERR_TOX_START, ERR_ABORTED
   */
  static async start(given: BootstrapNodeOptions, machine: Machine = thisMachine()): Promise<BootstrapNode> {
    const options = bootstrapNodeOptions(given, 'createBootstrapNode()');
    throwIfAborted(options.signal);
    const { identity, port, tcpPort, bindAddress } = options;
    const { descriptors: budget } = machine;
    const most = Math.floor(Math.min(MAX_RELAYED, budget.free * RELAY_FRACTION));
    const giveBack = budget.take(most);
    const node = await ToxNode.start({
      start: {
        kind: 'bootstrap',
        lanDiscovery: options.lanDiscovery ?? true,
        tcpConnections: { most, fileLimit: most < MAX_RELAYED ? budget.limit : Number.POSITIVE_INFINITY },
        // One HOST:PORT:KEY names both ports.
        tcpPort: tcpPort ?? 'as-udp',
        ...(identity === undefined ? {} : { secretKey: identity.secretKey }),
        ...(port === undefined ? {} : { udpPorts: { from: port, to: port } }),
        ...(bindAddress === undefined ? {} : { bindAddress }),
      },
      bootstrap: options.bootstrap ?? [],
      timers: machine.timers,
      logger: options.logger ?? silentLogger,
      files: options.files,
      budget,
      ...(machine.spawn === undefined ? {} : { spawn: machine.spawn }),
    }).catch((error: unknown) => {
      giveBack();
      throw error;
    });
    try {
      // The signal may have aborted during the wait.
      throwIfAborted(options.signal);
      return new BootstrapNode(node, options, giveBack);
    } catch (error) {
      await node.close();
      giveBack();
      throw error;
    }
  }

  /** Save it to keep the node's line the same. It holds the secret key, but does not print it. */
  get identity(): Identity {
    return this.#identity;
  }

  /** What `console.log` shows: no secret key. */
  [inspect.custom](_depth: number, options: object): string {
    return `BootstrapNode ${inspect(this.toJSON(), options)}`;
  }

  /** Safe to log. */
  toJSON() {
    const { publicKey, udpPort, tcpPort } = this;
    return { publicKey, udpPort, tcpPort };
  }

  /** The process stays alive while the node is open. That is the default. */
  ref(): this {
    this.#node.keepProcess(true);
    return this;
  }

  /** The process may end while the node is open. */
  unref(): this {
    this.#node.keepProcess(false);
    return this;
  }

  /** Leaves the network. Never rejects; safe to call twice. */
  async close(): Promise<void> {
    this.#forgetSignal();
    // Until it is closed.
    this.ref();
    await this.#node.close();
    this.#giveBack();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }
}
