import type { ByteRates } from '../core/allowance.js';
import type { ByteBudget } from '../core/byte_budget.js';
import { Timer, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import type { Logger } from '../core/logger.js';
import type { Limits } from '../core/peer_limits.js';
import type { ReturnCode } from '../core/return_codes.js';
import type { Path } from '../core/tox_network.js';
import type { PingCallback } from '../mux/session/pinger.js';
import type { SessionStats } from '../mux/session/session_options.js';
import type { OpenRequest } from '../mux/stream/stream_api.js';
import { type Agreement, type HandshakeOffer, ourOffer, resumes } from '../mux/wire/agreement.js';
import type { Reason } from '../mux/wire/reasons.js';
import { newId } from '../mux/wire/stream_id.js';
import type { ToldLimits } from '../mux/wire/told_limits.js';
import type { PeerRates } from './peer_rates.js';
import { type CloseDeadline, type PeerNode, PeerSession, type SessionEnd } from './peer_session.js';
import { addTraffic, NO_TRAFFIC, type Traffic, trafficOf } from './traffic.js';

/** What all peers of one tunnel share. */
export interface PeerContext {
  readonly node: PeerNode;
  readonly timers: Timers;
  randomBytes(count: number): Uint8Array;
  readonly logger: Logger;
  readonly limits: Limits;
  /** Those of all peers of the tunnel. */
  readonly rates: PeerRates;
  /** The memory of the process for received bytes. Default: unlimited. */
  readonly received?: ByteBudget;
  /** How long streams survive while the peer is offline or silent, in milliseconds. 0: not at all. */
  readonly patienceMs: number;
}

/** Which peer it is. */
export interface PeerName {
  /** The friend's number in toxcore. */
  readonly friend: number;
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
}

/** What both kinds of peer report to their owner. */
export interface PeerEvents {
  onCode(code: ReturnCode, detail?: string): void;
  onStatus(status: 'online' | 'offline', path: Path): void;
  /**
   * The round trip over a path reported as online, once each time. Without this callback, nothing is
   * measured.
   */
  onRoundTrip?(path: Path, roundTripMs: number): void;
  /** The peer asks for a stream. */
  onOpen(request: OpenRequest): void;
}

/** `joined`; `absent` when the friend or this end was gone by then; or why there is no channel. */
export type Joined = 'joined' | 'absent' | TunnelError;

/**
 * What a listener's and a connector's side of a peer share. The session opens when the handshake
 * agrees, freezes while the friend is offline or silent, and ends when patience runs out.
 */
export abstract class PeerLife {
  readonly friend: number;
  protected readonly publicKey: string;
  protected readonly context: PeerContext;
  protected path: Path = 'none';
  protected closed = false;
  readonly #events: PeerEvents;
  readonly #patience: Timer;
  #current: PeerSession | undefined;
  /** The session last passed to {@link sessionChanged}. */
  #shown: PeerSession | undefined;
  #online = false;
  #onlineSinceMs = 0;
  /** The newest handshake packet that waits while an earlier one is handled. */
  #packet: Uint8Array | undefined;
  #acting = false;
  /** Number of round-trip requests so far. Only the answer to the last one counts. */
  #asked = 0;
  /** The traffic of earlier sessions. */
  #past = NO_TRAFFIC;

  protected constructor(context: PeerContext, { friend, publicKey }: PeerName, events: PeerEvents) {
    this.context = context;
    this.friend = friend;
    this.publicKey = publicKey;
    this.#events = events;
    this.#patience = new Timer(context.timers);
  }

  protected abstract readonly role: 'connector' | 'listener';
  /** The friend came online: time for a handshake. */
  protected abstract cameOnline(): void;
  protected abstract wentOffline(): void;
  /** The session is silent although the friend is online. It may have ended at the other end. */
  protected abstract wentSilent(): void;
  /** Whether {@link act} handles this handshake packet. */
  protected abstract knows(packet: Uint8Array): boolean;
  /** Handles a handshake packet. Never called while an earlier call runs. */
  protected abstract act(packet: Uint8Array): Promise<void>;
  /** A session accepts new streams; undefined: no session does, because there is none or it is frozen. */
  protected abstract sessionChanged(session: PeerSession | undefined): void;
  /** The session ended: by the peer's BYE, its silence, or an error. */
  protected abstract sessionEnded(end: SessionEnd): void;

  /** True while streams can be opened. */
  get isOnline(): boolean {
    return this.#online;
  }

  get currentPath(): Path {
    return this.path;
  }

  /** Traffic of all sessions so far. */
  get traffic(): Traffic {
    const stats = this.sessionStats;
    return stats === undefined ? this.#past : addTraffic(this.#past, trafficOf(stats));
  }

  /** Statistics of the current session. */
  get sessionStats(): SessionStats | undefined {
    return this.#current?.session.stats();
  }

  /** Milliseconds since streams can be opened; undefined while they cannot. */
  get onlineForMs(): number | undefined {
    return this.#online ? this.context.timers.nowMs() - this.#onlineSinceMs : undefined;
  }

  /** Pings the peer. @param callback receives the round trip; undefined when there will be no answer */
  ping(callback: PingCallback): void {
    if (this.#current === undefined) callback(undefined);
    else this.#current.measure(callback);
  }

  friendPath(path: Path): void {
    const was = this.path;
    this.path = path;
    if (this.closed || path === was) return;
    if (path === 'none') {
      this.wentOffline();
      this.#freeze();
    } else if (was === 'none') {
      this.cameOnline();
    } else if (this.#online) {
      this.#events.onStatus('online', path);
      this.#askRoundTrip();
    }
  }

  /** The Tox session with the friend: see {@link Sessions.binding}. Empty, which proves nothing, without one. */
  protected get binding(): Uint8Array {
    return this.context.node.sessionBinding(this.friend) ?? new Uint8Array(0);
  }

  /** Rates that the next session shares with other peers. */
  protected get sharedRates(): ByteRates | undefined {
    return undefined;
  }

  /** What this end lets the peer open. The peer is told, so that it can observe these limits. */
  protected get ownLimits(): ToldLimits {
    const { maxStreams: streams, maxOpensPerSecond: opensPerSecond } = this.context.limits;
    return { streams, opensPerSecond };
  }

  /** Takes a lossless handshake packet from the friend. Of several that wait, only the newest is handled. */
  async handshake(packet: Uint8Array): Promise<void> {
    if (!this.knows(packet)) return;
    this.#packet = packet;
    if (this.#acting) return;
    this.#acting = true;
    try {
      while (this.#packet !== undefined && !this.closed) {
        const next = this.#packet;
        this.#packet = undefined;
        await this.act(next);
      }
    } finally {
      this.#acting = false;
    }
  }

  /**
   * Returns a function that tells whether all that was written so far is on its way, or cannot be: a peer that is
   * away gets nothing more.
   */
  sendMark(): () => boolean {
    const current = this.#current;
    if (current === undefined) return () => true;
    const isSent = current.session.sendMark();
    return () => this.#current !== current || !this.#online || isSent();
  }

  /** Sends BYE and ends permanently. Never rejects. @param deadline see {@link PeerSession.close} */
  async close(reason: Reason, deadline?: CloseDeadline): Promise<void> {
    this.closed = true;
    await this.#forget()?.close(reason, deadline);
  }

  /** Streams of the current session. */
  protected get openStreams(): number {
    return this.#current?.session.streamCount ?? 0;
  }

  /** The agreement of the current session. */
  protected get agreement(): Agreement | undefined {
    return this.#current?.agreement;
  }

  /** The two ends have agreed in the handshake: resumes the session that it names, or replaces the older one. */
  protected async agreed(agreement: Agreement): Promise<Joined> {
    if (!this.#isThere()) return 'absent';
    // The caller has just checked the proof in it.
    const { binding } = this;
    if (this.#current !== undefined && resumes(this.#current.agreement, agreement)) {
      this.#current.resume(binding);
      this.#thawed();
      return 'joined';
    }
    this.#drop('session-replaced');
    const session = await this.#open(agreement, binding);
    if (!(session instanceof PeerSession)) return session;
    if (!this.#isThere()) {
      session.abandon('cancelled');
      return 'absent';
    }
    this.#current = session;
    this.#setOnline(true);
    // Unless a handler has closed it at once.
    if (this.#current !== session) return 'absent';
    this.#show(session);
    return 'joined';
  }

  /** Sends a handshake packet, and reports the outcome as a code. */
  protected async send(packet: Uint8Array): Promise<void> {
    const { worker } = this.context.node;
    const sent = await worker.sendHandshake(this.friend, packet).catch(tunnelErrorOf);
    // Only a node that is gone rejects, and the node reports that itself.
    if (!TunnelError.is(sent) && !this.closed) this.#events.onCode(sent.code, sent.reason);
  }

  async #open(agreement: Agreement, binding: Uint8Array): Promise<PeerSession | Exclude<Joined, 'joined'>> {
    // A handler that heard of the older session's end may have closed this peer.
    if (this.closed) return 'absent';
    const { node, timers, randomBytes, limits, rates, received } = this.context;
    return await PeerSession.open({
      node,
      friend: this.friend,
      agreement,
      binding,
      role: this.role,
      timers,
      randomBytes,
      limits,
      rates: rates.of(this.publicKey, timers.nowMs()),
      sharedRates: this.sharedRates,
      ...(received === undefined ? {} : { received }),
      onOpen: (request) => this.#events.onOpen(request),
      onSilent: (session) => this.#onSilent(session),
      onHeard: (session) => {
        // Frames that were in flight when the friend went offline prove nothing, and neither do those of another Tox
        // session before its handshake.
        if (session !== this.#current || this.path === 'none' || !session.isProvenIn(this.binding)) return;
        session.thaw();
        this.#thawed();
      },
      onEnd: (session, end) => this.#onEnd(session, end),
    }).catch(tunnelErrorOf);
  }

  #isThere(): boolean {
    return !this.closed && this.path !== 'none';
  }

  #onSilent(session: PeerSession): void {
    if (session !== this.#current) return;
    this.#freeze();
    if (session === this.#current) this.wentSilent();
  }

  #onEnd(session: PeerSession, end: SessionEnd): void {
    if (session !== this.#current) return;
    this.#forget();
    if (!this.closed) this.sessionEnded(end);
  }

  #freeze(): void {
    const current = this.#current;
    if (current === undefined) return;
    current.freeze();
    this.#setOnline(false);
    if (this.#current !== current) return; // a handler closed it
    const { patienceMs } = this.context;
    if (patienceMs > 0) {
      // Open streams wait. New ones are not requested while nobody can answer.
      this.#show(undefined);
      // Silent first and then offline: still one wait.
      if (!this.#patience.isSet) this.#patience.set(patienceMs, () => this.#giveUp());
    } else {
      this.#giveUp();
    }
  }

  #thawed(): void {
    this.#patience.clear();
    const current = this.#current;
    this.#setOnline(true);
    if (current !== undefined && this.#current === current) this.#show(current);
  }

  /** The peer stayed away for as long as streams may wait, so their sockets are closed. */
  #giveUp(): void {
    const { patienceMs } = this.context;
    const waited = patienceMs > 0 ? ` for ${patienceMs / 1000} s` : '';
    const what = this.path === 'none' ? 'offline' : 'silent';
    const text = `${what}${waited}: its streams are reset`;
    this.#events.onCode(204, text);
    this.#drop('peer-silent');
    // A handler may have closed it.
    if (!this.closed) this.sessionEnded({ reason: 'peer-silent', text });
  }

  #drop(reason: Reason): void {
    this.#forget()?.abandon(reason);
  }

  /** Removes the current session, and keeps its traffic. */
  #forget(): PeerSession | undefined {
    this.#patience.clear();
    const current = this.#current;
    if (current === undefined) return undefined;
    this.#past = this.traffic;
    this.#current = undefined;
    this.#show(undefined);
    this.#setOnline(false);
    return current;
  }

  #show(session: PeerSession | undefined): void {
    if (session === this.#shown) return;
    this.#shown = session;
    this.sessionChanged(session);
  }

  #setOnline(online: boolean): void {
    if (online === this.#online) return;
    this.#online = online;
    if (online) this.#onlineSinceMs = this.context.timers.nowMs();
    this.#events.onStatus(online ? 'online' : 'offline', online ? this.path : 'none');
    if (online) this.#askRoundTrip();
  }

  /** Measures the round trip over the current path, and reports it when the answer arrives. */
  #askRoundTrip(): void {
    const events = this.#events;
    const current = this.#current;
    const { path } = this;
    const { timers } = this.context;
    if (current === undefined || events.onRoundTrip === undefined) return;
    const askedMs = timers.nowMs();
    const asked = ++this.#asked;
    current.measure((roundTripMs) => {
      if (roundTripMs === undefined || !this.#online || asked !== this.#asked) return;
      // The answer to a ping sent before this path was in use says nothing about it.
      if (roundTripMs > timers.nowMs() - askedMs) this.#askRoundTrip();
      else events.onRoundTrip?.(path, roundTripMs);
    });
  }
}

/** This end's part of a handshake for a new session. */
export function newOffer({ randomBytes }: Pick<PeerContext, 'randomBytes'>): HandshakeOffer {
  return ourOffer(newId(randomBytes(16)));
}

/** The node was closed, or has reported its death itself: there is nothing to report or to retry. */
export function isNodeGone(error: TunnelError): boolean {
  return error.code === 'ERR_CLOSED' || error.code === 'ERR_WORKER_DIED';
}

/** Returns the error if it is an intended rejection; rethrows anything else as a fault. */
function tunnelErrorOf(error: unknown): TunnelError {
  if (TunnelError.is(error)) return error;
  throw error;
}
