import { randomBytes } from 'node:crypto';
import { EventEmitter } from 'node:events';
import { type Duplex, PassThrough, Readable, Writable } from 'node:stream';
import { setTimeout as nextMillisecond, setImmediate as nextTurn } from 'node:timers/promises';
import { AccessPolicy } from '../../src/access/policy.js';
import { formatTicket } from '../../src/access/ticket.js';
import type { NodeHealth } from '../../src/bridge/contract.js';
import type { EndSignal } from '../../src/cli/process/exit_codes.js';
import type { CliIo, LocalAddress, ProgramCall, RunningProgram } from '../../src/cli/process/io.js';
import type {
  BootstrapNodeHandle,
  ConnectorHandle,
  ForwardHandle,
  Library,
  ListenerHandle,
  NodeHandle,
  ProxyOptions,
  ReverseHandle,
} from '../../src/cli/process/library.js';
import { run } from '../../src/cli/run.js';
import type {
  BootstrapAddress,
  BootstrapNodeEvents,
  BootstrapNodeOptions,
  DialOptions,
  ListenOptions,
  NodeEvents,
  NodeOptions,
  PeerInfo,
  RoleOptions,
  TunnelEvents,
  TunnelStats,
} from '../../src/index.js';
import type { KnownPlace } from '../../src/network/known_places.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { isPath, printEndpoint } from '../../src/rules/endpoint.js';
import type { Rule } from '../../src/rules/expose.js';
import type { ReverseSpec, UdpSpec } from '../../src/rules/forward_spec.js';
import { type LocalSpec, printBind } from '../../src/rules/forward_spec.js';
import type { ReverseRule } from '../../src/rules/reverse_rule.js';
import { ReverseBook, RuleBook } from '../../src/rules/rule_book.js';
import { createIdentity, type Identity, publicKeyOf, toxIdOf } from '../../src/state/identity.js';
import { TempFolder } from './temp_folder.js';

/** A parsed event line; each test knows its fields. */
export interface TestEvent {
  event?: unknown;
  code?: unknown;
  message?: unknown;
  count?: unknown;
}

/** A writable that keeps its text; a test can make it fail or stall. */
export class TextSink extends Writable {
  text = '';
  /** Pretends to be a terminal. */
  isTTY = false;
  columns = 80;
  failure: Error | undefined;
  stalled = false;
  #waiting: (() => void) | undefined;

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.failure !== undefined) {
      done(this.failure);
      return;
    }
    if (this.stalled) {
      this.#waiting = () => {
        this.text += chunk.toString();
        done();
      };
      return;
    }
    this.text += chunk.toString();
    done();
  }

  resume(): void {
    this.stalled = false;
    this.#waiting?.();
  }

  get lines(): string[] {
    return this.text.split('\n').slice(0, -1);
  }

  /** The lines as JSON objects, without the time, which is checked here. */
  get events(): TestEvent[] {
    return this.lines.map((line) => {
      const { time, ...event }: TestEvent & { time?: unknown } = JSON.parse(line);
      if (typeof time !== 'string' || new Date(time).toISOString() !== time)
        throw new Error(`not an ISO time: ${line}`);
      return event;
    });
  }
}

/** Fakes the Tox node of a tunnel. */
export class FakeTunnelNode extends EventEmitter<NodeEvents> implements NodeHandle {
  path: NodeHandle['path'] = 'udp';
  readonly health: NodeHealth = { wasmMemoryBytes: 4_000_000, strangersDropped: 17 };
  places: readonly KnownPlace[] = [];

  onDatagrams: NodeHandle['datagrams'] = async () => ({ received: 0, sent: 9 });

  datagrams(): ReturnType<NodeHandle['datagrams']> {
    return this.onDatagrams();
  }

  onSeenAddresses: NodeHandle['seenAddresses'] = async () => ({ udpPort: 33445, seen: [] });

  seenAddresses(): ReturnType<NodeHandle['seenAddresses']> {
    return this.onSeenAddresses();
  }
}

