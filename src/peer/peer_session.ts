import { randomBytes } from 'node:crypto';
import type { ChannelHandlers, NodeChannel } from '../bridge/node_channel.js';
import type { TimerHandle, Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { INITIAL_WINDOW_BYTES } from '../core/limits.js';
import type { Limits } from '../core/peer_limits.js';
import type { PingCallback } from '../mux/session/pinger.js';
import { Session } from '../mux/session/session.js';
import type { OpenRequest } from '../mux/stream/stream_api.js';
import { type Agreement, channelTag } from '../mux/wire/agreement.js';
import type { Reason } from '../mux/wire/reasons.js';
import type { PeerNode } from './peer_port.js';

/** How a session came to its end. */
export interface SessionEnd {
  readonly reason: Reason;
  /** For people; may be empty. */
  readonly text: string;
  /** Set when the peer broke the protocol or the channel could not go on. */
  readonly error?: TunnelError;
}

export interface PeerSessionOptions {
  readonly node: PeerNode;
  readonly friend: number;
  readonly agreement: Agreement;
  readonly role: 'connector' | 'listener';
  readonly timers: Timers;
  readonly limits: Limits;
  readonly onOpen: (request: OpenRequest) => void;
  /** Nothing was heard of the peer for too long: time to {@link PeerSession.freeze}. */
  readonly onSilent: (session: PeerSession) => void;
  /** A frame came while frozen; told for each, until {@link PeerSession.thaw}. */
  readonly onHeard: (session: PeerSession) => void;
  /** Called once; the session is closed. Not called for our own {@link PeerSession.close}. */
  readonly onEnd: (session: PeerSession, end: SessionEnd) => void;
}

/** How often it is looked whether the last frames have arrived. */
const DRAIN_POLL_MS = 10;
/** How long a closing session waits for its last frames to arrive. */
const DRAIN_TIMEOUT_MS = 1_000;
/** How long a channel outlives the peer's BYE, so that its acknowledgement arrives: the peer waits for it. */
const LINGER_MS = 250;

/** One session with a peer, with its channel and its timer: from the handshake to the end. */
export class PeerSession implements ChannelHandlers {
  readonly agreement: Agreement;
  readonly #options: PeerSessionOptions;
  #channel: NodeChannel | undefined;
  #session: Session | undefined;
  #failure: TunnelError | undefined;
  #tick: TimerHandle | undefined;
  #idle: TimerHandle | undefined;
  #frozen = false;
  #ended = false;

  private constructor(options: PeerSessionOptions) {
    this.agreement = options.agreement;
    this.#options = options;
  }

  /**
   * Opens the channel, then the session on it.
   *
   * @throws {TunnelError} ERR_LIMIT with too many peers, ERR_WORKER_DIED, ERR_CLOSED, or why the
   *   channel failed meanwhile
   */
  static async open(options: PeerSessionOptions): Promise<PeerSession> {
    const self = new PeerSession(options);
    const { node, friend, agreement, role } = options;
    const channel = await node.openChannel(friend, agreement.frameBytes, channelTag(agreement, role), self);
    if (self.#failure !== undefined) {
      void node.closeChannel(channel);
      throw self.#failure;
    }
    self.#start(channel);
    return self;
  }

  /** The streams. */
  get session(): Session {
    // `open` gives no PeerSession away before its session is there.
    return this.#session!;
  }

  /** Pings the peer. @param callback gets the round trip; undefined when it cannot be measured */
  measure(callback: PingCallback): void {
    try {
      this.session.ping(callback);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      callback(undefined);
    }
  }

  frame(frame: Uint8Array): void {
    if (this.#ended) return;
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

  /** The friend is offline or silent: nothing is held against it. */
  freeze(): void {
    this.#frozen = true;
    this.#session?.freeze();
    this.#clearTick();
  }

  /** The friend is back, and so is its session. */
  thaw(): void {
    if (this.#ended) return;
    this.#frozen = false;
    this.#session?.thaw();
    this.#tickLater();
  }

  /** Ends without a word: the peer is gone, or another process. */
  abandon(reason: Reason): void {
    if (this.#ended) return;
    this.#stop();
    this.#session?.abandon(reason);
    if (this.#channel !== undefined) void this.#options.node.closeChannel(this.#channel);
  }

  /**
   * Says BYE, waits a moment for the last frames to arrive, and closes the channel. While frozen it ends without a
   * word, as the peer would not hear it; when the worker has died there is nothing to wait for. Never rejects.
   */
  async close(reason: Reason, text = ''): Promise<void> {
    if (this.#frozen) this.abandon(reason);
    if (this.#ended) return;
    this.#stop();
    this.#session?.close(reason, text);
    await this.#closeDrained(0);
  }

  #start(channel: NodeChannel): void {
    const { agreement, role, timers, limits, onOpen } = this.#options;
    this.#channel = channel;
    this.#session = new Session({
      sink: channel,
      clock: timers,
      random16: () => Uint8Array.from(randomBytes(16)),
      frameBytes: agreement.frameBytes,
      role,
      onOpen,
      onBye: (reason, text) => this.#end({ reason, text }),
      onTickSooner: () => this.#tickLater(),
      limits: {
        streams: limits.maxStreams,
        opensPerSecond: limits.maxOpensPerSecond,
        controlFramesPerSecond: limits.maxControlFramesPerSecond,
        maxStreamWindowBytes: limits.maxStreamBufferBytes,
        initialWindowBytes: Math.min(INITIAL_WINDOW_BYTES, limits.maxStreamBufferBytes),
        maxPeerWindowBytes: limits.maxPeerBufferBytes,
        maxHeldBytes: limits.maxPeerBufferBytes,
      },
    });
    this.#tickLater();
    this.#watchIdle();
  }

  /** Ends the session when it has had no stream for as long as it may. */
  #watchIdle(): void {
    const { limits, timers } = this.#options;
    if (limits.idleTimeoutMs === 0 || this.#ended) return;
    const leftMs = limits.idleTimeoutMs - this.session.idleMs;
    if (leftMs <= 0) {
      const text = `no stream for ${limits.idleTimeoutMs / 1000} s`;
      this.session.close('limit', text);
      this.#end({ reason: 'limit', text });
      return;
    }
    this.#idle = timers.set(() => this.#watchIdle(), leftMs);
  }

  #tickLater(): void {
    this.#clearTick();
    if (this.#frozen || this.#ended) return;
    const delayMs = this.#session?.nextTickMs() ?? Number.POSITIVE_INFINITY;
    if (!Number.isFinite(delayMs)) return;
    this.#tick = this.#options.timers.set(() => {
      this.#tick = undefined;
      if (this.#session?.tick() === 'dead') this.#options.onSilent(this);
      else this.#tickLater();
    }, delayMs);
  }

  #clearTick(): void {
    if (this.#tick !== undefined) this.#options.timers.clear(this.#tick);
    this.#tick = undefined;
  }

  #stop(): void {
    this.#ended = true;
    this.#clearTick();
    if (this.#idle !== undefined) this.#options.timers.clear(this.#idle);
  }

  #end(end: SessionEnd): void {
    if (this.#ended) return;
    this.#stop();
    void this.#closeDrained(LINGER_MS);
    this.#options.onEnd(this, end);
  }

  async #closeDrained(leastMs: number): Promise<void> {
    const { node, timers } = this.#options;
    const channel = this.#channel;
    if (channel === undefined) return;
    const startMs = timers.nowMs();
    for (;;) {
      const waitedMs = timers.nowMs() - startMs;
      if (waitedMs >= DRAIN_TIMEOUT_MS) break;
      if (waitedMs >= leastMs && !(await this.#hasFramesToSend(channel))) break;
      await new Promise<void>((resolve) => timers.set(resolve, DRAIN_POLL_MS));
    }
    await node.closeChannel(channel);
  }

  /** Frames that wait, or that may have to be sent again. */
  async #hasFramesToSend(channel: NodeChannel): Promise<boolean> {
    if (this.#failure !== undefined || channel.isGone) return false;
    if (this.#session?.hasByeToSend) return true;
    const stats = await this.#options.node.channelStats(channel).catch(() => undefined);
    return stats !== undefined && stats.backlogBytes + stats.inFlightBytes > 0;
  }
}
