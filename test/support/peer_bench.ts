import { randomBytes } from 'node:crypto';
import type { TunnelError } from '../../src/core/errors.js';
import { type Limits, limitsOf } from '../../src/core/peer_limits.js';
import type { Session } from '../../src/mux/session/session.js';
import type { OpenRequest } from '../../src/mux/stream/stream_api.js';
import { ourOffer } from '../../src/mux/wire/agreement.js';
import { encodeHello, encodeRefuse, encodeWelcome, packetKind } from '../../src/mux/wire/handshake.js';
import type { Reason } from '../../src/mux/wire/reasons.js';
import { ConnectorPeer, type TicketProver } from '../../src/peer/connector_peer.js';
import { ListenerPeer, type ListenerPeerEvents } from '../../src/peer/listener_peer.js';
import { PeerRates } from '../../src/peer/peer_rates.js';
import type { Grant } from '../../src/rules/rule_book.js';
import { FakeNode, turn } from './fake_node.js';
import { VirtualTimers } from './virtual_timers.js';

/** A target that nobody dials. */
export const PLAIN_TARGET = { kind: 'tcp', host: 'h', port: 1 } as const;

export const VERSIONS = { lowest: 2, highest: 2 };

/** A session UUID whose bytes are all equal. */
export function uuid(byte: number): Uint8Array {
  return new Uint8Array(16).fill(byte);
}

export function hello(session: Uint8Array): Uint8Array {
  return encodeHello({ ...ourOffer(session), fields: new Map() });
}

/** A listener's answer to the hello with this session. */
export function welcome(connectorSession: Uint8Array, session: Uint8Array): Uint8Array {
  const { frameBytes, features } = ourOffer(session);
  return encodeWelcome({ version: 2, connectorSession, session, frameBytes, features, fields: new Map() });
}

export function refusal(reason: Reason, text = ''): Uint8Array {
  return encodeRefuse({ versions: VERSIONS, reason, text });
}

/** Returns the connector's session UUID in a hello. */
export function sessionOf(packet: Uint8Array | undefined): Uint8Array {
  if (packet === undefined || packetKind(packet) !== 1) throw new Error('not a hello');
  return packet.slice(6, 22);
}

/** A BYE: docs/reference/protocol.md, section 3. @param frames the number of frames before it */
export function bye(reason: number, frames: number): Uint8Array {
  const frame = new Uint8Array(17 + 10);
  frame[0] = 0x12;
  frame[18] = reason;
  frame[26] = frames;
  return frame;
}

export const PING = Uint8Array.of(0x10, ...new Uint8Array(16), 1, 2, 3, 4, 5, 6, 7, 8);

/** The grant of a peer that is allowed by its key. */
export const BY_KEY: Grant = { name: 'friend', kind: 'peer', rules: undefined };

interface BenchOptions {
  readonly patienceMs?: number;
  readonly timers?: VirtualTimers;
  /** The connector's ticket; none by default. */
  readonly prover?: TicketProver;
  /** How the listener judges a hello; by default the peer is allowed by its key. */
  readonly onHello?: ListenerPeerEvents['onHello'];
  /** The rate of a grant; none by default. */
  readonly onRates?: ListenerPeerEvents['onRates'];
  readonly limits?: Partial<Limits>;
  /** What the rates of each peer have left; by default all of it. */
  readonly rates?: PeerRates;
  /** Whether round trips are measured and reported; off by default, because that takes pings. */
  readonly roundTrips?: boolean;
}

/** A peer over a fake Tox node on virtual time; keeps its reports as lines. */
abstract class PeerBench {
  readonly node = new FakeNode();
  readonly timers: VirtualTimers;
  /** The reports: codes, status, waiting, and log lines at `warn`. */
  readonly told: string[] = [];
  readonly requests: OpenRequest[] = [];
  /** Called with each report. */
  onTold: ((line: string) => void) | undefined;
  protected readonly patienceMs: number;
  protected readonly limits: Limits;
  readonly rates: PeerRates;

  protected readonly tellsRoundTrips: boolean;

  constructor({
    patienceMs = 0,
    timers = new VirtualTimers(),
    roundTrips = false,
    limits,
    rates,
  }: BenchOptions) {
    this.tellsRoundTrips = roundTrips;
    this.patienceMs = patienceMs;
    this.limits = limitsOf(limits);
    this.rates = rates ?? new PeerRates(this.limits);
    this.timers = timers;
  }

