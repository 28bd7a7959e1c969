import type {
  ChannelId,
  ChannelStart,
  ChannelStats,
  Outcome,
  RequestAdmission,
  SeenAddress,
  Started,
  StartOptions,
  WorkerApi,
  WorkerEvent,
  WorkerStats,
} from '../bridge/contract.js';
import type { Timers } from '../core/clock.js';
import { DescriptorBudget, type DescriptorShare, Descriptors } from '../core/descriptors.js';
import { TunnelError } from '../core/errors.js';
import type { Logger, LogLevel } from '../core/logger.js';
import { MAX_PACKET_BYTES } from '../core/packets.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { BootstrapAddress, FriendNumber, PeerPlace } from '../core/tox_network.js';
import type { WorkerRings } from '../ring/worker_rings.js';
import { AddressWatch } from './address_watch.js';
import { type Joins, joinBy, joinThroughProxy } from './bootstrap.js';
import type { CreateChannel } from './channel/channel.js';
import { logStats } from './channel_set.js';
import { Friends, isHandshake } from './friends.js';
import { HealthWatch } from './health_watch.js';
import type { Network, NetworkPlan, WorkerNetwork } from './net/network.js';
import { createResolver, type LookUp, type Resolver } from './net/resolve.js';
import { HANG_UP_WORDS } from './net/tcp_sockets.js';
import { Pump, type Pumped, type PumpedChannels } from './pump.js';
import type { FriendAdd, SendResult, ToxModule } from './tox/tox.js';

/** How often a bootstrap node works when no datagram arrives: about as often as tox-bootstrapd. */
const BOOTSTRAP_INTERVAL_MS = 50;

/**
 * Limits for one address at the relay. A sixteenth of what is free: only many addresses together
 * can use up the relay, and the clients behind one NAT still have enough.
 */
const STRANGERS = { ratioToFree: 1 / 16, most: 256 } as const;

/** The part of the wasm's interface that is used here. */
export type Instances = Pick<
  ToxModule,
  'createTox' | 'createBootstrapNode' | 'memoryBytes' | 'allocatedBytes'
>;

/** What the worker gets from the machine that it runs on. Simulations bring their own. */
export interface WorkerMachine {
  readonly timers: Timers;
  /** Calls back after the pending events: `setImmediate`. */
  nextTurn(callback: () => void): void;
  /** A random number below 2^32. */
  randomWord(): number;
  readonly lookUp: LookUp;
  /** This machine's numeric addresses; undefined when the system cannot say. */
  addresses(): readonly string[] | undefined;
  /** @throws {TunnelError} ERR_LISTEN when no port is available */
  openNetwork(plan: NetworkPlan): Promise<WorkerNetwork>;
}

export interface ToxWorkerParts {
  readonly machine: WorkerMachine;
  readonly rings: WorkerRings;
  readonly logger: Logger;
  /** @throws {TunnelError} ERR_WASM_MISSING */
  loadTox(network: Network): Promise<Instances>;
  readonly createChannel: CreateChannel;
  tell(event: WorkerEvent): void;
  /** The node has left the network: ends the thread, after the current call. */
  done(): void;
}

type TunnelStart = Extract<StartOptions, { kind: 'tunnel' }>;
type BootstrapStart = Extract<StartOptions, { kind: 'bootstrap' }>;

interface Running {
  readonly network: WorkerNetwork;
  readonly module: Instances;
  readonly pump: Pump;
  readonly joins: Joins;
  /** Undefined for a bootstrap node. */
  readonly friends: Friends | undefined;
  stop(): void;
}

/** What the worker thread does for the main thread: runs one Tox node or bootstrap node. */
export class ToxWorker implements WorkerApi {
  readonly #parts: ToxWorkerParts;
  readonly #resolver: Resolver;
  #state: 'new' | 'starting' | 'running' | 'closed' = 'new';
  #running: Running | undefined;
  #isMemoryShort = false;

  constructor(parts: ToxWorkerParts) {
    this.#parts = parts;
    this.#resolver = createResolver(parts.machine.timers, parts.machine.lookUp);
  }

  async start(options: StartOptions): Promise<Started> {
    if (this.#state !== 'new') throw new TunnelError('ERR_TOX_START', 'this worker was started before');
    this.#state = 'starting';
    const network = await this.#parts.machine.openNetwork({
      udp: options.kind === 'bootstrap' || usesUdp(options),
      proxy: options.kind === 'bootstrap' ? undefined : options.proxy,
      udpPorts: options.udpPorts,
      bindAddress: options.bindAddress,
      tcpPort: options.kind === 'bootstrap' ? options.tcpPort : undefined,
      descriptors: this.#descriptorsFor(options),
    });
    try {
      const module = await this.#parts.loadTox(network);
      if (this.#isClosed()) throw closedError();
      return options.kind === 'tunnel'
        ? this.#startTunnel(options, network, module)
        : this.#startBootstrap(options, network, module);
    } catch (error) {
      network.closeAll();
      throw error;
    }
  }

