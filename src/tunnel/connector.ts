import type { AgentOptions } from 'node:http';
import type { AgentOptions as HttpsAgentOptions } from 'node:https';
import { isTicket } from '../access/ticket.js';
import type { Outcome } from '../bridge/tox_node.js';
import { isAborted, throwIfAborted, withDeadline } from '../core/aborting.js';
import { Timer } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { MAX_STREAMS_PER_PEER } from '../core/limits.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { Path } from '../core/tox_network.js';
import { DynamicForward } from '../forward/entry/dynamic.js';
import { LocalForward } from '../forward/entry/local.js';
import { UdpForward } from '../forward/entry/udp_forward.js';
import { TunnelAgent, TunnelHttpsAgent } from '../forward/stream/agent.js';
import { DialError } from '../forward/stream/dial_error.js';
import { DialedStream, nameOfTarget } from '../forward/stream/dialed_stream.js';
import type { TunnelStream } from '../forward/stream/tunnel_stream.js';
import { UdpFlow } from '../forward/stream/udp_flow.js';
import {
  type UndiciConnect,
  type UndiciTlsOptions,
  undiciConnect,
} from '../forward/stream/undici_connect.js';
import { StreamGate } from '../forward/stream_gate.js';
import type { Session } from '../mux/session/session.js';
import { type ToxId, upperHex } from '../network/tox_id.js';
import { ConnectorPeer, TicketProver } from '../peer/connector_peer.js';
import { NO_COUNTS, type PeerInfo, peerInfo } from '../peer/peer_info.js';
import { isNodeGone } from '../peer/peer_life.js';
import type { CloseDeadline } from '../peer/peer_session.js';
import { NO_TRAFFIC } from '../peer/traffic.js';
import { localSpec, reverseSpec, udpSpec } from '../rules/address_arguments.js';
import { type Endpoint, printEndpoint, targetOf } from '../rules/endpoint.js';
import type { LocalSpec, ReverseSpec, UdpSpec } from '../rules/forward_spec.js';
import { Closables } from './closables.js';
import { type AnyForward, Forward } from './forward.js';
import type { Abortable, DialOptions, DynamicOptions, UdpTarget } from './options.js';
import {
  type CheckedConnectionOptions,
  dialOptions,
  dynamicOptions,
  signalOf,
  udpTarget,
} from './read_options.js';
import { type Reverse, ReverseForwards } from './reverse_forwards.js';
import { PEER_RATIO_TO_FREE, Tunnel, type TunnelHost, type TunnelStats, VISITORS } from './tunnel.js';

/** The message of a friend request without a ticket. Other Tox clients show it to their user. */
const REQUEST_TEXT = new TextEncoder().encode('tox-wasm-tunnel');

const pingLost = (): TunnelError =>
  new TunnelError('ERR_PEER_GONE', 'the listener is not online; wait for it and ping again');

/** What {@link Connector.dial} takes besides the target. */
type DialSettings = Omit<ReturnType<typeof dialOptions>, 'target'>;

/** How often to report that the listener has not answered. Friends normally find each other in 1 to 10 s. */
const UNANSWERED_MS = 60_000;
const NO_ANSWER_BY_TICKET =
  'no answer yet: the listener is offline, all its places are taken, or it does not accept this ticket; it does not say which';
const NO_ANSWER_BY_KEY =
  'no answer yet: the listener is offline, all its places are taken, or it does not allow our public key; it does not say which. Do you have a ticket?';

/** The end that dials: one peer, any number of forwards. */
export class Connector extends Tunnel {
  readonly #remote: ToxId;
  readonly #publicKey: string;
  readonly #prover: TicketProver | undefined;
  readonly #forwards = new Closables<Forward>();
  /** The entry that listens for each forward. */
  readonly #entries = new Set<AnyForward>();
  readonly #flows = new Set<UdpFlow>();
  readonly #reverses: ReverseForwards;
  /** File descriptors of all forwards. */
  readonly #descriptors = this.descriptors.share({ perAddress: VISITORS });
  readonly #gate = new StreamGate({ timers: this.timers, maxWaiting: MAX_STREAMS_PER_PEER });
  #peer: ConnectorPeer | undefined;
  #session: Session | undefined;
  readonly #unanswered = new Timer(this.timers);

