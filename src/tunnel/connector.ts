import type { AgentOptions } from 'node:http';
import type { AgentOptions as HttpsAgentOptions } from 'node:https';
import { isTicket } from '../access/ticket.js';
import type { Outcome, ToxNode } from '../bridge/tox_node.js';
import { isAborted, throwIfAborted, withDeadline } from '../core/aborting.js';
import type { TimerHandle } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { MAX_STREAMS_PER_PEER } from '../core/limits.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { Path } from '../core/tox_network.js';
import { DynamicForward } from '../forward/entry/dynamic.js';
import { LocalForward, type RefusedConnection } from '../forward/entry/local.js';
import { UdpForward } from '../forward/entry/udp_forward.js';
import { TunnelAgent, TunnelHttpsAgent } from '../forward/stream/agent.js';
import { DialError } from '../forward/stream/dial_error.js';
import { DialedStream, nameOfTarget } from '../forward/stream/dialed_stream.js';
import type { TunnelStream } from '../forward/stream/tunnel_stream.js';
import {
  type UndiciConnect,
  type UndiciTlsOptions,
  undiciConnect,
} from '../forward/stream/undici_connect.js';
import { StreamGate } from '../forward/stream_gate.js';
import type { Session } from '../mux/session/session.js';
import { REASONS } from '../mux/wire/reasons.js';
import { type ToxId, upperHex } from '../network/tox_id.js';
import { ConnectorPeer } from '../peer/connector_peer.js';
import { NO_COUNTS, type PeerInfo, peerInfo } from '../peer/peer_info.js';
import { isNodeGone } from '../peer/peer_port.js';
import { TicketProver } from '../peer/ticket_prover.js';
import { NO_TRAFFIC } from '../peer/traffic.js';
import { localSpec, reverseSpec, udpSpec } from '../rules/address_arguments.js';
import { type Endpoint, printEndpoint, targetOf } from '../rules/endpoint.js';
import type { LocalSpec, ReverseSpec, UdpSpec } from '../rules/forward_spec.js';
import { Closables } from './closables.js';
import type { Abortable, ConnectOptions, DialOptions, DynamicOptions } from './options.js';
import {
  type CheckedConnectOptions,
  connectOptions,
  dialOptions,
  dynamicOptions,
  signalOf,
} from './read_options.js';
import { type Reverse, ReverseForwards } from './reverse_forwards.js';
import { PEER_RATIO_TO_FREE, Tunnel, type TunnelStats, VISITORS } from './tunnel.js';

/** A local port or path that leads to the far end. */
export interface Forward {
  /** `host:port` where it really listens, or a path. */
  readonly local: string;
  /** `host:port` or path that the far end dials; `*` of a proxy, whose clients choose. */
  readonly target: string;
  /** Accepts no more; open connections go on. */
  close(): void;
}

/** What a friend request without a ticket says: tells other clients what it is about. */
const REQUEST_TEXT = new TextEncoder().encode('tox-wasm-tunnel');

type AnyForward = LocalForward | DynamicForward | UdpForward;
/**
 * Of a connector with a new identity: toxcore at the other end knows a peer by its address, and turns a stranger away for
 * two minutes who comes from where another has just died. A listener meets no stranger's past, and stays where LAN
 * discovery looks for it.
 */
const ANY_PORT = { from: 0, to: 0 } as const;

const pingLost = (): TunnelError =>
  new TunnelError('ERR_PEER_GONE', 'the listener is not online; wait for it and ping again');

/** What {@link Connector.dial} takes beside the target. */
type DialSettings = Omit<ReturnType<typeof dialOptions>, 'target'>;

/** How often it is said that nobody has answered yet: friends find each other in 1 to 10 s. */
const UNANSWERED_MS = 60_000;
const NO_ANSWER_BY_TICKET =
  'no answer yet; the listener is away, or it does not take this ticket (any longer): it tells nobody which';
const NO_ANSWER_BY_KEY =
  'no answer yet; the listener is away, or it does not allow us by our public key: it tells nobody which. Is there a ticket?';