/** Fakes a listener, a connector and a bootstrap node. */
export class FakeTunnel extends EventEmitter<TunnelEvents> implements ConnectorHandle {
  readonly identity: Identity;
  readonly toxId: string;
  readonly publicKey: string;
  readonly udpPort = 33445;
  readonly tcpPort = 33446;
  readonly forwards: LocalSpec[] = [];
  readonly dynamics: ProxyOptions[] = [];
  readonly dials: DialOptions[] = [];
  readonly reverses: ReverseSpec[] = [];
  readonly udpForwards: UdpSpec[] = [];
  /** The address on which the listener opened each `-R` port. */
  readonly opened = new Map<ReverseSpec, string>();
  /** The addresses of forwards that were closed. */
  readonly closed: string[] = [];
  readonly node = new FakeTunnelNode();
  onDial: () => Duplex = () => new PassThrough();
  closes = 0;
  rules = new RuleBook();
  reverseRules = new ReverseBook();
  friends: PeerInfo[] = [];
  /** The requests about peers, with their keys. */
  readonly asked: string[] = [];
  /** What `forward` does with a local port; throws to refuse it. */
  onForward: (spec: LocalSpec) => Omit<ForwardHandle, 'close'> = ({ bind, target }) => ({
    local: printEndpoint(isPath(bind) || bind.port > 0 ? bind : { ...bind, port: 40001 }),
    target: printEndpoint(target),
  });
  onClose: () => Promise<void> = async () => {};

  constructor(identity: Identity = createIdentity()) {
    super();
    this.identity = identity;
    this.toxId = toxIdOf(identity);
    this.publicKey = Buffer.from(publicKeyOf(identity.secretKey)).toString('hex');
  }

  async forward(spec: LocalSpec): Promise<ForwardHandle> {
    const made = this.onForward(spec);
    this.forwards.push(spec);
    return { ...made, close: () => this.closed.push(made.local) };
  }

  async dynamic(options: ProxyOptions): Promise<ForwardHandle> {
    this.dynamics.push(options);
    const local = `${options.bind.host}:${options.bind.port === 0 ? 40002 : options.bind.port}`;
    return { local, target: '*', close: () => this.closed.push(local) };
  }

  dial(options: DialOptions): Duplex {
    this.dials.push(options);
    return this.onDial();
  }

  async udpForward(spec: UdpSpec): Promise<ForwardHandle> {
    this.udpForwards.push(spec);
    const local = printEndpoint(spec.bind);
    return { local, target: printEndpoint(spec.target), close: () => this.closed.push(local) };
  }

  reverse(spec: ReverseSpec): ReverseHandle {
    this.reverses.push(spec);
    const { opened } = this;
    return {
      get remote() {
        return opened.get(spec);
      },
      target: printEndpoint(spec.target),
      close: () => this.closed.push(`-R ${printBind(spec.bind)}`),
    };
  }

  /** Reports that the listener has opened a port of `-R`. */
  openReverse(spec: ReverseSpec, listen: string): void {
    this.opened.set(spec, listen);
    this.emit('reverse', { status: 'open', listen, target: printEndpoint(spec.target), peer: '' });
  }

  /** Reports that the peer is online. */
  comeOnline(peer: PeerInfo): void {
    this.friends = [peer];
    this.emit('peer', { status: 'online', path: 'udp', code: 301, publicKey: peer.publicKey });
  }

  onPing: ConnectorHandle['ping'] = async () => ({ roundTripMs: 12.34, path: 'udp' });

  ping(): ReturnType<ConnectorHandle['ping']> {
    return this.onPing();
  }

  stats(): TunnelStats {
    return { bytesIn: 1234, bytesOut: 56_000_000, datagramsIn: 0, datagramsOut: 0, datagramsDropped: 0 };
  }

  peers(): PeerInfo[] {
    return this.friends;
  }

  async removePeer(publicKey: string): Promise<boolean> {
    this.asked.push(`remove ${publicKey}`);
    return this.friends.some((friend) => friend.publicKey === publicKey);
  }

  async denyPeer(publicKey: string): Promise<boolean> {
    this.asked.push(`deny ${publicKey}`);
    return true;
  }

  allowPeer(publicKey: string): boolean {
    this.asked.push(`allow ${publicKey}`);
    return this.asked.includes(`deny ${publicKey}`);
  }

  async close(): Promise<void> {
    this.closes++;
    await this.onClose();
  }
}

/** Adds what a listener has on top of a tunnel. */
function asListener(
  tunnel: FakeTunnel,
  { access: state, allowPeers = [] }: ListenOptions,
): FakeTunnel & ListenerHandle {
  const access = new AccessPolicy({
    // The command passes parsed values.
    allowPeers: allowPeers.filter((peer) => typeof peer !== 'string'),
    ...(state === undefined ? {} : { state }),
    wallMs: () => Date.parse('2026-01-02T03:04:05.678Z'),
    newSecret: () => Uint8Array.from(randomBytes(32)),
  });
  access.on('changed', () => tunnel.emit('access'));
  const ticketOf = (name: string): string | undefined => {
    const secret = access.secretOf(name);
    return secret && formatTicket({ toxId: parseToxId(tunnel.toxId), secret });
  };
  return Object.assign(tunnel, { access, ticketOf, ticket: ticketOf('default') ?? '' });
}