  /**
   * Lets time pass in steps, including promises that resolve during it. Steps in which no timer falls due are
   * one.
   */
  async pass(ms: number, stepMs = 100): Promise<void> {
    const endMs = this.timers.nowMs() + ms;
    for (;;) {
      for (let turns = 0; turns < 4; turns++) await turn();
      const leftMs = endMs - this.timers.nowMs();
      if (leftMs <= 0) return;
      const idleSteps = Math.ceil((this.timers.nextAtMs - this.timers.nowMs()) / stepMs);
      this.timers.advance(Math.min(Math.max(idleSteps, 1) * stepMs, leftMs));
    }
  }

  /** Takes the reports. */
  take(): string[] {
    return this.told.splice(0);
  }

  /** The codes reported so far, in order; the lines stay. */
  get codes(): number[] {
    return this.told.flatMap((line) => /^code (\d+)/.exec(line)?.[1] ?? []).map(Number);
  }

  protected readonly tell = (line: string): void => {
    this.told.push(line);
    this.onTold?.(line);
  };

  protected context() {
    return {
      node: this.node,
      timers: this.timers,
      randomBytes: (count: number) => Uint8Array.from(randomBytes(count)),
      logger: {
        log: (level: string, message: string) => {
          if (level === 'warn') this.tell(`warn ${message}`);
        },
      },
      patienceMs: this.patienceMs,
      limits: this.limits,
      rates: this.rates,
    };
  }

  protected events() {
    return {
      onCode: (code: number, detail?: string) =>
        this.tell(`code ${code}${detail === undefined ? '' : ` ${detail}`}`),
      onStatus: (status: string, path: string) => {
        this.tell(`code ${status === 'online' ? 301 : 302}`);
        this.tell(`${status} ${path}`);
      },
      ...(this.tellsRoundTrips && {
        onRoundTrip: (path: string, roundTripMs: number) => this.tell(`round trip ${path} ${roundTripMs}`),
      }),
      onOpen: (request: OpenRequest) => {
        this.requests.push(request);
      },
    };
  }
}

export class ConnectorBench extends PeerBench {
  readonly peer: ConnectorPeer;
  session: Session | undefined;
  /** Each session as it was reported; undefined means that there is none. */
  readonly sessions: (Session | undefined)[] = [];
  readonly failures: TunnelError[] = [];

  constructor(options: BenchOptions = {}) {
    super(options);
    this.peer = new ConnectorPeer(this.context(), { friend: 5, publicKey: 'KEY' }, options.prover, {
      ...this.events(),
      onSession: (session) => {
        this.session = session;
        this.sessions.push(session);
      },
      onWaiting: (message) => this.tell(`waiting ${message}`),
      onFailed: (error) => {
        this.failures.push(error);
      },
    });
  }

  /** The session UUID of the latest hello. */
  get offered(): Uint8Array {
    return sessionOf(this.node.sent.at(-1));
  }

  /** Brings the peer online and through the handshake, welcomed by a listener with this session. */
  async join(listener: Uint8Array = uuid(0xa0)): Promise<void> {
    if (this.peer.currentPath === 'none') this.peer.friendPath('udp');
    await this.pass(0);
    await this.peer.handshake(welcome(this.offered, listener));
    await this.pass(0);
  }
}

export class ListenerBench extends PeerBench {
  readonly peer: ListenerPeer;
  readonly grants: Grant[] = [];
  idle = 0;
  left = 0;

  constructor(options: BenchOptions = {}) {
    super(options);
    const { onHello = () => ({ kind: 'welcome', grant: BY_KEY, proof: undefined }) } = options;
    this.peer = new ListenerPeer(
      this.context(),
      { friend: 7, publicKey: 'KEY' },
      {
        ...this.events(),
        onHello,
        ...(options.onRates === undefined ? {} : { onRates: options.onRates }),
        onGrant: (grant) => this.grants.push(grant),
        onIdle: () => this.idle++,
        onLeft: () => this.left++,
      },
    );
  }

  /** Brings the peer online and through the handshake, with the hello of a connector with this session. */
  async join(connector: Uint8Array = uuid(0xc0)): Promise<void> {
    if (this.peer.currentPath === 'none') this.peer.friendPath('udp');
    await this.peer.handshake(hello(connector));
    await this.pass(0);
  }
}
