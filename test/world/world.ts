import type { AccessState } from '../../src/access/access_state.js';
import type { BootstrapAddress } from '../../src/core/tox_network.js';
import type { Identity } from '../../src/state/identity.js';
import { BootstrapNode } from '../../src/tunnel/bootstrap_node.js';
import { Connector } from '../../src/tunnel/connector.js';
import { Listener } from '../../src/tunnel/listener.js';
import { seeded } from '../support/sim_clock.js';
import { CLOSED_PORT, ECHO_PORT, Exchange, type ExchangeShape, Targets } from './load.js';
import { Loop } from './loop.js';
import { type Host, ipHex, ipText, type Line, Net } from './net.js';
import {
  describeFault,
  type EndNumber,
  FAULTS_FROM_MS,
  type Fault,
  type PlaceShape,
  type Plan,
} from './plan.js';
import { SimProcess } from './process.js';

/** How long streams wait for a peer in these worlds. */
const PATIENCE_MS = 20_000;
/** How long an end may believe in a peer that is dead. Source: FRIEND_CONNECTION_TIMEOUT, toxcore, and some seconds. */
const DEAD_PEER_MS = 40_000;
/** Once the network permits, every connector is back within this time. */
export const RECOVERY_MS = 30_000;
/** How long streams may take to end once everybody is back. */
const DRAIN_MS = 30_000;

const CHECK_MS = 1_000;
/** Turns of one process per second when it carries little. */
const MAX_TURNS = 20_000;
const MAX_SOCKETS = 200;

const LISTEN_PORT = 8080;
const CLOSED_LISTEN_PORT = 8081;
const NODE_PORT = 33_445;

interface NodeState {
  readonly host: Host;
  readonly bootstrap: BootstrapAddress;
  identity: Identity;
  process: SimProcess | undefined;
}

interface EndState {
  readonly number: EndNumber;
  readonly shape: PlaceShape;
  readonly host: Host;
  process: SimProcess | undefined;
  tunnel: Listener | Connector | undefined;
  identity: Identity | undefined;
  exchanges: Exchange[];
  /** How many outages want it to be down. */
  down: number;
}

/** What a run showed. */
export interface Outcome {
  readonly plan: Plan;
  /** Broken invariants, each with its time; empty when all held. */
  readonly broken: readonly string[];
  readonly log: readonly string[];
  /** How long each connector took to be of use again, once the network permitted. */
  readonly recoveriesMs: readonly number[];
  /** Virtual time of the run. */
  readonly tookMs: number;
  /** The longest time in which an open stream that was in use delivered nothing. */
  readonly longestSilenceMs: number;
  readonly events: number;
  readonly datagrams: number;
}

/** Runs a planned world to its end. */
export async function runWorld(plan: Plan): Promise<Outcome> {
  const world = new World(plan);
  const onRejection = (error: unknown): void => world.broke(`unhandled rejection: ${stackOf(error)}`);
  process.on('unhandledRejection', onRejection);
  try {
    await world.run();
  } catch (error) {
    world.broke(`exception: ${stackOf(error)}`);
  } finally {
    process.off('unhandledRejection', onRejection);
    world.end();
  }
  return world.outcome();
}

const stackOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

