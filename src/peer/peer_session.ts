import type { ChannelHandlers, PeerChannel, Role, ToxNode } from '../bridge/tox_node.js';
import { withDeadline } from '../core/aborting.js';
import type { ByteRates } from '../core/allowance.js';
import { ByteBudget } from '../core/byte_budget.js';
import { Timer, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { INITIAL_WINDOW_BYTES, LEAST_WINDOW_BYTES } from '../core/limits.js';
import type { Limits } from '../core/peer_limits.js';
import type { PingCallback } from '../mux/session/pinger.js';
import { Session } from '../mux/session/session.js';
import type { OpenRequest } from '../mux/stream/stream_api.js';
import { type Agreement, channelTag, GIVE_BACK_FEATURE } from '../mux/wire/agreement.js';
import type { Reason } from '../mux/wire/reasons.js';
import type { RatesOfPeer } from './peer_rates.js';

/** The part of its Tox node that a peer uses. */
export interface PeerNode {
  readonly worker: Pick<ToxNode['worker'], 'sendHandshake'>;
  openChannel(...args: Parameters<ToxNode['openChannel']>): Promise<PeerChannel>;
  sessionBinding: ToxNode['sessionBinding'];
}

/** How a session ended. */
export interface SessionEnd {
  readonly reason: Reason;
  /** For people; may be empty. */
  readonly text: string;
  /** Set when the peer broke the protocol, or the channel could not continue. */
  readonly error?: TunnelError;
}

export interface PeerSessionOptions {
  readonly node: PeerNode;
  readonly friend: number;
  readonly agreement: Agreement;
  /** Of the Tox session in which the handshake has proven the peer. */
  readonly binding: Uint8Array;
  readonly role: Role;
  readonly timers: Timers;
  randomBytes(count: number): Uint8Array;
  readonly limits: Limits;
  /** What the rates of the limits let this peer do now. */
  readonly rates: RatesOfPeer;
  /** Rates in addition to that of the limits, shared with other peers. */
  readonly sharedRates?: ByteRates | undefined;
  /** The memory of the process for received bytes. Default: unlimited. */
  readonly received?: ByteBudget;
  readonly onOpen: (request: OpenRequest) => void;
  /** The peer was silent for too long: call {@link PeerSession.freeze}. */
  readonly onSilent: (session: PeerSession) => void;
  /** A frame arrived while frozen. Called for each one until {@link PeerSession.thaw}. */
  readonly onHeard: (session: PeerSession) => void;
  /** Called once, when the session is closed. Not called for our own {@link PeerSession.close}. */
  readonly onEnd: (session: PeerSession, end: SessionEnd) => void;
}

/** Largest ratio of what one peer has reserved to what is left of the process's memory: three quarters at most. */
const MEMORY_RATIO_TO_FREE = 3;
/** How often to check whether the last frames have arrived. */
const DRAIN_POLL_MS = 10;
/** How long a closing session waits for its last frames to arrive. */
const DRAIN_TIMEOUT_MS = 1_000;
/** How long a closing session waits for each answer from its worker, which may hang. */
const ANSWER_TIMEOUT_MS = 3_000;
/** How long a channel outlives the peer's BYE, because the peer waits for its acknowledgement. */
const LINGER_MS = 250;

/** Until when a graceful close may wait for the peer. */
export interface CloseDeadline {
  /** On the clock of the timers. */
  readonly atMs: number;
  /** Ends the wait when aborted. */
  readonly signal: AbortSignal;
}

/** One session with a peer, with its channel and its timers, from the handshake to the end. */
export class PeerSession implements ChannelHandlers {
  readonly agreement: Agreement;
  readonly #options: PeerSessionOptions;
  readonly #tick: Timer;
  readonly #idle: Timer;
  #channel: PeerChannel | undefined;
  #session: Session | undefined;
  #failure: TunnelError | undefined;
  /** See {@link PeerSessionOptions.binding}. */
  #binding: Uint8Array;
  #frozen = false;
  #ended = false;

  private constructor(options: PeerSessionOptions) {
    this.agreement = options.agreement;
    this.#options = options;
    this.#binding = options.binding;
    this.#tick = new Timer(options.timers);
    this.#idle = new Timer(options.timers);
  }

  /**
   * Opens the channel, then the session on it.
   *
   * @throws {TunnelError} ERR_LIMIT with too many peers, ERR_WORKER_DIED, ERR_CLOSED, or the reason
   *   for which the channel failed during the call
   */
  static async open(options: PeerSessionOptions): Promise<PeerSession> {
    const self = new PeerSession(options);
    const { node, friend, agreement, role, binding } = options;
    const { frameBytes } = agreement;
    const tag = channelTag(agreement, role);
    const channel = await node.openChannel(friend, { role, frameBytes, tag, binding }, self);
    if (self.#failure !== undefined) {
      void channel.close();
      throw self.#failure;
    }
    self.#start(channel);
    return self;
  }

  /** The streams. */
  get session(): Session {
    return this.#session!; // `open` returns a PeerSession only once its session exists
  }

  /** Pings the peer. @param callback receives the round trip; undefined when it cannot be measured */
  measure(callback: PingCallback): void {
    try {
      this.session.ping(callback);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      callback(undefined);
    }
  }

  frame(frame: Uint8Array): void {
    if (this.#ended) {
      // A listener may send BYE only after the connector's first frame. A closed session ignores the frame's content.
      this.#session?.receive(frame);
      return;
    }
    if (this.#frozen) this.#options.onHeard(this);
    try {
      this.#session?.receive(frame);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      const reason = error.code === 'ERR_LIMIT' ? 'limit' : 'protocol-error';
      this.#session?.close(reason, error.message);
      this.#end({ reason, text: error.message, error });
    }
  }

  flush(): void {
    this.#session?.flush();
  }

  room(): void {
    this.#session?.writable();
  }

  failed(error: TunnelError): void {
    this.#failure = error;
    if (this.#session === undefined || this.#ended) return;
    const reason = error.remote ? 'protocol-error' : 'internal';
    this.abandon(reason);
    this.#options.onEnd(this, { reason, text: error.message, error });
  }

  /** The friend is offline or silent: no timeout runs against it. */
  freeze(): void {
    this.#frozen = true;
    this.#session?.freeze();
    this.#tick.clear();
  }

  /** The handshake has resumed this session in the Tox session with this binding. */
  resume(binding: Uint8Array): void {
    if (this.#ended) return;
    this.#binding = binding;
    this.#channel?.rebind(binding);
    this.thaw();
  }

  /**
   * Whether the peer has proven itself in this Tox session. In another one there may be a thief of either end's Tox key.
   */
  isProvenIn(binding: Uint8Array): boolean {
    return Buffer.compare(this.#binding, binding) === 0;
  }

  /** The peer is heard again, and is {@link isProvenIn} the Tox session. */
  thaw(): void {
    if (this.#ended) return;
    this.#frozen = false;
    this.#session?.thaw();
    this.#tickLater();
  }

  /** Ends without BYE, because the peer is gone or another process has replaced it. */
  abandon(reason: Reason): void {
    if (this.#ended) return;
    this.#stop();
    this.#session?.abandon(reason);
    void this.#channel?.close();
  }

  /**
   * Sends BYE, waits a moment for the last frames to arrive, and closes the channel. A frozen session ends
   * without BYE, because the peer would not receive it. After the worker's death there is nothing to wait
   * for. Never rejects.
   *
   * @param deadline how long the last frames may take, if that is more than a moment
   */
  async close(reason: Reason, deadline?: CloseDeadline): Promise<void> {
    if (this.#frozen) this.abandon(reason);
    if (this.#ended) return;
    this.#stop();
    this.#session?.close(reason);
    await this.#closeDrained(0, deadline);
  }

  #start(channel: PeerChannel): void {
    const { agreement, role, timers, randomBytes, limits, received, onOpen } = this.#options;
    const { rates: own, sharedRates } = this.#options;
    const rates = [own.bytes, sharedRates].filter((each) => each !== undefined);
    this.#channel = channel;
    this.#session = new Session({
      sink: channel.sink,
      clock: timers,
      random16: () => randomBytes(16),
      frameBytes: agreement.frameBytes,
      givesBack: (agreement.features & GIVE_BACK_FEATURE) !== 0,
      role,
      sessionRates: own.session,
      rates,
      told: agreement.told,
      onOpen,
      onBye: (reason, text) => this.#end({ reason, text }),
      onTickSooner: () => this.#tickLater(),
      memory: new ByteBudget(Number.POSITIVE_INFINITY, {
        ...(received === undefined ? {} : { parent: received }),
        ratioToFree: MEMORY_RATIO_TO_FREE,
      }),
      limits: {
        streams: limits.maxStreams,
        opensPerSecond: limits.maxOpensPerSecond,
        controlFramesPerSecond: limits.maxControlFramesPerSecond,
        maxStreamWindowBytes: limits.maxStreamBufferBytes,
        initialWindowBytes: Math.min(
          INITIAL_WINDOW_BYTES,
          limits.maxStreamBufferBytes,
          // A first window counts against the rates at once.
          ...(rates.length > 0 ? [LEAST_WINDOW_BYTES] : []),
        ),
        maxPeerWindowBytes: limits.maxPeerBufferBytes,
      },
    });
    this.#tickLater();
    this.#watchIdle();
  }

  /** Ends the session after the idle timeout without a stream. */
  #watchIdle(): void {
    const { limits } = this.#options;
    if (limits.idleTimeoutMs === 0 || this.#ended) return;
    const leftMs = limits.idleTimeoutMs - this.session.idleMs;
    if (leftMs <= 0) {
      const text = `no stream for ${limits.idleTimeoutMs / 1000} s`;
      this.session.close('limit', text);
      this.#end({ reason: 'limit', text });
      return;
    }
    this.#idle.set(leftMs, () => this.#watchIdle());
  }

  #tickLater(): void {
    this.#tick.clear();
    if (this.#frozen || this.#ended) return;
    const delayMs = this.#session?.nextTickMs() ?? Number.POSITIVE_INFINITY;
    if (!Number.isFinite(delayMs)) return;
    this.#tick.set(delayMs, () => {
      if (this.#session?.tick() === 'dead') this.#options.onSilent(this);
      else this.#tickLater();
    });
  }

  #stop(): void {
    this.#ended = true;
    this.#tick.clear();
    this.#idle.clear();
  }

  #end(end: SessionEnd): void {
    if (this.#ended) return;
    this.#stop();
    void this.#closeDrained(LINGER_MS);
    this.#options.onEnd(this, end);
  }

  async #closeDrained(leastMs: number, deadline?: CloseDeadline): Promise<void> {
    const { timers } = this.#options;
    const channel = this.#channel;
    if (channel === undefined) return;
    const startMs = timers.nowMs();
    for (;;) {
      const nowMs = timers.nowMs();
      const waitedMs = nowMs - startMs;
      const mayWait = deadline !== undefined && !deadline.signal.aborted && nowMs < deadline.atMs;
      if (waitedMs >= DRAIN_TIMEOUT_MS && !mayWait) break;
      if (waitedMs >= leastMs && !(await this.#hasFramesToSend(channel))) break;
      await new Promise<void>((resolve) => timers.set(resolve, DRAIN_POLL_MS));
    }
    await this.#answer(channel.close());
  }

  /** Whether frames wait, or may have to be retransmitted. */
  async #hasFramesToSend(channel: PeerChannel): Promise<boolean> {
    if (this.#failure !== undefined || channel.sink.isGone) return false;
    if (this.#session?.hasByeToSend) return true;
    const stats = await this.#answer(channel.stats());
    return stats !== undefined && stats.backlogBytes + stats.inFlightBytes > 0;
  }

  /** What the worker answers; undefined when it is gone, or hangs. */
  #answer<T>(call: Promise<T>): Promise<T | undefined> {
    const timeout = {
      ms: ANSWER_TIMEOUT_MS,
      timers: this.#options.timers,
      error: () => new TunnelError('ERR_CLOSED', 'its worker does not answer'),
    };
    return withDeadline(call, { timeout }).catch(() => undefined);
  }
}