  async bootstrap(nodes: readonly BootstrapAddress[]): Promise<{ readonly failed: readonly string[] }> {
    const { network } = this.#need();
    const { names } = network;
    const failed =
      names === undefined
        ? await joinBy(nodes, this.#resolver, () => this.#need().joins)
        : joinThroughProxy(nodes, names, this.#need().joins);
    for (const line of failed) this.#parts.logger.log('warn', `bootstrap node skipped: ${line}`);
    this.#running?.pump.wakeFully();
    return { failed: network.proxyTrouble === undefined ? failed : [network.proxyTrouble, ...failed] };
  }

  addFriend(address: Uint8Array, message: Uint8Array): Outcome {
    const { tox } = this.#friends();
    const added = tox.addFriend(address, message);
    if (added.kind === 'already') tox.setRequest(added.friend, address, message);
    return this.#added(added);
  }

  knock(places: readonly PeerPlace[]): void {
    this.#friends().knocks.knock(places);
  }

  admitRequests(admission: RequestAdmission): void {
    this.#friends().requests.admit(admission, this.#nowMs());
  }

  acceptFriend(publicKey: Uint8Array): Outcome {
    if (this.#isMemoryShort)
      return { code: 102, friend: -1, reason: 'toxcore is short of memory: try later' };
    return this.#added(this.#friends().tox.acceptFriend(publicKey));
  }

  removeFriend(friend: FriendNumber): boolean {
    return this.#friends().remove(friend);
  }

  sendHandshake(friend: FriendNumber, packet: Uint8Array): Outcome {
    if (packet.length > MAX_PACKET_BYTES || !isHandshake(packet)) {
      throw new TunnelError('ERR_HANDSHAKE_INVALID', 'this packet does not start a session of ours');
    }
    const result = this.#friends().tox.sendLossless(friend, packet);
    if (result === 'sent') this.#running?.pump.wakeFully();
    const reason = HANDSHAKE_REASONS[result];
    return { code: HANDSHAKE_CODES[result], friend, ...(reason !== undefined && { reason }) };
  }

  openChannel(channel: ChannelId, friend: FriendNumber, start: ChannelStart): boolean {
    const seed = this.#parts.machine.randomWord();
    return this.#friends().channels.open(channel, friend, { ...start, seed });
  }

  rebindChannel(channel: ChannelId, binding: Uint8Array): boolean {
    return this.#friends().channels.rebind(channel, binding);
  }

  closeChannel(channel: ChannelId): boolean {
    return this.#friends().channels.close(channel);
  }

  channelStats(channel: ChannelId): ChannelStats | undefined {
    return this.#friends().channels.get(channel)?.stats(this.#nowMs());
  }

  stats(): WorkerStats {
    const { network, module, pump } = this.#need();
    return { wasmMemoryBytes: module.memoryBytes(), ...network.stats, iterations: pump.iterations };
  }

  seenAddresses(): readonly SeenAddress[] {
    const seen = this.#friends().tox.seenAddresses();
    this.#running?.pump.wake(); // it may have asked nodes
    return seen;
  }

  close(): void {
    if (this.#isClosed()) return;
    this.#state = 'closed';
    this.#parts.done();
    this.#parts.rings.close();
    this.#running?.stop();
    this.#running = undefined;
  }

  #descriptorsFor({ tcpConnections }: StartOptions): DescriptorShare | undefined {
    if (tcpConnections === undefined) return undefined;
    const budget = new DescriptorBudget(tcpConnections.most, tcpConnections.fileLimit);
    return new Descriptors(budget, this.#parts.logger, this.#parts.machine.timers).share({
      perAddress: STRANGERS,
    });
  }

  #startTunnel(options: TunnelStart, network: WorkerNetwork, module: Instances): Started {
    const { machine, rings, tell, createChannel, logger } = this.#parts;
    const friends = new Friends({
      createTox: (events) =>
        module.createTox(
          {
            ...(options.secretKey !== undefined && { secretKey: options.secretKey }),
            ...(options.nospam !== undefined && { nospam: options.nospam }),
            udp: usesUdp(options),
            ipv6: network.ipv6,
            udpPort: network.udpPort,
            lanDiscovery: options.lanDiscovery && options.proxy === undefined,
          },
          events,
        ),
      createChannel,
      rings,
      tell,
      log: this.#toxLog,
      nowMs: () => this.#nowMs(),
      wake: () => this.#running?.pump.wake(),
      wakeFully: () => this.#running?.pump.wakeFully(),
      timers: machine.timers,
      later: (callback) => {
        machine.nextTurn(() => {
          if (this.#state === 'running') callback();
        });
      },
    });
    const { tox, channels } = friends;
    const isDebugging = logger.level === 'debug' || logger.level === 'trace';
    const stopLog = isDebugging
      ? logStats(channels, machine.timers, logger, () => network.stats)
      : (): void => {};
    const kill = (): void => {
      stopLog();
      friends.knocks.stop();
      tox.kill();
    };
    this.#run({ network, module, joins: friends, friends }, tox, channels, kill);
    rings.run(channels);
    return {
      address: new Uint8Array(tox.address),
      publicKey: new Uint8Array(tox.publicKey),
      secretKey: new Uint8Array(tox.secretKey),
      dhtKey: new Uint8Array(tox.dhtId),
      udpPort: network.udpPort,
      tcpPort: 0,
    };
  }

  #startBootstrap(options: BootstrapStart, network: WorkerNetwork, module: Instances): Started {
    const node = module.createBootstrapNode(
      {
        ...(options.secretKey !== undefined && { secretKey: options.secretKey }),
        ipv6: network.ipv6,
        udpPort: network.udpPort,
        tcpPort: network.tcpPort,
        lanDiscovery: options.lanDiscovery,
      },
      this.#toxLog,
    );
    const pumped: Pumped = {
      iterate: () => node.iterate(),
      poll: () => node.poll(),
      intervalMs: () => BOOTSTRAP_INTERVAL_MS,
    };
    const noChannels = { pump: () => Number.POSITIVE_INFINITY };
    this.#run({ network, module, joins: node, friends: undefined }, pumped, noChannels, () => node.kill());
    return {
      address: new Uint8Array(0),
      publicKey: new Uint8Array(node.publicKey),
      secretKey: new Uint8Array(node.secretKey),
      dhtKey: new Uint8Array(node.publicKey),
      udpPort: network.udpPort,
      tcpPort: network.tcpPort,
    };
  }

  #run(
    made: Omit<Running, 'pump' | 'stop'>,
    instance: Pumped,
    channels: PumpedChannels,
    kill: () => void,
  ): void {
    const { machine, rings, logger } = this.#parts;
    const { timers } = machine;
    const { network } = made;
    const pump = new Pump({
      instance,
      network,
      channels,
      timers,
      nextTurn: (turn) => machine.nextTurn(() => rings.inOneTurn(turn)),
    });
    const watch = new AddressWatch({
      timers,
      addresses: () => machine.addresses(),
      gone: (present) => {
        logger.log('info', 'an address of this machine is gone: connecting to relays again');
        network.leaveOtherAddresses(present);
      },
    });
    const health = new HealthWatch({
      timers,
      wasmMemoryBytes: () => made.module.allocatedBytes(),
      strangersDropped: () => network.stats.strangersDropped,
      log: (level, message) => logger.log(level, message),
      tell: (now) => this.#parts.tell({ type: 'health', health: now }),
      memoryIsShort: (isShort) => {
        this.#isMemoryShort = isShort;
        network.admitStreams(!isShort);
      },
    });
    const stop = (): void => {
      pump.stop();
      watch.stop();
      health.stop();
      kill();
      network.closeAll();
    };
    this.#running = { ...made, pump, stop };
    this.#state = 'running';
    network.onWake({ datagrams: () => pump.wake(), streams: () => pump.wakeFully() });
    pump.wake();
  }

