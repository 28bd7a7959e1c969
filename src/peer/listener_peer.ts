import type { Verdict } from '../access/policy.js';
import type { Sessions } from '../access/proof.js';
import type { ByteRates } from '../core/allowance.js';
import { Timer } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { KIND_HELLO } from '../core/packets.js';
import {
  type Agreement,
  answerHello,
  type HandshakeOffer,
  refuseOf,
  welcomeOf,
} from '../mux/wire/agreement.js';
import {
  encodeChallenge,
  encodeRefuse,
  encodeWelcome,
  FIELD_PROOF,
  packetKind,
  type Refuse,
} from '../mux/wire/handshake.js';
import type { Reason } from '../mux/wire/reasons.js';
import { isIdAt } from '../mux/wire/stream_id.js';
import { withLimits } from '../mux/wire/told_limits.js';
import type { Grant } from '../rules/rule_book.js';
import {
  isNodeGone,
  newOffer,
  type PeerContext,
  type PeerEvents,
  PeerLife,
  type PeerName,
} from './peer_life.js';
import type { CloseDeadline, PeerSession, SessionEnd } from './peer_session.js';

/**
 * How long the friend is kept after its BYE, so that the acknowledgement reaches it, unless it leaves first.
 */
const LEAVE_MS = 1_000;

const OTHER_RATE =
  'this session keeps to the rate of another ticket; start the connector again with the new ticket';

/** What a listener's peer asks of its owner and reports to it. */
export interface ListenerPeerEvents extends PeerEvents {
  /**
   * Decides whether a hello lets the peer in.
   *
   * @param proof the proof in the hello; undefined when there is none
   * @param resumes whether the two sessions are joined already
   */
  onHello(proof: Uint8Array | undefined, sessions: Sessions, resumes: boolean): Verdict;
  /** Reports what let the peer in. Called before the session that it applies to. */
  onGrant(grant: Grant): void;
  /** The rates that a session with this grant shares with the other holders of its ticket. */
  onRates?(grant: Grant): ByteRates | undefined;
  /** The friend is gone and no stream waits for it: its place is free for others. */
  onIdle(): void;
  /**
   * The peer's process ends. If it stayed a friend, toxcore would mistake the next process at its address for
   * it.
   */
  onLeft(): void;
}

/** The listener's side of one peer: answers its hellos. */
export class ListenerPeer extends PeerLife {
  protected override readonly role = 'listener';
  readonly #events: ListenerPeerEvents;
  /** The offer of the newest session. */
  #offer: HandshakeOffer = newOffer(this.context);
  /** The session that a hello creates once it is proven, and the connector's session that it belongs to. */
  #candidate: { readonly connector: Uint8Array; readonly offer: HandshakeOffer } | undefined;
  /** What let the peer in; undefined until then. */
  #grant: Grant | undefined;
  #hasMet = false;
  /** When the friend was last online. */
  #seenMs: number;
  readonly #leaving: Timer;
  /** Runs while the friend is online and has no session. */
  readonly #awaitingHello: Timer;

  constructor(context: PeerContext, name: PeerName, events: ListenerPeerEvents) {
    super(context, name, events);
    this.#events = events;
    this.#seenMs = context.timers.nowMs();
    this.#leaving = new Timer(context.timers);
    this.#awaitingHello = new Timer(context.timers);
  }

  /** True once the peer has completed a handshake. */
  get hasMet(): boolean {
    return this.#hasMet;
  }

  /** True while the friend is offline and no stream waits for it. A frozen session without streams loses nothing. */
  get isIdle(): boolean {
    return this.path === 'none' && this.openStreams === 0;
  }

  /** Milliseconds since the friend went offline; 0 while it is not {@link isIdle}. */
  get idleMs(): number {
    return this.isIdle ? this.context.timers.nowMs() - this.#seenMs : 0;
  }

  override async close(reason: Reason, deadline?: CloseDeadline): Promise<void> {
    this.#leaving.clear();
    this.#awaitingHello.clear();
    await super.close(reason, deadline);
  }

  protected override cameOnline(): void {
    this.context.logger.log('debug', 'a friend is online; waiting for its handshake', {
      peer: this.publicKey,
    });
    this.#awaitHello();
  }

