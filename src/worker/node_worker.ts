import type {
  Answer,
  ChannelId,
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
import type { LogLevel } from '../core/logger.js';
import type { BootstrapAddress, FriendNumber } from '../core/tox_network.js';
import { FLAG_LOSSY, FLAG_URGENT } from '../ring/record.js';
import type { SideHandlers } from '../ring/side.js';
import { AddressWatch } from './address_watch.js';
import { joinBy, joinThroughProxy } from './bootstrap.js';
import type { CreateChannel } from './channel/channel.js';
import type { ChannelSet } from './channel_set.js';
import type { NetworkPlan, NodeNetwork } from './net/node_network.js';
import type { Resolver } from './net/resolve.js';
import { HANG_UP_WORDS } from './net/tcp_sockets.js';
import { Pump, type Pumped } from './pump.js';
import { StatsLog } from './stats_log.js';
import type { BootstrapNode, Host, ToxModule } from './tox/tox.js';
import { TunnelNode } from './tunnel_node.js';

/** The worker's end of the rings, as far as it is used here: {@link ../ring/worker_side.WorkerSide}. */
export interface WorkerRings {
  run(handlers: SideHandlers): void;
  tryWrite(channel: ChannelId, flags: number, frame: Uint8Array): boolean;
  drained(channel: ChannelId, bytes: number): void;
  /** Wakes the main thread at most once for all that `turn` does. */
  inOneTurn(turn: () => void): void;
  close(): void;
}

/** What the worker is made of; handed in, so that tests hand in others. */
export interface NodeWorkerParts {
  readonly rings: WorkerRings;
  readonly timers: Timers;
  readonly nextTurn: (callback: () => void) => void;
  wallMs(): number;
  random(into: Uint8Array): void;
  openNetwork(plan: NetworkPlan): Promise<NodeNetwork>;
  /** @throws {TunnelError} ERR_WASM_MISSING */
  loadTox(host: Host): Promise<Instances>;
  readonly resolver: Resolver;
  readonly createChannel: CreateChannel;
  /** Numeric addresses that this machine has now; undefined when the system cannot tell. */
  localAddresses(): readonly string[] | undefined;
  tell(event: WorkerEvent): void;
  log(level: LogLevel, message: string): void;
  /** Whether debug lines are wanted: they cost time. */
  readonly debugs: boolean;
  /** A fault of ours or of the wasm: ends the thread with this error, not within this call. */
  die(error: unknown): void;
  /** The node has left the network: ends the thread, not within this call. */
  done(): void;
}

/** How often a bootstrap node does its work when nothing comes: what tox-bootstrapd does about. */
const BOOTSTRAP_INTERVAL_MS = 50;

/**
 * Limits of one address at the relay: a sixteenth of what is free, so that only many addresses together can use up the
 * relay; still more than the clients behind one NAT need.
 */
const STRANGERS = { ratioToFree: 1 / 16, most: 256 } as const;

/** What is used of the wasm. */
export type Instances = Pick<ToxModule, 'createTox' | 'createBootstrapNode' | 'memoryBytes'>;

interface Running {
  readonly network: NodeNetwork;
  readonly module: Instances;
  readonly pump: Pump;
  readonly watch: AddressWatch;
  readonly joins: Pick<BootstrapNode, 'bootstrap'> & {
    addRelay?(ip: string, port: number, key: Uint8Array): boolean;
  };
  readonly tunnel: TunnelNode | undefined;
  kill(): void;
}

/** The worker thread's side of the contract: one node, driven by its pump. */
export class NodeWorker implements WorkerApi {
  readonly #parts: NodeWorkerParts;
  #state: 'new' | 'starting' | 'running' | 'closed' = 'new';
  #running: Running | undefined;

  constructor(parts: NodeWorkerParts) {
    this.#parts = parts;
  }

  start(options: StartOptions): Promise<Answer<Started>> {
    return this.#answerLater(async () => {
      if (this.#state !== 'new') throw new TunnelError('ERR_TOX_START', 'this worker has started before');
      this.#state = 'starting';
      const network = await this.#parts.openNetwork({
        udp: options.kind === 'bootstrap' || usesUdp(options),
        proxy: options.kind === 'bootstrap' ? undefined : options.proxy,
        udpPorts: options.udpPorts,
        bindAddress: options.bindAddress,
        tcpPort: options.kind === 'bootstrap' ? options.tcpPort : undefined,
        descriptors: this.#descriptorsFor(options),
      });
      try {
        const { timers, wallMs, random } = this.#parts;
        const module = await this.#parts.loadTox({ network, nowMs: () => timers.nowMs(), wallMs, random });
        if (this.#closed()) throw closedError();
        return options.kind === 'tunnel'
          ? this.#startTunnel(options, network, module)
          : this.#startBootstrap(options, network, module);
      } catch (error) {
        network.closeAll();
        throw error;
      }
    });
  }

  bootstrap(nodes: readonly BootstrapAddress[]): Promise<Answer<{ readonly failed: readonly string[] }>> {
    return this.#answerLater(async () => {
      const { network } = this.#need();
      const { names } = network;
      const failed =
        names === undefined
          ? await joinBy(nodes, this.#parts.resolver, () => this.#need().joins)
          : joinThroughProxy(nodes, names, this.#need().joins);
      for (const line of failed) this.#parts.log('warn', `bootstrap node left out: ${line}`);
      this.#running?.pump.wakeFully();
      return { failed: network.proxyTrouble === undefined ? failed : [network.proxyTrouble, ...failed] };
    });
  }

  addFriend(address: Uint8Array, message: Uint8Array): Answer<Outcome> {
    return this.#answer(() => this.#tunnel().addFriend(address, message));
  }

  admitRequests(admission: RequestAdmission): Answer<boolean> {
    return this.#answer(() => {
      this.#tunnel().admitRequests(admission);
      return true;
    });
  }

  acceptFriend(publicKey: Uint8Array): Answer<Outcome> {
    return this.#answer(() => this.#tunnel().acceptFriend(publicKey));
  }

  removeFriend(friend: FriendNumber): Answer<boolean> {
    return this.#answer(() => this.#tunnel().removeFriend(friend));
  }

  sendHandshake(friend: FriendNumber, packet: Uint8Array): Answer<Outcome> {
    return this.#answer(() => this.#tunnel().sendHandshake(friend, packet));
  }

  openChannel(channel: ChannelId, friend: FriendNumber, frameBytes: number, tag: number): Answer<boolean> {
    return this.#answer(() => this.#tunnel().openChannel(channel, friend, frameBytes, tag));
  }

  closeChannel(channel: ChannelId): Answer<boolean> {
    return this.#answer(() => this.#tunnel().channels.close(channel));
  }

  channelStats(channel: ChannelId): Answer<ChannelStats | undefined> {
    return this.#answer(() => this.#tunnel().channelStats(channel));
  }

  stats(): Answer<WorkerStats> {
    return this.#answer(() => {
      const { network, module, pump } = this.#need();
      return { wasmMemoryBytes: module.memoryBytes(), ...network.stats, iterations: pump.iterations };
    });
  }

  seenAddresses(): Answer<readonly SeenAddress[]> {
    return this.#answer(() => {
      const seen = this.#tunnel().tox.seenAddresses();
      // It may have asked.
      this.#running?.pump.wake();
      return seen;
    });
  }

  close(): Answer<boolean> {
    return this.#answer(() => {
      if (this.#closed()) return false;
      this.#state = 'closed';
      this.#parts.done();
      const running = this.#running;
      this.#running = undefined;
      this.#parts.rings.close();
      if (running === undefined) return true;
      running.pump.stop();
      running.watch.stop();
      running.kill();
      running.network.closeAll();
      return true;
    });
  }

  #descriptorsFor({ tcpConnections }: StartOptions): DescriptorShare | undefined {
    if (tcpConnections === undefined) return undefined;
    const { timers, log } = this.#parts;
    const budget = new DescriptorBudget(tcpConnections.most, tcpConnections.fileLimit);
    return new Descriptors(budget, { log: (level, message) => log(level, message) }, timers).share({
      perAddress: STRANGERS,
    });
  }

  #startTunnel(
    options: Extract<StartOptions, { kind: 'tunnel' }>,
    network: NodeNetwork,
    module: Instances,
  ): Started {
    const { rings, timers, tell, random, nextTurn, createChannel } = this.#parts;
    const tunnel = new TunnelNode(
      {
        nowMs: () => timers.nowMs(),
        random32: () => {
          const bytes = new Uint8Array(4);
          random(bytes);
          return new DataView(bytes.buffer).getUint32(0);
        },
        tell,
        log: this.#toxLog,
        createChannel,
        deliver: (channel, frame) => rings.tryWrite(channel, 0, frame),
        drained: (channel, bytes) => rings.drained(channel, bytes),
        later: (callback) => {
          nextTurn(() => {
            if (this.#state === 'running') callback();
          });
        },
        wake: () => this.#running?.pump.wake(),
        wakeFully: () => this.#running?.pump.wakeFully(),
      },
      module,
      options,
      network,
    );
    const { tox, channels } = tunnel;
    const statsLog = this.#parts.debugs ? this.#logStats(channels, network) : undefined;
    const kill = (): void => {
      statsLog?.stop();
      tox.kill();
    };
    this.#run({ network, module, joins: tunnel, tunnel, kill }, tox, channels);
    return {
      address: new Uint8Array(tox.address),
      publicKey: new Uint8Array(tox.publicKey),
      secretKey: new Uint8Array(tox.secretKey),
      dhtKey: new Uint8Array(tox.dhtId),
      udpPort: network.udpPort,
      tcpPort: 0,
    };
  }

  #logStats(channels: ChannelSet, network: NodeNetwork): StatsLog {
    const { timers, log } = this.#parts;
    return new StatsLog({
      timers,
      log,
      channels: () => channels.stats(timers.nowMs()),
      others: () => network.stats,
    });
  }

  #startBootstrap(
    options: Extract<StartOptions, { kind: 'bootstrap' }>,
    network: NodeNetwork,
    module: Instances,
  ): Started {
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
    this.#run(
      { network, module, joins: node, tunnel: undefined, kill: () => node.kill() },
      pumped,
      noChannels,
    );
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
    made: Omit<Running, 'pump' | 'watch'>,
    instance: Pumped,
    channels: { pump(nowMs: number): number },
  ): void {
    const { timers, nextTurn, rings } = this.#parts;
    const pump = new Pump({
      instance,
      network: made.network,
      channels,
      timers,
      nextTurn: (turn) => nextTurn(() => rings.inOneTurn(turn)),
    });
    const watch = new AddressWatch({
      timers,
      addresses: () => this.#parts.localAddresses(),
      gone: (present) => {
        this.#parts.log('info', 'an address of this machine is gone: relays are connected to anew');
        made.network.leaveOtherAddresses(present);
      },
    });
    this.#running = { ...made, pump, watch };
    this.#state = 'running';
    made.network.onWake({ datagrams: () => pump.wake(), streams: () => pump.wakeFully() });
    rings.run({
      frame: (channel, flags, bytes, offset, length) => {
        const frame = bytes.subarray(offset, offset + length);
        const urgent = (flags & FLAG_URGENT) !== 0;
        const lossy = (flags & FLAG_LOSSY) !== 0;
        const taken = made.tunnel?.channels.send(channel, frame, urgent, timers.nowMs(), lossy) ?? false;
        // The channel is gone: its bytes are given back, or the next channel of the slot would stall.
        if (!taken) rings.drained(channel, length);
        return true;
      },
      ringRoom: () => made.tunnel?.channels.roomAbove(),
    });
    pump.wake();
  }

  readonly #toxLog = (level: LogLevel, message: string): void => {
    if (message.includes(HANG_UP_WORDS))
      this.#parts.log('debug', 'the far end of a relay connection hung up');
    else this.#parts.log(level, message);
  };

  #closed(): boolean {
    return this.#state === 'closed';
  }

  #need(): Running {
    if (this.#running !== undefined) return this.#running;
    throw this.#closed() ? closedError() : new TunnelError('ERR_CLOSED', 'this node has not been started');
  }

  #tunnel(): TunnelNode {
    const { tunnel } = this.#need();
    if (tunnel !== undefined) return tunnel;
    throw new TunnelError('ERR_CLOSED', 'a bootstrap node has no friends: start a tunnel node for that');
  }

  #answer<T>(work: () => T): Answer<T> {
    try {
      return { ok: true, value: work() };
    } catch (error) {
      return this.#refuse(error);
    }
  }

  async #answerLater<T>(work: () => Promise<T>): Promise<Answer<T>> {
    try {
      return { ok: true, value: await work() };
    } catch (error) {
      return this.#refuse(error);
    }
  }

  /** A refusal on purpose is answered; anything else is the end of this thread. */
  #refuse(error: unknown): { readonly ok: false; readonly error: ReturnType<TunnelError['toWire']> } {
    const onPurpose = TunnelError.is(error) && error.code !== 'ERR_TOX_CRASHED';
    if (onPurpose) return { ok: false, error: error.toWire() };
    this.#running?.pump.stop();
    this.#parts.die(error);
    return { ok: false, error: new TunnelError('ERR_WORKER_DIED', String(error), { cause: error }).toWire() };
  }
}

function usesUdp({ udp, proxy }: Extract<StartOptions, { kind: 'tunnel' }>): boolean {
  return udp && proxy === undefined;
}

function closedError(): TunnelError {
  return new TunnelError('ERR_CLOSED', 'this node has left the network; start a new one');
}