  readonly #toxLog = (level: LogLevel, message: string): void => {
    const { logger } = this.#parts;
    if (message.includes(HANG_UP_WORDS)) logger.log('debug', 'the far end of a relay connection hung up');
    else logger.log(level, message);
  };

  #added(added: FriendAdd): Outcome {
    this.#running?.pump.wakeFully();
    switch (added.kind) {
      case 'added':
        return { code: 101, friend: added.friend };
      case 'already':
        return { code: 103, friend: added.friend };
      case 'failed':
        return { code: 102, friend: -1, reason: added.reason };
    }
  }

  #nowMs(): number {
    return this.#parts.machine.timers.nowMs();
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #need(): Running {
    if (this.#running !== undefined) return this.#running;
    throw this.#isClosed() ? closedError() : new TunnelError('ERR_CLOSED', 'this node has not been started');
  }

  #friends(): Friends {
    const { friends } = this.#need();
    if (friends !== undefined) return friends;
    throw new TunnelError('ERR_CLOSED', 'a bootstrap node has no friends: start a tunnel node for that');
  }
}

const HANDSHAKE_CODES: Readonly<Record<SendResult, ReturnCode>> = {
  sent: 201,
  'not-a-friend': 202,
  full: 203,
  failed: 203,
  offline: 204,
};

const HANDSHAKE_REASONS: Readonly<Record<SendResult, string | undefined>> = {
  sent: undefined,
  'not-a-friend': 'there is no such friend: add it first',
  full: 'toxcore holds as many packets for this friend as it takes: try again',
  failed: 'toxcore refused the packet',
  offline: 'the friend is not online: try again when it is',
};

function usesUdp({ udp, proxy }: TunnelStart): boolean {
  return udp && proxy === undefined;
}

function closedError(): TunnelError {
  return new TunnelError('ERR_CLOSED', 'this node has left the network; start a new one');
}
