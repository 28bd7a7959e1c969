import type { TimerHandle } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import type { Path } from '../core/tox_network.js';
import type { SessionStats } from '../mux/session/session_options.js';
import { type Agreement, resumes } from '../mux/wire/agreement.js';
import type { Reason } from '../mux/wire/reasons.js';
import type { PeerPort } from './peer_port.js';
import { PeerSession, type SessionEnd } from './peer_session.js';
import { addTraffic, NO_TRAFFIC, type Traffic, trafficOf } from './traffic.js';

/** Joined; the friend or we were gone before; or why there is no channel. */
export type Joined = 'joined' | 'absent' | TunnelError;

/**
 * What a listener's and a connector's side of a peer share: the session is opened when the
 * handshake agrees, frozen while the friend is offline or silent, and gone when patience ends.
 */
export abstract class PeerLife {
  protected readonly port: PeerPort;
  protected path: Path = 'none';
  protected closed = false;
  #current: PeerSession | undefined;
  /** The session that was told by {@link sessionChanged}. */
  #shown: PeerSession | undefined;
  #patience: TimerHandle | undefined;
  #online = false;
  #onlineMs = 0;
  /** The newest packet of the handshake waits while the one before is acted on. */
  #packet: Uint8Array | undefined;
  #acting = false;
  /** How often the round trip was asked for: the last time counts. */
  #asked = 0;
  /** Of sessions that are over. */
  #past = NO_TRAFFIC;

  protected constructor(port: PeerPort) {
    this.port = port;
  }

  /** The friend's number in toxcore. */
  abstract readonly friend: number;
  protected abstract readonly role: 'connector' | 'listener';
  /** The friend came online: time for a handshake. */
  protected abstract cameOnline(): void;
  protected abstract wentOffline(): void;
  /** Nothing is heard of the session although the friend is online; it may have ended over there. */
  protected abstract wentSilent(): void;
  /** Whether {@link act} knows this packet of the handshake. */
  protected abstract knows(packet: Uint8Array): boolean;
  /** Does what the packet asks for; never two at once. */
  protected abstract act(packet: Uint8Array): Promise<void>;
  /** A session can take new streams, or (undefined) there is none such: none at all, or one that is frozen. */
  protected abstract sessionChanged(session: PeerSession | undefined): void;
  /** The session is over by the peer's word, its silence or its fault. */
  protected abstract sessionEnded(end: SessionEnd): void;

  /** True while streams can be opened. */
  get isOnline(): boolean {
    return this.#online;
  }

  get currentPath(): Path {
    return this.path;
  }

  get traffic(): Traffic {
    const stats = this.sessionStats;
    return stats === undefined ? this.#past : addTraffic(this.#past, trafficOf(stats));
  }

  /** Of the session that there is. */
  get sessionStats(): SessionStats | undefined {
    return this.#current?.session.stats();
  }

  /** Milliseconds since streams can be opened; undefined while they cannot. */
  get onlineForMs(): number | undefined {
    return this.#online ? this.port.timers.nowMs() - this.#onlineMs : undefined;
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
      this.port.onStatus('online', path);
      this.#askRoundTrip();
    }
  }

  /** A lossless packet of the handshake came from the friend. Of several that wait the newest counts. */
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

  /** Says BYE and ends for good. Never rejects. */
  async close(reason: Reason): Promise<void> {
    this.closed = true;
    await this.#forget()?.close(reason);
  }

  /** Of the session that there is. */
  protected get agreement(): Agreement | undefined {
    return this.#current?.agreement;
  }

  /** The handshake has agreed: goes on with the session it names, or opens it in place of an older one. */
  protected async agreed(agreement: Agreement): Promise<Joined> {
    if (!this.#isThere()) return 'absent';
    if (this.#current !== undefined && resumes(this.#current.agreement, agreement)) {
      this.#thaw();
      return 'joined';
    }
    this.#drop('session-replaced');
    const session = await this.#open(agreement);
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

  /** Sends a packet of the handshake, and tells what came of it. */
  protected async send(packet: Uint8Array): Promise<void> {
    const sent = await this.port.node.sendHandshake(this.friend, packet).catch(tunnelErrorOf);
    // Only a node that is gone refuses, and that is told as such.
    if (!TunnelError.is(sent) && !this.closed) this.port.onCode(sent.code, sent.reason);
  }

  async #open(agreement: Agreement): Promise<PeerSession | Exclude<Joined, 'joined'>> {
    // A handler that heard of the older one's end may have closed this.
    if (this.closed) return 'absent';
    return await PeerSession.open({
      node: this.port.node,
      friend: this.friend,
      agreement,
      role: this.role,
      timers: this.port.timers,
      limits: this.port.limits,
      onOpen: this.port.onOpen,
      onSilent: (session) => this.#onSilent(session),
      onHeard: (session) => {
        // Frames that were on the way when the friend went offline say nothing.
        if (session === this.#current && this.path !== 'none') this.#thaw();
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
    if (this.#current !== current) return; // by a handler
    if (this.port.patienceMs > 0) {
      // Streams that are open wait; new ones are not to be asked for while nobody can answer.
      this.#show(undefined);
      // Silent first and offline then: that is one wait.
      this.#patience ??= this.port.timers.set(() => this.#giveUp(), this.port.patienceMs);
    } else {
      this.#giveUp();
    }
  }

  #thaw(): void {
    this.#clearPatience();
    const current = this.#current;
    current?.thaw();
    this.#setOnline(true);
    if (current !== undefined && this.#current === current) this.#show(current);
  }

  /** No word of the peer for as long as streams may wait: its sockets are not kept open for ever. */
  #giveUp(): void {
    const waited = this.port.patienceMs > 0 ? ` for ${this.port.patienceMs / 1000} s` : '';
    const what = this.path === 'none' ? 'offline' : 'silent';
    const text = `${what}${waited}: its streams are reset`;
    this.port.onCode(204, text);
    this.#drop('peer-silent');
    // A handler may have closed it.
    if (!this.closed) this.sessionEnded({ reason: 'peer-silent', text });
  }

  #drop(reason: Reason): void {
    this.#forget()?.abandon(reason);
  }

  /** Takes the session out of this life, its traffic counted. */
  #forget(): PeerSession | undefined {
    this.#clearPatience();
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
    if (online) this.#onlineMs = this.port.timers.nowMs();
    this.port.onStatus(online ? 'online' : 'offline', online ? this.path : 'none');
    if (online) this.#askRoundTrip();
  }

  /** Measures the path that there is now, and tells of it when the answer comes. */
  #askRoundTrip(): void {
    const current = this.#current;
    const { path, port } = this;
    if (current === undefined || port.onRoundTrip === undefined) return;
    const askedMs = port.timers.nowMs();
    const asked = ++this.#asked;
    current.measure((roundTripMs) => {
      if (roundTripMs === undefined || !this.#online || asked !== this.#asked) return;
      // The answer to a ping from before this path says nothing about it.
      if (roundTripMs > port.timers.nowMs() - askedMs) this.#askRoundTrip();
      else port.onRoundTrip?.(path, roundTripMs);
    });
  }

  #clearPatience(): void {
    if (this.#patience !== undefined) this.port.timers.clear(this.#patience);
    this.#patience = undefined;
  }
}

/** What was refused on purpose; anything else is a fault, and thrown on. */
function tunnelErrorOf(error: unknown): TunnelError {
  if (TunnelError.is(error)) return error;
  throw error;
}