  constructor(host: TunnelHost, options: CheckedConnectionOptions) {
    super(host, options, 'tunnel');
    const { tox: node, machine } = this;
    const { remote } = options;
    this.#remote = isTicket(remote) ? remote.toxId : remote;
    this.#publicKey = upperHex(this.#remote.publicKey);
    this.#reverses = new ReverseForwards({
      peer: this.#publicKey,
      timers: this.timers,
      connect: machine.connect,
      logger: this.logger,
      limits: this.limits,
      descriptors: this.descriptors.share({ ratioToFree: PEER_RATIO_TO_FREE }),
      onChange: (change) => this.emit('reverse', change),
      onRefused: (refusal) => this.emit('refused', refusal),
    });
    const keys = { connector: node.started.publicKey, listener: this.#remote.publicKey };
    this.#prover = isTicket(remote) ? new TicketProver(remote.secret, keys) : undefined;
    this.onTox('friendPath', (friend, path) => this.#peerOf(friend)?.friendPath(path));
    this.onTox('handshake', (friend, packet) => void this.#peerOf(friend)?.handshake(packet));
    // Later, so that the caller can listen to the events first.
    setImmediate(() => void this.#addFriend());
  }

  /**
   * Opens a local port or path. Connections to it wait a while for a peer that is offline.
   *
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause; ERR_ABORTED, ERR_CLOSED
   *
   * @example
   * ```ts
   * await using forward = await tunnel.forward('0:localhost:5432');
   * console.log(`the far end's database is at ${forward.local}`);
   * ```
   */
  async forward(given: LocalSpec | string, options: Abortable = {}): Promise<Forward> {
    const spec = localSpec(given, 'forward(): spec');
    const signal = signalOf(options, 'forward()');
    this.#expectOpen(signal);
    const { timers, logger, machine } = this;
    const { createServer } = machine;
    const entry = new LocalForward({ spec, timers, logger, descriptors: this.#descriptors, createServer });
    return this.#add(entry, printEndpoint(spec.target), signal);
  }

  /**
   * Takes UDP datagrams on a local port, and the far end sends them to the target; answers come back.
   * Datagrams have 1 to 65,507 bytes. Any may be lost, as with UDP everywhere; none is sent twice.
   *
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause; ERR_ABORTED, ERR_CLOSED
   *
   * @example
   * ```ts
   * const { local } = await tunnel.udpForward('0:localhost:53');
   * ```
   */
  async udpForward(given: UdpSpec | string, options: Abortable = {}): Promise<Forward> {
    const spec = udpSpec(given, 'udpForward(): spec');
    const signal = signalOf(options, 'udpForward()');
    this.#expectOpen(signal);
    const { timers, logger, limits } = this;
    const entry = new UdpForward({ spec, timers, logger, idleMs: limits.udpIdleMs });
    return this.#add(entry, printEndpoint(spec.target), signal);
  }

  /**
   * Opens a SOCKS5 and HTTP CONNECT proxy. Its clients choose the targets, and the far end dials them.
   *
   * @throws {TunnelError} ERR_LISTEN, with the system's error as its cause; ERR_ABORTED, ERR_CLOSED
   *
   * @example
   * ```ts
   * const { local } = await tunnel.dynamic({ bind: '1080', credentials: { user: 'me', password: 'secret' } });
   * ```
   */
  async dynamic(options: DynamicOptions): Promise<Forward> {
    const { signal, ...given } = dynamicOptions(options, 'dynamic()');
    this.#expectOpen(signal);
    const { timers, logger, machine } = this;
    const { createServer } = machine;
    const entry = new DynamicForward({
      ...given,
      timers,
      logger,
      descriptors: this.#descriptors,
      createServer,
    });
    return this.#add(entry, '*', signal);
  }

  /**
   * Asks the far end to listen, and dials a target here for each connection that it accepts. Asks again
   * in each new session. `reverse` and `refused` events report the outcome.
   *
   * @throws {TunnelError} ERR_ABORTED, ERR_CLOSED; ERR_ADDRESS_INVALID for an invalid host, port or path
   *
   * @example
   * ```ts
   * const reverse = tunnel.reverse('8080:localhost:3000');
   * console.log(`the far end's ${await reverse.listening()} leads here`);
   * ```
   */
  reverse(given: ReverseSpec | string, options: Abortable = {}): Reverse {
    const spec = reverseSpec(given, 'reverse(): spec');
    const signal = signalOf(options, 'reverse()');
    this.#expectOpen(signal);
    return this.#reverses.add(spec, signal);
  }

  /**
   * Asks the far end to dial, and returns the connection as a stream that behaves like a `net.Socket`.
   * The stream waits a while for a peer that is offline. Failures are `error` events with the codes of a
   * socket (`ECONNREFUSED`, `ENOTFOUND` …), even when this tunnel is closed (`ECONNABORTED`): connection
   * pools dial in their own callbacks, where nothing would catch an exception.
   *
   * @throws {TunnelError} ERR_ADDRESS_INVALID for an invalid host, port or path; ERR_ARGUMENT_INVALID for
   *   other wrong arguments; nothing else
   *
   * @example
   * ```ts
   * const stream = tunnel.dial({ host: 'db.lan', port: 5432 });
   * stream.on('error', (error) => console.error(error.message));
   * const pool = new pg.Pool({ stream: () => tunnel.dial({ port: 5432 }) });
   * ```
   */
  dial(options: DialOptions): TunnelStream {
    const { target, ...others } = dialOptions(options);
    const why = 'this tunnel is closed; connect again';
    const failure = this.isClosing()
      ? new DialError('connect', nameOfTarget(target), 'cancelled', why)
      : undefined;
    return this.#streamTo(target, others, failure);
  }

  /**
   * Returns a UDP flow to a target of the far end: what a `dgram` socket is after `connect`. It begins with the first
   * datagram, and waits a while for a peer that is offline.
   *
   * @throws {TunnelError} ERR_ADDRESS_INVALID for an invalid host or port, ERR_CLOSED
   *
   * @example
   * ```ts
   * using flow = tunnel.dialUdp({ port: 53 });
   * flow.on('message', (datagram) => console.log(datagram.length)).on('error', console.error);
   * flow.send(query);
   * ```
   */
  dialUdp(target: UdpTarget): UdpFlow {
    const checked = udpTarget(target);
    this.#expectOpen(checked.signal);
    const { timers, limits } = this;
    const flow = new UdpFlow({ ...checked, gate: this.#gate, timers, idleMs: limits.udpIdleMs });
    this.#flows.add(flow);
    flow.once('close', () => this.#flows.delete(flow));
    return flow;
  }

  /**
   * Returns an agent for `node:http`: `http.get('http://intra.lan/', { agent: tunnel.agent() })`.
   *
   * @example
   * ```ts
   * http.get('http://intra.lan/', { agent: tunnel.agent({ keepAlive: true }) });
   * ```
   */
  agent(options?: AgentOptions): TunnelAgent {
    return new TunnelAgent(this.#dialFor, options);
  }

  /**
   * Returns an agent for `node:https`. TLS runs from this process to the target.
   *
   * @example
   * ```ts
   * https.get('https://intra.lan/', { agent: tunnel.httpsAgent() });
   * ```
   */
  httpsAgent(options?: HttpsAgentOptions): TunnelHttpsAgent {
    return new TunnelHttpsAgent(this.#dialFor, options);
  }

  /**
   * Returns a connect function for `fetch`, for use with the npm package undici:
   * `fetch('http://intra.lan/', { dispatcher: new Agent({ connect: tunnel.undiciConnect() }) })`.
   *
   * @param tls options of `tls.connect`, for https targets
   *
   * @example
   * ```ts
   * const dispatcher = new undici.Agent({ connect: tunnel.undiciConnect() });
   * const page = await undici.fetch('https://intra.lan/', { dispatcher });
   * ```
   */
  undiciConnect(tls?: UndiciTlsOptions): UndiciConnect {
    return undiciConnect(this.#dialFor, tls);
  }

  /** Returns the listener; nothing before the friend request is sent. */
  override peers(): PeerInfo[] {
    return this.#peer === undefined ? [] : [peerInfo(this.#publicKey, this.#peer, NO_COUNTS, undefined)];
  }

  /**
   * Measures the round trip to the listener.
   *
   * @throws {TunnelError} ERR_PEER_GONE when it is offline, or goes offline before it answers;
   *   ERR_ABORTED
   *
   * @example
   * ```ts
   * const { roundTripMs, path } = await tunnel.ping();
   * ```
   */
  async ping(options: Abortable = {}): Promise<{ readonly roundTripMs: number; readonly path: Path }> {
    const signal = signalOf(options, 'ping()');
    throwIfAborted(signal);
    const peer = this.#peer;
    // In a handler of `online`, the forwards do not have the session yet.
    if (peer?.isOnline !== true) throw pingLost();
    const pinged = new Promise<number | undefined>((resolve) => peer.ping(resolve));
    const roundTripMs = await withDeadline(pinged, { signal });
    if (roundTripMs === undefined) throw pingLost();
    return { roundTripMs, path: peer.currentPath };
  }

  override stats(): TunnelStats {
    return this.#peer?.traffic ?? NO_TRAFFIC;
  }

  protected override sendMark(): () => boolean {
    return this.#peer?.sendMark() ?? (() => true);
  }

  protected override stopAccepting(): void {
    this.#forwards.closeAll();
  }

  protected override async closePeers(deadline: CloseDeadline | undefined): Promise<void> {
    this.#unanswered.clear();
    try {
      this.#forwards.closeAll();
      for (const flow of this.#flows) flow.close();
      // An event handler may throw here. Streams are reset all the same.
      this.#reverses.close();
    } finally {
      this.#gate.close();
      await this.#peer?.close('peer-shutdown', deadline);
    }
  }

  protected override async removeFriends(): Promise<void> {
    if (this.#peer !== undefined) await this.tox.removeFriend(this.#peer.friend);
  }

  async #add(entry: AnyForward, target: string, signal: AbortSignal | undefined): Promise<Forward> {
    const local = await entry.listen();
    if (this.isClosing() || isAborted(signal)) {
      entry.close();
      throwIfAborted(signal);
      throw new TunnelError('ERR_CLOSED', 'closed while the port was being opened');
    }
    const forward = new Forward(entry, { local, target, peer: this.#publicKey });
    forward.on('refused', (refusal) => this.emit('refused', refusal));
    const forget = this.#forwards.add(forward, signal);
    this.#entries.add(entry);
    forward.once('close', () => {
      this.#entries.delete(entry);
      forget();
    });
    entry.setSession(this.#session);
    return forward;
  }

  /** For agents. Their targets come from URLs, so an invalid target is an `error` event of the stream too. */
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
    const stream = new DialedStream({
      ...options,
      target: targetOf(target),
      gate: this.#gate,
      timers,
      peer: { publicKey: this.#publicKey, name: undefined },
      failure,
    });
    this.follow(stream, () => this.#session !== undefined);
    return stream;
  }

  #expectOpen(signal: AbortSignal | undefined): void {
    throwIfAborted(signal);
    if (this.isClosing()) throw new TunnelError('ERR_CLOSED', 'this tunnel is closed; connect again');
  }

  async #addFriend(): Promise<void> {
    if (this.isClosing()) return;
    const outcome = await this.#askToAdd();
    if (outcome === undefined) return;
    const { code, friend, reason } = outcome;
    if (this.isClosing()) {
      if (code === 101) await this.tox.removeFriend(friend).catch(() => {});
      return;
    }
    this.#tellCode(code, reason);
    if (code !== 101) {
      const why = reason ?? 'toxcore gave no reason';
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
    this.knock(this.#publicKey);
    // It may have come online before this class knew its number.
    this.#peer.friendPath(this.tox.friendPath(friend));
    this.#reportUnanswered();
  }

  /** A listener does not answer strangers, so an invalid ticket looks like a listener that is offline. */
  #reportUnanswered(): void {
    this.#unanswered.set(UNANSWERED_MS, () => {
      if (this.#peer === undefined || this.#peer.hasBeenOnline) return;
      this.tellWaiting(this.#prover === undefined ? NO_ANSWER_BY_KEY : NO_ANSWER_BY_TICKET);
      this.#reportUnanswered();
    });
  }

  /** Returns undefined when the request failed and the failure was reported. */
  async #askToAdd(): Promise<Outcome | undefined> {
    try {
      return await this.tox.addFriend(this.#remote.bytes, this.#prover?.request() ?? REQUEST_TEXT);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      if (isNodeGone(error)) return undefined;
      setImmediate(() => this.fail(error));
      return undefined;
    }
  }

  #newPeer(friend: number): ConnectorPeer {
    const publicKey = this.#publicKey;
    return new ConnectorPeer(this.peerContext(), { friend, publicKey }, this.#prover, {
      onCode: (code, detail) => this.#tellCode(code, detail),
      onStatus: (status, path) => {
        this.presence.moved(status === 'online' ? path : 'none');
        this.tellStatus(publicKey, status, path);
      },
      onRoundTrip: (path, roundTripMs) => this.tellRoundTrip(publicKey, path, roundTripMs),
      onOpen: (request) => this.#reverses.handle(request),
      onSession: (session) => this.#onSession(session),
      onWaiting: (message) => this.tellWaiting(message),
      onFailed: (error) => this.fail(error),
    });
  }

  #onSession(session: Session | undefined): void {
    this.#session = session;
    this.#gate.setSession(session);
    this.#reverses.setSession(session);
    for (const entry of this.#entries) entry.setSession(session);
  }

  #tellCode(code: ReturnCode, detail?: string): void {
    this.tellCode(this.#publicKey, code, detail);
  }

  #peerOf(friend: number): ConnectorPeer | undefined {
    return this.#peer?.friend === friend ? this.#peer : undefined;
  }
}