/** The dialling end: one peer, any number of forwards. */
export class Connector extends Tunnel {
  readonly #remote: ToxId;
  readonly #publicKey: string;
  readonly #prover: TicketProver | undefined;
  readonly #forwards = new Closables<AnyForward>();
  readonly #reverses: ReverseForwards;
  /** Of all forwards. */
  readonly #descriptors = this.descriptors.share({ perAddress: VISITORS });
  readonly #gate = new StreamGate({ timers: this.timers, maxWaiting: MAX_STREAMS_PER_PEER });
  #peer: ConnectorPeer | undefined;
  #session: Session | undefined;
  #unanswered: TimerHandle | undefined;

  private constructor(node: ToxNode, options: CheckedConnectOptions) {
    super(node, options);
    const { remote } = options;
    this.#remote = isTicket(remote) ? remote.toxId : remote;
    this.#publicKey = upperHex(this.#remote.publicKey);
    this.#reverses = new ReverseForwards({
      peer: this.#publicKey,
      timers: this.timers,
      logger: this.logger,
      limits: this.limits,
      descriptors: this.descriptors.share({ ratioToFree: PEER_RATIO_TO_FREE }),
      onChange: (change) => this.emit('reverse', change),
      onRefused: (refusal) => this.emit('refused', refusal),
    });
    const keys = { connector: node.started.publicKey, listener: this.#remote.publicKey };
    this.#prover = isTicket(remote) ? new TicketProver(remote.secret, keys) : undefined;
    node.on('friendPath', (friend, path) => this.#peerOf(friend)?.friendPath(path));
    node.on('handshake', (friend, packet) => void this.#peerOf(friend)?.handshake(packet));
  }

  /**
   * Starts a node and asks the listener for its friendship. Resolves when started: the events
   * tell of the rest, and connections to forwards wait for it.
   *
   * @throws {TunnelError} ERR_ARGUMENT_INVALID and, for texts and addresses, ERR_TICKET_INVALID, ERR_ADDRESS_INVALID and
   *   ERR_BOOTSTRAP_INVALID, all before anything is started; ERR_LISTEN for a UDP port that is taken, ERR_TOX_START,
   *   ERR_CLOSED
   */
  static async start(options: ConnectOptions): Promise<Connector> {
    const checked = connectOptions(options, 'connect()');
    const ports = checked.identity === undefined ? ANY_PORT : undefined;
    const connector = await Tunnel.startWith(checked, ports, (node) => new Connector(node, checked));
    // After the caller has had a chance to listen to the events.
    setImmediate(() => void connector.#addFriend());
    return connector;
  }

  /**
   * Opens a local port or path. Connections to it wait for the peer when it is not there, for a while.
   *
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause; ERR_CLOSED
   */
  async forward(given: LocalSpec | string, options: Abortable = {}): Promise<Forward> {
    const spec = localSpec(given, 'forward(): spec');
    const signal = signalOf(options, 'forward()');
    return this.#add(
      () => new LocalForward({ spec, logger: this.logger, descriptors: this.#descriptors }),
      printEndpoint(spec.target),
      signal,
    );
  }

  /**
   * Takes UDP datagrams at a local port and has the far end send them to the target; the answers come back. Any may get lost,
   * as with UDP everywhere: none is sent twice. One to 65,507 bytes long.
   *
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause; ERR_CLOSED
   */
  async udpForward(given: UdpSpec | string, options: Abortable = {}): Promise<Forward> {
    const spec = udpSpec(given, 'udpForward(): spec');
    const signal = signalOf(options, 'udpForward()');
    return this.#add(() => new UdpForward({ spec, logger: this.logger }), printEndpoint(spec.target), signal);
  }

  /**
   * Opens a SOCKS5 and HTTP CONNECT proxy. Its clients name the targets, and the far end dials them.
   *
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause; ERR_CLOSED
   */
  async dynamic(options: DynamicOptions): Promise<Forward> {
    const { signal, ...given } = dynamicOptions(options, 'dynamic()');
    return this.#add(
      () => new DynamicForward({ ...given, logger: this.logger, descriptors: this.#descriptors }),
      '*',
      signal,
    );
  }

  /**
   * Has the far end listen, where it allows that, and dials here for each connection that comes there. It
   * asks whenever there is a new session; `reverse` and `refused` events tell what came of it.
   *
   * @throws {TunnelError} ERR_CLOSED; ERR_ADDRESS_INVALID for what is no host, no port or no path
   */
  reverse(given: ReverseSpec | string, options: Abortable = {}): Reverse {
    const spec = reverseSpec(given, 'reverse(): spec');
    const signal = signalOf(options, 'reverse()');
    this.#expectOpen(signal);
    return this.#reverses.add(spec, signal);
  }

  /**
   * Has the far end dial, and gives the connection as a stream that behaves like a `net.Socket`. It
   * waits for the peer when that is not there, for a while. Its failures are `error` events with
   * the codes of a socket (`ECONNREFUSED`, `ENOTFOUND` …), also when this tunnel is closed (`ECONNABORTED`): pools
   * dial in callbacks of their own, where nobody would catch an exception.
   *
   * @throws {TunnelError} ERR_ADDRESS_INVALID for what is no host, no port or no path, ERR_ARGUMENT_INVALID for other
   *   wrong arguments; nothing else
   */
  dial(options: DialOptions): TunnelStream {
    const { target, ...others } = dialOptions(options);
    const why = 'this tunnel is closed; connect again';
    const failure = this.isClosing()
      ? new DialError('connect', nameOfTarget(target), 'cancelled', why)
      : undefined;
    return this.#streamTo(target, others, failure);
  }

  /** An agent for `node:http`: `http.get('http://intra.lan/', { agent: tunnel.agent() })`. */
  agent(options?: AgentOptions): TunnelAgent {
    return new TunnelAgent(this.#dialFor, options);
  }

  /** The same for `node:https`; TLS is spoken from here to the target. */
  httpsAgent(options?: HttpsAgentOptions): TunnelHttpsAgent {
    return new TunnelHttpsAgent(this.#dialFor, options);
  }

  /**
   * For `fetch`, by the npm package undici:
   * `fetch('http://intra.lan/', { dispatcher: new Agent({ connect: tunnel.undiciConnect() }) })`.
   *
   * @param tls for https targets, as of `tls.connect`
   */
  undiciConnect(tls?: UndiciTlsOptions): UndiciConnect {
    return undiciConnect(this.#dialFor, tls);
  }

  /** The listener; nobody before it was asked. */
  override peers(): PeerInfo[] {
    return this.#peer === undefined ? [] : [peerInfo(this.#publicKey, this.#peer, NO_COUNTS, undefined)];
  }

  /**
   * Measures the round trip to the listener.
   *
   * @throws {TunnelError} ERR_PEER_GONE when it is not online, or goes offline before it has answered;
   *   ERR_CLOSED when aborted
   */
  async ping(options: Abortable = {}): Promise<{ readonly roundTripMs: number; readonly path: Path }> {
    const signal = signalOf(options, 'ping()');
    throwIfAborted(signal);
    const peer = this.#peer;
    const session = this.#session;
    if (peer === undefined || session === undefined) throw pingLost();
    const pinged = new Promise<number | undefined>((resolve) => session.ping(resolve));
    const roundTripMs = await withDeadline(pinged, { signal });
    if (roundTripMs === undefined) throw pingLost();
    return { roundTripMs, path: peer.currentPath };
  }

  override stats(): TunnelStats {
    return this.#peer?.traffic ?? NO_TRAFFIC;
  }

  protected override async closePeers(): Promise<void> {
    if (this.#unanswered !== undefined) this.timers.clear(this.#unanswered);
    try {
      this.#forwards.closeAll();
      // An event handler may throw here: streams are reset all the same.
      this.#reverses.close();
    } finally {
      this.#gate.close();
      await this.#peer?.close('peer-shutdown');
    }
  }

  async #add(make: () => AnyForward, target: string, signal: AbortSignal | undefined): Promise<Forward> {
    this.#expectOpen(signal);
    const forward = make();
    forward.on('refused', (refused: RefusedConnection) => this.#tellRefused(refused));
    const local = await forward.listen();
    if (this.isClosing() || isAborted(signal)) {
      forward.close();
      throwIfAborted(signal);
      throw new TunnelError('ERR_CLOSED', 'closed while the port was opened');
    }
    const close = this.#forwards.add(forward, signal);
    forward.setSession(this.#session);
    return { local: printEndpoint(local), target, close };
  }

  /** For agents: what they dial comes out of a URL, so that a wrong one is an `error` event of its stream too. */
  readonly #dialFor = (target: Endpoint): TunnelStream => {
    try {
      return this.dial(target);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      return this.#streamTo(target, {}, error);
    }
  };

  #streamTo(target: Endpoint, options: DialSettings, failure?: Error): TunnelStream {
    const { timers } = this;
    return new DialedStream({ ...options, target: targetOf(target), gate: this.#gate, timers, failure });
  }

  #expectOpen(signal: AbortSignal | undefined): void {
    throwIfAborted(signal);
    if (this.isClosing()) throw new TunnelError('ERR_CLOSED', 'start a new connector');
  }

  #tellRefused({ target, reason, text }: RefusedConnection): void {
    this.emit('refused', {
      target: printEndpoint(target),
      reason,
      text: text === '' ? REASONS[reason].sentence : text,
      peer: this.#publicKey,
    });
  }

  async #addFriend(): Promise<void> {
    const outcome = await this.#askToAdd();
    if (outcome === undefined || this.isClosing()) return;
    const { code, friend, reason } = outcome;
    this.#tellCode(code, reason);
    if (code !== 101) {
      const why =
        code === 103 ? 'this node has it as a friend already' : (reason ?? 'toxcore gave no reason');
      this.fail(
        new TunnelError('ERR_FRIEND_ADD', `${why}; check the ticket or Tox ID, and start a new connector`, {
          returnCode: code,
        }),
      );
      return;
    }
    this.#tellCode(104);
    // A handler may have closed it.
    if (this.isClosing()) return;
    this.#peer = this.#newPeer(friend);
    // It may have come online before its number was known here.
    this.#peer.friendPath(this.node.friendPath(friend));
    this.#sayUnanswered();
  }

  /** A listener gives strangers no answer, so a ticket that is not valid looks like a listener that is away. */
  #sayUnanswered(): void {
    this.#unanswered = this.timers.set(() => {
      if (this.#peer === undefined || this.#peer.hasBeenOnline) return;
      this.tellWaiting(this.#prover === undefined ? NO_ANSWER_BY_KEY : NO_ANSWER_BY_TICKET);
      this.#sayUnanswered();
    }, UNANSWERED_MS);
  }

  /** Undefined when that came to nothing, and was told. */
  async #askToAdd(): Promise<Outcome | undefined> {
    try {
      return await this.node.addFriend(this.#remote.bytes, this.#prover?.request() ?? REQUEST_TEXT);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      if (isNodeGone(error)) return undefined;
      setImmediate(() => this.fail(error));
      return undefined;
    }
  }

  #newPeer(friend: number): ConnectorPeer {
    return new ConnectorPeer(
      {
        node: this.node,
        publicKey: this.#publicKey,
        timers: this.timers,
        logger: this.logger,
        patienceMs: this.patienceMs,
        prover: this.#prover,
        limits: this.limits,
        onCode: (code, detail) => this.#tellCode(code, detail),
        onStatus: (status, path) => this.tellStatus(this.#publicKey, status, path),
        onRoundTrip: (path, roundTripMs) => this.tellRoundTrip(this.#publicKey, path, roundTripMs),
        onOpen: (request) => this.#reverses.handle(request),
        onSession: (session) => {
          this.#session = session;
          this.#gate.setSession(session);
          this.#reverses.setSession(session);
          for (const forward of this.#forwards) forward.setSession(session);
        },
        onWaiting: (message) => this.tellWaiting(message),
        onFailed: (error) => this.fail(error),
      },
      friend,
    );
  }

  #tellCode(code: ReturnCode, detail?: string): void {
    this.tellCode(this.#publicKey, code, detail);
  }

  #peerOf(friend: number): ConnectorPeer | undefined {
    return this.#peer?.friend === friend ? this.#peer : undefined;
  }
}