/** What a bootstrap node has: no node of its own, which would make it a tunnel. */
function asBootstrapNode(tunnel: FakeTunnel): BootstrapNodeHandle {
  const { identity, publicKey, udpPort, tcpPort } = tunnel;
  const close = (): Promise<void> => tunnel.close();
  return Object.assign(new EventEmitter<BootstrapNodeEvents>(), {
    identity,
    publicKey,
    udpPort,
    tcpPort,
    close,
  });
}

export interface Call {
  readonly what: 'listen' | 'connect' | 'node';
  // The options that the command passed, already parsed; tests compare parts of them.
  readonly options: Omit<NodeOptions & RoleOptions & BootstrapNodeOptions, 'bootstrap' | 'identity'> & {
    readonly identity?: Identity;
    readonly bootstrap?: readonly BootstrapAddress[];
    readonly expose?: readonly Rule[] | 'loopback';
    readonly remote?: unknown;
    readonly allowPeers?: unknown;
    readonly denyPeers?: unknown;
    readonly allowReverse?: readonly ReverseRule[];
  };
}

/** A program that exits when the test tells it to. */
export class FakeProgram implements RunningProgram {
  readonly call: ProgramCall;
  readonly variables: Readonly<Record<string, string>>;
  readonly signals: EndSignal[] = [];
  readonly ended: Promise<number>;
  end: (code: number) => void = () => {};
  /** Whether SIGTERM ends it, with code 143. */
  isObedient = false;

  constructor(call: ProgramCall, variables: Readonly<Record<string, string>>) {
    this.call = call;
    this.variables = variables;
    this.ended = new Promise((resolve) => {
      this.end = resolve;
    });
  }

  kill(signal: EndSignal): void {
    this.signals.push(signal);
    if (this.isObedient && signal === 'SIGTERM') this.end(143);
  }
}

/** The folder for all benches of a test file; each bench has its own state folder in it. */
const folders = new TempFolder();
process.once('exit', () => folders.remove());
let benches = 0;

/** Far longer than anything here takes, in milliseconds. */
const GIVE_UP_MS = 30_000;

/** A command line in a simulated environment. */
export class CliBench {
  readonly stdout = new TextSink();
  readonly stderr = new TextSink();
  stdin: Readable = Readable.from([]);
  readonly env = new Map<string, string>();
  readonly calls: Call[] = [];
  readonly exits: number[] = [];
  readonly handlers = new Map<EndSignal, () => void>();
  #tunnel: (FakeTunnel & { readonly ticket?: string }) | undefined;
  /** What a start does; a test can make it fail or wait. */
  onStart: (call: Call) => Promise<FakeTunnel> = async ({ options }) => {
    if (options.identity !== undefined) this.tunnel = new FakeTunnel(options.identity);
    const { expose } = options;
    this.tunnel.rules = expose === 'loopback' ? new RuleBook([], true) : new RuleBook(expose);
    this.tunnel.reverseRules = new ReverseBook(options.allowReverse);
    this.tunnel.reverseRules.onChange(() => this.tunnel.rules.closeDefault());
    return this.tunnel;
  };
  /** What a look-up of a name does. */
  onLookUp: (name: string) => Promise<unknown> = async () => {};
  /** Why there is no route to an address. */
  onRoute: (address: string) => Error | undefined = () => undefined;
  addresses: LocalAddress[] = [{ address: '127.0.0.1', family: 'IPv4', internal: true }];
  answeringPorts: number[] = [];
  /** Does not exist until something is stored there. */
  stateFolder: string;
  pid = process.pid;
  /** The programs that were started. */
  readonly programs: FakeProgram[] = [];
  /** The error with which starting a program fails. */
  programError: Error | undefined;
  ownCommand = ['/usr/bin/node', '/usr/bin/tox-wasm-tunnel'];
  platform: NodeJS.Platform = 'linux';
  isRoot = false;
  hasTerminal = true;
  isPlain = false;
  unitFolder = '/nowhere/units';
  nowMs = 0;
  #ended = false;
  timers: Array<{ callback: () => void; delayMs: number; dueMs: number }> = [];

  /** @param stateFolder shared by several command lines; by default each has its own */
  constructor(stateFolder = folders.file(String(benches++))) {
    this.stateFolder = stateFolder;
  }

  /** The tunnel started last; it has a `ticket` once it listens. Made when needed: its keys are half of a quick command. */
  get tunnel(): FakeTunnel & { readonly ticket?: string } {
    this.#tunnel ??= new FakeTunnel();
    return this.#tunnel;
  }