class World {
  readonly #plan: Plan;
  readonly #loop = new Loop();
  readonly #net: Net;
  readonly #random: () => number;
  readonly #log: string[] = [];
  readonly #broken: string[] = [];
  readonly #nodes: NodeState[] = [];
  readonly #ends: EndState[] = [];
  /** The target programs beside the listener that runs now. */
  #targets = new Targets();
  readonly #recoveriesMs: number[] = [];
  /** Processes by the exchange that they began, and when each process died. */
  readonly #owners = new Map<number, SimProcess>();
  readonly #diedAtMs = new Map<SimProcess, number>();
  readonly #everyProcess = new Set<SimProcess>();
  readonly #turnsBefore = new Map<SimProcess, number>();
  #access: AccessState | undefined;
  #ticket = '';
  #seeds = 0;
  #nextId = 1;
  #nextIp = 1;
  #visitors = 0;
  #silenceMs = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#random = seeded(plan.seed);
    this.#net = new Net(this.#loop.clock, seeded(plan.seed + 1));
  }

  broke(what: string): void {
    this.#say(`BROKEN ${what}`);
    if (this.#broken.length < 20) this.#broken.push(`${this.#time()} ${what}`);
  }

  outcome(): Outcome {
    return {
      plan: this.#plan,
      broken: this.#broken,
      log: this.#log,
      recoveriesMs: this.#recoveriesMs,
      tookMs: this.#loop.nowMs,
      longestSilenceMs: this.#silenceMs,
      events: this.#loop.events,
      datagrams: this.#net.datagrams,
    };
  }

  /** Kills whatever still runs. */
  end(): void {
    for (const process of this.#everyProcess) process.kill();
  }

  async run(): Promise<void> {
    await this.#build();
    if (this.#broken.length > 0) return;
    this.#check();
    for (const fault of this.#plan.faults) this.#loop.clock.at(fault.atMs, () => this.#begin(fault));
    await this.#loop.run(FAULTS_FROM_MS);
    for (const { number, exchanges } of this.#ends) {
      if (
        number > 0 &&
        this.#plan.nodes < 10 &&
        !exchanges.some(({ outcome, receivedBytes }) => outcome === 'whole' || receivedBytes > 0)
      )
        this.#say(`end ${number} has not been served before the faults`);
    }
    const overMs = Math.max(FAULTS_FROM_MS, ...this.#plan.faults.map(({ atMs, forMs }) => atMs + forMs));
    await this.#loop.run(overMs);
    this.#say('the network permits everything again');
    await this.#recover();
    await this.#drain();
    await this.#waitForDead();
    await this.#leave();
  }

  // -- building --

  async #build(): Promise<void> {
    for (let number = 0; number < this.#plan.nodes; number++) await this.#buildNode(number);
    for (const [number, shape] of this.#plan.ends.entries()) {
      const host = this.#hostFor(shape);
      this.#ends.push({
        number,
        shape,
        host,
        process: undefined,
        tunnel: undefined,
        identity: undefined,
        exchanges: [],
        down: 0,
      });
    }
    const listener = this.#ends[0]!;
    this.#startEnd(listener);
    const isUp = await this.#loop.run(this.#loop.nowMs + 5_000, () => this.#ticket !== '');
    if (!isUp) this.broke('the listener did not start');
    for (const end of this.#ends.slice(1)) this.#startEnd(end);
  }

  async #buildNode(number: number): Promise<void> {
    const host = this.#net.site({ line: lineOf(5) }).host(this.#freshIp());
    const process = this.#process(host, `node ${number}`);
    let node: BootstrapNode | undefined;
    BootstrapNode.start(
      { port: NODE_PORT, tcpPort: NODE_PORT, lanDiscovery: false, bootstrap: this.#bootstrap() },
      process.machine,
    ).then((started) => {
      node = started;
    }, this.#failed);
    this.#loop.unsettle();
    await this.#loop.run(this.#loop.nowMs + 1_000, () => node !== undefined);
    if (node === undefined) throw new Error('a bootstrap node did not start');
    this.#nodes.push({
      host,
      identity: node.identity,
      process,
      bootstrap: {
        host: ipText(host.ips[0]!),
        port: NODE_PORT,
        key: Buffer.from(node.publicKey, 'hex'),
        tcpPorts: [NODE_PORT],
      },
    });
  }

  /** The nodes that ends and later nodes know from the start. */
  #bootstrap(): BootstrapAddress[] {
    return this.#nodes.slice(0, 3).map(({ bootstrap }) => bootstrap);
  }

  #hostFor(shape: PlaceShape): Host {
    const shared = shape.sharesWith === undefined ? undefined : this.#ends[shape.sharesWith]?.host.site;
    if (shared?.nat !== undefined) return shared.host(ipHex(`192.168.1.${10 + this.#ends.length}`));
    const { nat, natTimeoutMs, hairpin, firewall } = shape;
    const line: Line = {
      delayMs: shape.delayMs,
      jitterMs: shape.jitterMs,
      loss: shape.loss,
      duplicate: shape.duplicate,
      rate: shape.rate === 0 ? Number.POSITIVE_INFINITY : shape.rate,
      queueBytes: 64 * 1024,
    };
    const site = this.#net.site({
      line,
      firewall,
      nat: nat === 'none' ? undefined : { kind: nat, timeoutMs: natTimeoutMs, hairpin },
    });
    if (nat === 'none') {
      const ip = this.#freshIp();
      return shape.ipv6 ? site.host(ip, ipHex(`2001:db8:0:0:0:0:0:${this.#nextIp}`)) : site.host(ip);
    }
    site.setPublicIp(this.#freshIp());
    return site.host(ipHex(`192.168.1.${10 + this.#ends.length}`));
  }

  #freshIp(): string {
    const number = this.#nextIp++;
    return ipHex(`198.51.${100 + (number >> 8)}.${number & 255}`);
  }

  #process(host: Host, name: string): SimProcess {
    const random = seeded(this.#plan.seed * 1_000 + this.#seeds++);
    const made = new SimProcess(this.#loop, host, random, name, (line) => this.#say(`${name}: ${line}`));
    this.#everyProcess.add(made);
    return made;
  }

  readonly #failed = (error: unknown): void => this.broke(`a start failed: ${stackOf(error)}`);

  // -- ends --

  #startEnd(end: EndState): void {
    if (end.process?.isAlive === true) return;
    const own = this.#process(end.host, end.number === 0 ? 'listener' : `connector ${end.number}`);
    end.process = own;
    end.tunnel = undefined;
    end.exchanges = [];
    const common = {
      bootstrap: this.#bootstrap(),
      lanDiscovery:
        end.shape.sharesWith !== undefined ||
        this.#plan.ends.some(({ sharesWith }) => sharesWith === end.number),
      udp: !end.shape.withoutUdp,
      patienceMs: PATIENCE_MS,
      logger: own.logger,
      ...(end.identity === undefined ? {} : { identity: end.identity }),
    };
    this.#say(`${own.name} starts`);
    if (end.number === 0) {
      this.#targets = new Targets();
      this.#targets.serve(own.tcp);
      Listener.start(
        {
          ...common,
          expose: [String(ECHO_PORT)],
          ...(this.#access === undefined ? {} : { access: this.#access }),
        },
        own.machine,
      ).then((listener) => {
        if (end.process !== own) return;
        end.tunnel = listener;
        end.identity = listener.identity;
        this.#access = listener.access.state;
        this.#ticket = listener.ticket;
        this.#watch(listener, own);
      }, this.#failed);
    } else {
      Connector.start({ ...common, remote: this.#ticket }, own.machine).then((connector) => {
        if (end.process !== own) return;
        end.tunnel = connector;
        end.identity = connector.identity;
        this.#watch(connector, own);
        void this.#openForwards(end, connector, own);
      }, this.#failed);
    }
    this.#loop.unsettle();
  }

  #watch(tunnel: Listener | Connector, own: SimProcess): void {
    tunnel.on('network', ({ path }) => this.#say(`${own.name}: network ${path}`));
    tunnel.on('peer', ({ status, path, publicKey }) =>
      this.#say(`${own.name}: ${publicKey.slice(0, 6)} ${status} ${path}`),
    );
    tunnel.on('refused', ({ target, reason }) => this.#say(`${own.name}: refused ${target} ${reason}`));
    tunnel.on('error', (error) => this.broke(`${own.name}: ${stackOf(error)}`));
  }

  async #openForwards(end: EndState, connector: Connector, own: SimProcess): Promise<void> {
    await connector.forward(`${LISTEN_PORT}:localhost:${ECHO_PORT}`);
    await connector.forward(`${CLOSED_LISTEN_PORT}:localhost:${CLOSED_PORT}`);
    const later = (run: () => void, ms: number): void => void own.machine.timers.set(run, ms);
    const isLive = (): boolean => end.process === own && own.isAlive;
    this.#exchange(end, own, { totalBytes: 1_000_000, pieceBytes: 150, everyMs: 300 });
    const bulk = (): void => {
      if (!isLive() || this.#isDraining) return;
      const bytes = 2_000 + Math.floor(this.#random() * 60_000);
      this.#exchange(end, own, { totalBytes: bytes, pieceBytes: 16_384, everyMs: 0 });
      later(bulk, 2_000 + this.#random() * 6_000);
    };
    bulk();
    own.tcp
      .dial(CLOSED_LISTEN_PORT)
      .on('error', () => {})
      .write('x');
  }

  #exchange(end: EndState, own: SimProcess, shape: Omit<ExchangeShape, 'id'>): Exchange {
    const id = this.#nextId++;
    this.#owners.set(id, own);
    const exchange = new Exchange(
      own.tcp.dial(LISTEN_PORT),
      { ...shape, id },
      () => this.#loop.nowMs,
      (run, ms) => void own.machine.timers.set(run, ms),
    );
    this.#loop.unsettle();
    end.exchanges.push(exchange);
    return exchange;
  }

  #kill(end: EndState): void {
    const own = end.process;
    if (own === undefined || !own.isAlive) return;
    this.#say(`${own.name} is killed`);
    this.#died(own);
    end.tunnel = undefined;
    own.kill();
  }

  #died(own: SimProcess): void {
    this.#diedAtMs.set(own, this.#loop.nowMs);
  }

  // -- faults --

  #begin(fault: Fault): void {
    this.#say(`fault at ${describeFault(fault)}`);
    const lift = this.#apply(fault);
    this.#loop.unsettle();
    if (lift === undefined) return;
    this.#loop.clock.after(fault.forMs, () => {
      this.#say(`over: ${fault.kind}`);
      lift();
      this.#loop.unsettle();
    });
  }

  /** @returns what ends the fault */
  #apply(fault: Fault): (() => void) | undefined {
    switch (fault.kind) {
      case 'kill-node':
      case 'freeze-node':
        return this.#nodeFault(fault.kind, this.#nodes[fault.node % this.#nodes.length]!);
      case 'partition': {
        const sites = [...this.#nodes, ...this.#ends].map(({ host }) => host.site);
        for (const site of sites) site.side = this.#random() < 0.5 ? 0 : 1;
        return () => {
          for (const site of sites) site.side = 0;
        };
      }
      case 'visitor':
        this.#visit(fault);
        return undefined;
      default:
        return this.#endFault(fault, this.#ends[fault.end % this.#ends.length]!);
    }
  }

  #nodeFault(kind: 'kill-node' | 'freeze-node', node: NodeState): (() => void) | undefined {
    const own = node.process;
    if (own === undefined) return undefined;
    if (kind === 'freeze-node') {
      own.freeze();
      return () => own.thaw();
    }
    this.#died(own);
    own.kill();
    node.process = undefined;
    return () => {
      if (node.process !== undefined) return;
      node.process = this.#process(node.host, `node ${this.#nodes.indexOf(node)}`);
      BootstrapNode.start(
        {
          port: NODE_PORT,
          tcpPort: NODE_PORT,
          lanDiscovery: false,
          identity: node.identity,
          bootstrap: this.#bootstrap().filter((other) => other !== node.bootstrap),
        },
        node.process.machine,
      ).catch(this.#failed);
    };
  }

  #endFault(
    fault: Exclude<Fault, { kind: 'kill-node' | 'freeze-node' | 'partition' | 'visitor' }>,
    end: EndState,
  ) {
    const { site } = end.host;
    const own = end.process;
    switch (fault.kind) {
      case 'kill':
      case 'stop':
      case 'fresh':
        end.down++;
        if (fault.kind === 'fresh') end.identity = undefined;
        if (fault.kind === 'stop') void this.#stop(end);
        else this.#kill(end);
        return () => {
          if (--end.down === 0) this.#startEnd(end);
        };
      case 'freeze':
        own?.freeze();
        return () => own?.thaw();
      case 'move':
        if (site.nat === undefined) end.host.setIps([this.#freshIp()]);
        else site.setPublicIp(this.#freshIp());
        return undefined;
      case 'cut':
        site.cuts++;
        return () => void site.cuts--;
      case 'no-udp':
        site.udpBlocks++;
        return () => void site.udpBlocks--;
      case 'nat-restart':
        site.restartNat();
        return undefined;
      case 'clock-jump':
        end.host.wallOffsetMs += (this.#random() - 0.5) * 7_200_000;
        return undefined;
      case 'loss': {
        const before = site.line.loss;
        site.line.loss = fault.loss;
        return () => {
          site.line.loss = Math.min(before, end.shape.loss);
        };
      }
      case 'flood':
        return this.#flood(end, fault.forMs);
    }
  }

  async #stop(end: EndState): Promise<void> {
    const { tunnel, process: own } = end;
    if (tunnel === undefined || own === undefined) {
      this.#kill(end);
      return;
    }
    this.#say(`${own.name} leaves politely`);
    end.tunnel = undefined;
    await tunnel.close();
    this.#died(own);
    own.kill();
    if (end.down === 0) this.#startEnd(end);
  }

  /** Junk from a stranger, a thousand datagrams a second. */
  #flood(end: EndState, forMs: number): undefined {
    const stranger = this.#net.site({ line: lineOf(1) }).host(this.#freshIp());
    const { sockets } = end.process ?? {};
    const port = sockets?.udpPort ?? 0;
    const ip = end.host.site.nat === undefined ? end.host.ips[0]! : end.host.site.publicIp;
    for (let ms = 0; ms < Math.min(forMs, 3_000); ms++) {
      this.#loop.clock.after(ms, () => {
        const junk = new Uint8Array(20 + Math.floor(this.#random() * 200));
        for (let i = 0; i < junk.length; i++) junk[i] = this.#random() * 256;
        stranger.sendUdp(1234, junk, { ip, port });
      });
    }
    return undefined;
  }

  /** A short-lived connector with an identity of its own, as a CI job. */
  #visit({ leaves, withoutUdp, forMs }: Extract<Fault, { kind: 'visitor' }>): void {
    const host = this.#net.site({ line: lineOf(5) }).host(this.#freshIp());
    const own = this.#process(host, `visitor ${++this.#visitors}`);
    Connector.start(
      {
        bootstrap: this.#bootstrap(),
        lanDiscovery: false,
        udp: !withoutUdp,
        remote: this.#ticket,
        patienceMs: 0,
      },
      own.machine,
    ).then((connector) => {
      this.#watch(connector, own);
      own.machine.timers.set(() => {
        this.#say(`${own.name} leaves`);
        const gone = (): void => {
          this.#died(own);
          own.kill();
        };
        if (leaves === 'killed') gone();
        else void connector.close().then(gone);
      }, 3_000 + forMs);
    }, this.#failed);
    this.#loop.unsettle();
  }

  // -- checks --

  /** What must hold at any time. */
  #check(): void {
    const { clock } = this.#loop;
    const look = (): void => {
      for (const own of this.#everyProcess) {
        if (!own.isAlive) continue;
        const turns = own.turns - (this.#turnsBefore.get(own) ?? 0);
        this.#turnsBefore.set(own, own.turns);
        if (turns > MAX_TURNS) this.broke(`${own.name} ran ${turns} turns in a second`);
        const sockets = own.sockets?.openSockets ?? 0;
        if (sockets > MAX_SOCKETS) this.broke(`${own.name} has ${sockets} sockets`);
      }
      if (this.#targets.wasBreached) this.broke('a connection reached a port that no rule names');
      this.#targets.wasBreached = false;
      for (const { exchanges } of this.#ends) {
        for (const exchange of exchanges) {
          this.#silenceMs = Math.max(this.#silenceMs, exchange.longestSilenceMs);
          if (exchange.fault !== undefined) this.broke(exchange.fault);
          exchange.fault = undefined;
        }
      }
      clock.after(CHECK_MS, look);
    };
    clock.after(CHECK_MS, look);
  }

  get #isDraining(): boolean {
    return this.#draining;
  }
  #draining = false;

  /** Every connector must carry a fresh stream soon. */
  async #recover(): Promise<void> {
    const fromMs = this.#loop.nowMs;
    const waiting = new Map<EndState, Exchange | undefined>();
    for (const end of this.#ends.slice(1)) waiting.set(end, undefined);
    const probe = (): void => {
      for (const [end, last] of waiting) {
        if (last?.outcome === 'whole') {
          this.#recoveriesMs.push(last.overAtMs - fromMs);
          waiting.delete(end);
        } else if (
          end.process?.isAlive === true &&
          end.tunnel !== undefined &&
          (last === undefined || last.outcome === 'cut')
        ) {
          waiting.set(
            end,
            this.#exchange(end, end.process, { totalBytes: 500, pieceBytes: 500, everyMs: 0 }),
          );
        }
      }
      if (waiting.size > 0) this.#loop.clock.after(50, probe);
    };
    probe();
    const isBack = await this.#loop.run(fromMs + RECOVERY_MS, () => waiting.size === 0);
    if (!isBack) {
      for (const [end, last] of waiting) {
        this.broke(
          `connector ${end.number} is not back after ${RECOVERY_MS} ms (its last stream: ${last?.outcome ?? 'none'})`,
        );
      }
      await this.#loop.run(fromMs + 4 * RECOVERY_MS, () => waiting.size === 0);
      this.#say(waiting.size === 0 ? `all are back after ${this.#loop.nowMs - fromMs} ms` : 'still not back');
      return;
    }
    this.#checkStatus();
  }

  /** What `status` would say must be what is true. */
  #checkStatus(): void {
    const listener = this.#ends[0]!.tunnel;
    for (const { number, tunnel } of this.#ends.slice(1)) {
      const [peer] = tunnel?.peers() ?? [];
      if (peer?.status !== 'online')
        this.broke(`connector ${number} calls the listener ${peer?.status ?? 'unknown'} and uses it`);
      const key = tunnel?.toxId.slice(0, 64);
      const back = listener?.peers().find(({ publicKey }) => publicKey === key);
      if (back?.status !== 'online')
        this.broke(`the listener calls connector ${number} ${back?.status ?? 'unknown'} and serves it`);
    }
  }

  /** Everything that was sent must come back, or both ends must hear of it. */
  async #drain(): Promise<void> {
    this.#draining = true;
    const all = this.#ends.slice(1).flatMap(({ exchanges }) => exchanges);
    for (const exchange of all) exchange.finish();
    this.#loop.unsettle();
    const isOver = await this.#loop.run(this.#loop.nowMs + DRAIN_MS, () =>
      all.every(({ outcome }) => outcome !== 'open'),
    );
    if (isOver) return;
    for (const { outcome, shape, receivedBytes, sentBytes } of all) {
      if (outcome === 'open')
        this.broke(`exchange ${shape.id} hangs: ${receivedBytes} of ${sentBytes} bytes are back`);
    }
  }

  /** Streams of dead processes must have ended. */
  async #waitForDead(): Promise<void> {
    const lastDeathMs = Math.max(0, ...this.#diedAtMs.values());
    const isDead = (): boolean =>
      [...this.#targets.open.values()].every((id) => this.#owners.get(id)?.isAlive === true);
    if (isDead()) return;
    await this.#loop.run(lastDeathMs + PATIENCE_MS + DEAD_PEER_MS, isDead);
    for (const id of this.#targets.open.values()) {
      const own = this.#owners.get(id);
      if (own?.isAlive !== true)
        this.broke(
          `exchange ${id} of ${own?.name ?? 'nobody'}, which is dead, is still open at the listener`,
        );
    }
  }

  /** A polite end leaves nothing open. */
  async #leave(): Promise<void> {
    let left = 0;
    for (const { tunnel } of this.#ends) {
      if (tunnel === undefined) left++;
      else void tunnel.close().then(() => left++);
    }
    this.#loop.unsettle();
    if (!(await this.#loop.run(this.#loop.nowMs + 10_000, () => left === this.#ends.length)))
      this.broke('a tunnel does not close');
    for (const { process: own } of this.#ends) {
      const open = own?.sockets?.openSockets ?? 0;
      if (open > 0) this.broke(`${own?.name} left ${open} sockets open`);
    }
  }

  #time(): string {
    return `${(this.#loop.nowMs / 1000).toFixed(3)} s`;
  }

  #say(line: string): void {
    this.#log.push(`${this.#time()} ${line}`);
  }
}

const lineOf = (delayMs: number): Line => ({
  delayMs,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  rate: Number.POSITIVE_INFINITY,
  queueBytes: 64 * 1024,
});
