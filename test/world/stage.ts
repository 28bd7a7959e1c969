import type { AccessState } from '../../src/access/access_state.js';
import type { BootstrapAddress, Path } from '../../src/core/tox_network.js';
import type { KnownPlace } from '../../src/network/known_places.js';
import type { Identity } from '../../src/state/identity.js';
import { BootstrapNode } from '../../src/tunnel/bootstrap_node.js';
import type { Connector } from '../../src/tunnel/connector.js';
import type { Listener } from '../../src/tunnel/listener.js';
import { TunnelNode } from '../../src/tunnel/tunnel_node.js';
import { seeded } from '../support/sim_clock.js';
import { CLOSED_PORT, ECHO_PORT, Exchange, type ExchangeShape, Targets } from './load.js';
import { Loop } from './loop.js';
import { type Host, ipHex, ipText, type Line, Net } from './net.js';
import type { EndNumber, PlaceShape, Plan } from './plan.js';
import { SimProcess } from './process.js';

/** How long streams wait for a peer in these worlds. */
export const PATIENCE_MS = 20_000;

const LISTEN_PORT = 8080;
const CLOSED_LISTEN_PORT = 8081;
const NODE_PORT = 33_445;

export interface NodeState {
  readonly host: Host;
  readonly bootstrap: BootstrapAddress;
  readonly identity: Identity;
  process: SimProcess | undefined;
}

/** The listener or a connector: its place, and the process that runs there now. */
export interface EndState {
  readonly number: EndNumber;
  readonly shape: PlaceShape;
  readonly host: Host;
  process: SimProcess | undefined;
  /** Undefined while it starts or is down. */
  tunnel: Listener | Connector | undefined;
  identity: Identity | undefined;
  /** Where its peers were last reached: its state, with the identity. */
  places: readonly KnownPlace[];
  exchanges: Exchange[];
  /** How many faults keep it down. */
  down: number;
  /** How many faults keep its disk full: it saves nothing. */
  fullDisks: number;
}

export const stackOf = (error: unknown): string =>
  error instanceof Error ? (error.stack ?? error.message) : String(error);

/** A line without faults. */
export const lineOf = (delayMs: number): Line => ({
  delayMs,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  rate: Number.POSITIVE_INFINITY,
  queueBytes: 64 * 1024,
});

/** The machines of a world, what runs on them, and its load. Everything comes from the plan and its seed. */
export class Stage {
  readonly plan: Plan;
  readonly loop = new Loop();
  readonly net: Net;
  readonly random: () => number;
  readonly log: string[] = [];
  readonly broken: string[] = [];
  readonly nodes: NodeState[] = [];
  readonly ends: EndState[] = [];
  /** The target programs beside the listener that runs now. */
  targets = new Targets();
  /** The process that began each exchange, and when processes died. */
  readonly owners = new Map<number, SimProcess>();
  readonly diedAtMs = new Map<SimProcess, number>();
  readonly everyProcess = new Set<SimProcess>();
  ticket = '';
  /** No client begins anything new. */
  isDraining = false;
  #access: AccessState | undefined;
  #seeds = 0;
  #nextId = 1;
  #nextIp = 1;

  constructor(plan: Plan) {
    this.plan = plan;
    this.random = seeded(plan.seed);
    this.net = new Net(this.loop.clock, seeded(plan.seed + 1));
  }

  broke(what: string): void {
    this.say(`BROKEN ${what}`);
    if (this.broken.length < 20) this.broken.push(`${this.#time()} ${what}`);
  }

  say(line: string): void {
    this.log.push(`${this.#time()} ${line}`);
  }

  async build(): Promise<void> {
    for (let number = 0; number < this.plan.nodes; number++) await this.#buildNode(number);
    for (const [number, shape] of this.plan.ends.entries()) {
      const host = this.#hostFor(shape);
      this.ends.push({
        number,
        shape,
        host,
        process: undefined,
        tunnel: undefined,
        identity: undefined,
        places: [],
        exchanges: [],
        down: 0,
        fullDisks: 0,
      });
    }
    const listener = this.ends[0]!;
    this.startEnd(listener);
    const isUp = await this.loop.run(this.loop.nowMs + 5_000, () => this.ticket !== '');
    if (!isUp) this.broke('the listener did not start');
    for (const end of this.ends.slice(1)) this.startEnd(end);
  }