  protected override wentOffline(): void {
    this.#awaitingHello.clear();
    this.#seenMs = this.context.timers.nowMs();
    this.#idleNow();
    if (this.#leaving.isSet) this.#leave();
  }

  protected override get sharedRates(): ByteRates | undefined {
    return this.#ratesOf(this.#grant);
  }

  /** Saying hello is the connector's part. */
  protected override wentSilent(): void {}

  protected override sessionChanged(_session: PeerSession | undefined): void {}

  protected override sessionEnded({ reason, text, error }: SessionEnd): void {
    const level = error === undefined ? 'info' : 'warn';
    this.context.logger.log(level, `a peer's session ended: ${text || reason}`, {
      peer: this.publicKey,
      reason,
    });
    this.#idleNow();
    if (reason === 'peer-shutdown') this.#leaving.set(LEAVE_MS, () => this.#leave());
    else if (this.path !== 'none') this.#awaitHello();
  }

  protected override knows(packet: Uint8Array): boolean {
    return packetKind(packet) === KIND_HELLO;
  }

  protected override async act(packet: Uint8Array): Promise<void> {
    const first = answerHello(this.#offer, packet);
    if (first.kind === 'refused') {
      await this.#refuse(first.refuse);
      return;
    }
    const connector = first.agreement.theirSession;
    const offer = this.#offerFor(connector);
    const resumes = this.agreement !== undefined && isIdAt(this.agreement.ourSession, offer.session, 0);
    const proof = first.agreement.fields.get(FIELD_PROOF);
    const sessions = { connector, listener: offer.session, binding: this.binding };
    const verdict = this.#events.onHello(proof, sessions, resumes);
    switch (verdict.kind) {
      case 'challenge':
        await this.send(
          encodeChallenge({ connectorSession: connector, session: offer.session, fields: new Map() }),
        );
        break;
      case 'refuse':
        await this.#refuse(refuseOf(offer, 'not-allowed', verdict.text));
        break;
      case 'welcome':
        // The session keeps the rates that it began with, so another ticket must not take it over.
        if (resumes && this.#ratesOf(verdict.grant) !== this.#ratesOf(this.#grant)) {
          await this.#refuse(refuseOf(offer, 'not-allowed', OTHER_RATE));
          break;
        }
        this.#grant = verdict.grant;
        this.#offer = offer;
        this.#candidate = undefined;
        this.#events.onGrant(verdict.grant);
        await this.#welcome({ ...first.agreement, ourSession: offer.session }, verdict.proof);
    }
  }

  #ratesOf(grant: Grant | undefined): ByteRates | undefined {
    return grant && this.#events.onRates?.(grant);
  }

  /** This end's offer for that session of the connector. */
  #offerFor(connector: Uint8Array): HandshakeOffer {
    const known = this.agreement;
    if (known !== undefined && isIdAt(known.theirSession, connector, 0))
      return { ...this.#offer, session: known.ourSession };
    if (this.#candidate === undefined || !isIdAt(this.#candidate.connector, connector, 0)) {
      // This is another process, or the first: it gets its own session.
      this.#candidate = { connector, offer: newOffer(this.context) };
    }
    return this.#candidate.offer;
  }

  async #welcome(agreement: Agreement, proof: Uint8Array | undefined): Promise<void> {
    const joined = await this.agreed(agreement);
    if (joined === 'joined') {
      this.#hasMet = true;
      this.#leaving.clear();
      this.#awaitingHello.clear();
      const fields = proof === undefined ? new Map<number, Uint8Array>() : new Map([[FIELD_PROOF, proof]]);
      await this.send(encodeWelcome(welcomeOf(this.#offer, agreement, withLimits(fields, this.ownLimits))));
    } else if (TunnelError.is(joined) && !this.closed && !isNodeGone(joined)) {
      this.context.logger.log('warn', `no channel for a peer: ${joined.message}`, { peer: this.publicKey });
      await this.#refuse(
        joined.code === 'ERR_LIMIT'
          ? refuseOf(this.#offer, 'limit', joined.message)
          : refuseOf(this.#offer, 'internal', 'the channel could not be opened; try again'),
      );
    }
  }

  async #refuse(refuse: Refuse): Promise<void> {
    this.context.logger.log('warn', `refused a peer's handshake: ${refuse.text}`, {
      peer: this.publicKey,
      reason: refuse.reason,
    });
    await this.send(encodeRefuse(refuse));
  }

  /** A friend that never completes a handshake would block a place for others, so it loses the place. */
  #awaitHello(): void {
    const { limits, logger } = this.context;
    this.#awaitingHello.set(limits.handshakeTimeoutMs, () => {
      const waited = `${limits.handshakeTimeoutMs / 1000} s`;
      logger.log('warn', `dropped a friend that did not complete the handshake within ${waited}`, {
        peer: this.publicKey,
      });
      this.#leave();
    });
  }

  #leave(): void {
    this.#leaving.clear();
    this.#events.onLeft();
  }

  #idleNow(): void {
    if (this.isIdle) this.#events.onIdle();
  }
}