  set tunnel(tunnel: FakeTunnel & { readonly ticket?: string }) {
    this.#tunnel = tunnel;
  }

  get io(): CliIo {
    // The command line passes parsed values, never their texts.
    const start = (what: Call['what']) => (options: object) => {
      const call = { what, options: options as Call['options'] };
      this.calls.push(call);
      return this.onStart(call);
    };
    const listen = start('listen');
    const library: Library = {
      listen: async (options) => asListener(await listen(options), options),
      connect: start('connect'),
      createBootstrapNode: (options) => start('node')(options).then(asBootstrapNode),
    };
    return {
      stdin: this.stdin,
      stdout: this.stdout,
      stderr: this.stderr,
      timers: {
        nowMs: () => this.nowMs,
        set: (callback, delayMs) => {
          const timer = { callback, delayMs, dueMs: this.nowMs + delayMs };
          this.timers.push(timer);
          return timer;
        },
        clear: (handle) => {
          this.timers = this.timers.filter((timer) => timer !== handle);
        },
      },
      wallClock: () => new Date('2026-01-02T03:04:05.678Z'),
      onSignal: (signal, handler) => {
        this.handlers.set(signal, handler);
        return () => {
          this.handlers.delete(signal);
        };
      },
      endStdout: async () => {
        this.stdout.end();
      },
      flushOutput: () => new Promise((resolve) => setImmediate(resolve)),
      pid: this.pid,
      startProgram: async (call, variables) => {
        if (this.programError !== undefined) throw this.programError;
        const program = new FakeProgram(call, variables);
        this.programs.push(program);
        return program;
      },
      ownCommand: this.ownCommand,
      platform: this.platform,
      isRoot: this.isRoot,
      unitFolder: async (scope) => `${this.unitFolder}/${scope}`,
      hasTerminal: this.hasTerminal,
      isPlain: this.isPlain,
      exit: (code) => {
        this.exits.push(code);
      },
      takeEnv: (name) => {
        const value = this.env.get(name);
        this.env.delete(name);
        return value;
      },
      stateFolder: async () => this.stateFolder,
      localAddresses: () => this.addresses,
      answeringPorts: async () => this.answeringPorts,
      lookUp: (name) => this.onLookUp(name),
      routeError: async (address) => this.onRoute(address),
      loadLibrary: async () => library,
    };
  }

  signal(signal: EndSignal = 'SIGINT'): void {
    this.handlers.get(signal)?.();
  }

  /** Runs a command to its end. */
  async run(...args: string[]): Promise<number> {
    this.#ended = false;
    try {
      return await run(args, this.io);
    } finally {
      this.#ended = true;
    }
  }

  /** Starts a command and waits until `text` appears on either output. */
  async start(text: RegExp, ...args: string[]): Promise<{ ended: Promise<number> }> {
    const ended = this.run(...args);
    await this.shown(text);
    if (!text.test(this.stdout.text + this.stderr.text)) {
      throw new Error(`ended with ${await ended} before ${text}: ${this.stdout.text}${this.stderr.text}`);
    }
    return { ended };
  }

  /** Advances the clock to the next timer and calls it. */
  tick(): void {
    const next = this.timers.reduce((first, timer) => (timer.dueMs < first.dueMs ? timer : first));
    this.timers = this.timers.filter((timer) => timer !== next);
    this.nowMs = Math.max(this.nowMs, next.dueMs);
    next.callback();
  }

  /** Advances the clock, and calls every timer that is due by then. */
  pass(ms: number): void {
    const untilMs = this.nowMs + ms;
    while (this.timers.some(({ dueMs }) => dueMs <= untilMs)) this.tick();
    this.nowMs = untilMs;
  }

  /** Resolves once `text` appears on either output. */
  shown(text: RegExp): Promise<void> {
    return this.until(() => text.test(this.stdout.text + this.stderr.text));
  }

  /** Yields to the event loop until `condition` holds; gives up in the end, so that no test hangs. */
  async until(condition: () => boolean): Promise<void> {
    const lastMs = performance.now() + GIVE_UP_MS;
    for (let turns = 0; !condition(); turns++) {
      if (this.#ended) return;
      if (performance.now() > lastMs)
        throw new Error(`condition never became true: ${condition}\n${this.stdout.text}${this.stderr.text}`);
      // What takes longer waits for other threads, and must not compete with this loop for a core.
      await (turns < 100 ? nextTurn() : nextMillisecond(1));
    }
  }
}