  async #buildNode(number: number): Promise<void> {
    const host = this.net.site({ line: lineOf(5) }).host(this.freshIp());
    const process = this.process(host, `node ${number}`);
    let node: BootstrapNode | undefined;
    this.#startNode(process, this.bootstrap()).then((started) => {
      node = started;
    }, this.failed);
    this.loop.unsettle();
    await this.loop.run(this.loop.nowMs + 1_000, () => node !== undefined);
    if (node === undefined) throw new Error('a bootstrap node did not start');
    this.nodes.push({
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

  /** Starts a node that was killed again, with its keys. */
  restartNode(node: NodeState): void {
    if (node.process !== undefined) return;
    node.process = this.process(node.host, `node ${this.nodes.indexOf(node)}`);
    const others = this.bootstrap().filter((other) => other !== node.bootstrap);
    this.#startNode(node.process, others, node.identity).catch(this.failed);
  }

  #startNode(
    { machine }: SimProcess,
    bootstrap: readonly BootstrapAddress[],
    identity?: Identity,
  ): Promise<BootstrapNode> {
    const ports = { port: NODE_PORT, tcpPort: NODE_PORT };
    const keys = identity === undefined ? {} : { identity };
    return BootstrapNode.start({ ...ports, ...keys, lanDiscovery: false, bootstrap }, machine);
  }

  /** Starts a connector with a new identity at a new place, as a CI job does. */
  startVisitor(
    name: string,
    udp: boolean,
  ): { readonly own: SimProcess; readonly started: Promise<Connector> } {
    const host = this.net.site({ line: lineOf(5) }).host(this.freshIp());
    const own = this.process(host, name);
    const started = TunnelNode.connect(
      { bootstrap: this.bootstrap(), lanDiscovery: false, udp, remote: this.ticket, patienceMs: 0 },
      own.machine,
    );
    this.loop.unsettle();
    return { own, started };
  }

  /** The nodes that ends and later nodes know from the start. */
  bootstrap(): BootstrapAddress[] {
    return this.nodes.slice(0, 3).map(({ bootstrap }) => bootstrap);
  }

  #hostFor(shape: PlaceShape): Host {
    const shared = shape.sharesWith === undefined ? undefined : this.ends[shape.sharesWith]?.host.site;
    if (shared?.nat !== undefined) return shared.host(ipHex(`192.168.1.${10 + this.ends.length}`));
    const { nat, natTimeoutMs, hairpin, firewall } = shape;
    const line: Line = {
      delayMs: shape.delayMs,
      jitterMs: shape.jitterMs,
      loss: shape.loss,
      duplicate: shape.duplicate,
      rate: shape.rate === 0 ? Number.POSITIVE_INFINITY : shape.rate,
      queueBytes: 64 * 1024,
    };
    const site = this.net.site({
      line,
      firewall,
      nat: nat === 'none' ? undefined : { kind: nat, timeoutMs: natTimeoutMs, hairpin },
    });
    if (nat === 'none') {
      const ip = this.freshIp();
      return shape.ipv6 ? site.host(ip, ipHex(`2001:db8:0:0:0:0:0:${this.#nextIp}`)) : site.host(ip);
    }
    site.setPublicIp(this.freshIp());
    return site.host(ipHex(`192.168.1.${10 + this.ends.length}`));
  }

  freshIp(): string {
    const number = this.#nextIp++;
    return ipHex(`198.51.${100 + (number >> 8)}.${number & 255}`);
  }

  process(host: Host, name: string, driftPpm = 0): SimProcess {
    const random = seeded(this.plan.seed * 1_000 + this.#seeds++);
    const made = new SimProcess(this.loop, host, random, name, driftPpm, (line) =>
      this.say(`${name}: ${line}`),
    );
    this.everyProcess.add(made);
    return made;
  }

  readonly failed = (error: unknown): void => this.broke(`a start failed: ${stackOf(error)}`);

  startEnd(end: EndState): void {
    if (end.process?.isAlive === true) return;
    const name = end.number === 0 ? 'listener' : `connector ${end.number}`;
    const own = this.process(end.host, name, end.shape.driftPpm);
    end.process = own;
    end.tunnel = undefined;
    end.exchanges = [];
    const common = {
      bootstrap: this.bootstrap(),
      lanDiscovery:
        end.shape.sharesWith !== undefined ||
        this.plan.ends.some(({ sharesWith }) => sharesWith === end.number),
      udp: !end.shape.withoutUdp,
      patienceMs: PATIENCE_MS,
      logger: own.logger,
      ...(end.identity === undefined ? {} : { identity: end.identity, places: end.places }),
    };
    this.say(`${own.name} starts`);
    if (end.number === 0) {
      this.targets = new Targets();
      this.targets.serve(own.tcp);
      TunnelNode.listen(
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
        this.ticket = listener.ticket;
        this.watch(listener, own);
      }, this.failed);
    } else {
      TunnelNode.connect({ ...common, remote: this.ticket }, own.machine).then((connector) => {
        if (end.process !== own) return;
        end.tunnel = connector;
        end.identity = connector.identity;
        this.watch(connector, own);
        void this.#openForwards(end, connector, own);
      }, this.failed);
    }
    this.loop.unsettle();
  }

  watch(tunnel: Listener | Connector, own: SimProcess): void {
    tunnel.on('code', ({ code, detail }) =>
      this.say(`${own.name}: code ${code}${detail ? ` (${detail})` : ''}`),
    );
    const onPath = ({ path }: { readonly path: Path }): void => this.say(`${own.name}: network ${path}`);
    tunnel.node.on('online', onPath).on('path', onPath);
    tunnel.node.on('offline', () => this.say(`${own.name}: network none`));
    tunnel.on('peer', ({ status, path, publicKey }) =>
      this.say(`${own.name}: ${publicKey.slice(0, 6)} ${status} ${path}`),
    );
    tunnel.on('refused', ({ target, reason }) => this.say(`${own.name}: refused ${target} ${reason}`));
    tunnel.node.on('places', () => {
      const end = this.ends.find(({ process }) => process === own);
      if (end?.fullDisks === 0) end.places = tunnel.node.places;
    });
    tunnel.on('error', (error) => this.broke(`${own.name}: ${stackOf(error)}`));
  }

  async #openForwards(end: EndState, connector: Connector, own: SimProcess): Promise<void> {
    await connector.forward(`${LISTEN_PORT}:localhost:${ECHO_PORT}`);
    await connector.forward(`${CLOSED_LISTEN_PORT}:localhost:${CLOSED_PORT}`);
    const later = (run: () => void, ms: number): void => void own.machine.timers.set(run, ms);
    const isLive = (): boolean => end.process === own && own.isAlive;
    this.exchange(end, own, { totalBytes: 1_000_000, pieceBytes: 150, everyMs: 300 });
    const bulk = (): void => {
      if (!isLive() || this.isDraining) return;
      // A large one fills the ring between the threads.
      const isLarge = this.random() < 0.08;
      const bytes = isLarge ? 500_000 : 2_000 + Math.floor(this.random() * 60_000);
      this.exchange(end, own, { totalBytes: bytes, pieceBytes: 16_384, everyMs: 0 });
      later(bulk, 2_000 + this.random() * 6_000);
    };
    bulk();
    own.tcp
      .dial(CLOSED_LISTEN_PORT)
      .on('error', () => {})
      .write('x');
  }

  exchange(end: EndState, own: SimProcess, shape: Omit<ExchangeShape, 'id'>): Exchange {
    const id = this.#nextId++;
    this.owners.set(id, own);
    const exchange = new Exchange(
      own.tcp.dial(LISTEN_PORT),
      { ...shape, id },
      () => this.loop.nowMs,
      (run, ms) => void own.machine.timers.set(run, ms),
    );
    this.loop.unsettle();
    end.exchanges.push(exchange);
    return exchange;
  }

  kill(end: EndState): void {
    const own = end.process;
    if (own === undefined || !own.isAlive) return;
    this.say(`${own.name} is killed`);
    this.died(own);
    end.tunnel = undefined;
    own.kill();
  }

  died(own: SimProcess): void {
    this.diedAtMs.set(own, this.loop.nowMs);
  }

  /** Leaves the network politely, and then ends the process. */
  async stop(end: EndState): Promise<void> {
    const { tunnel, process: own } = end;
    if (tunnel === undefined || own === undefined) {
      this.kill(end);
      return;
    }
    this.say(`${own.name} leaves politely`);
    end.tunnel = undefined;
    await tunnel.close();
    this.died(own);
    own.kill();
    if (end.down === 0) this.startEnd(end);
  }

  #time(): string {
    return `${(this.loop.nowMs / 1000).toFixed(3)} s`;
  }
}
