import type { Verdict } from '../access/policy.js';
import type { Sessions } from '../access/proof.js';
import type { TimerHandle } from '../core/clock.js';
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
import type { Grant } from '../rules/rule_book.js';
import { newOffer } from './offer.js';
import { PeerLife } from './peer_life.js';
import { isNodeGone, type PeerPort } from './peer_port.js';
import type { PeerSession, SessionEnd } from './peer_session.js';

/** After a good-bye, how long the friend is kept for the acknowledgement to arrive, when it does not go before. */
const LEAVE_MS = 1_000;

export interface ListenerPeerPort extends PeerPort {
  /**
   * Whether a hello lets the peer in.
   *
   * @param proof what stands in its field; undefined when there is none
   * @param resumes the two sessions are joined already
   */
  readonly onHello: (proof: Uint8Array | undefined, sessions: Sessions, resumes: boolean) => Verdict;
  /** What the peer has been let in by; told before the session that it counts for. */
  readonly onGrant: (grant: Grant) => void;
  /** The friend is gone and no stream waits for it: its place may be given to another. */
  readonly onIdle: () => void;
  /** It said that its process ends. Kept as a friend, toxcore would take the next one at its address for it. */
  readonly onLeft: () => void;
}

/** The listener's side of one peer: answers its hellos. */
export class ListenerPeer extends PeerLife {
  override readonly friend: number;
  protected override readonly role = 'listener';
  protected override readonly port: ListenerPeerPort;
  /** Of the newest session. */
  #offer: HandshakeOffer = newOffer();
  /** The session that a hello would make once it is proven, and the connector's that it is for. */
  #candidate: { readonly connector: Uint8Array; readonly offer: HandshakeOffer } | undefined;
  #hasMet = false;
  /** When the friend was last online or had streams that wait, on the port's clock. */
  #seenMs: number;
  #leaving: TimerHandle | undefined;
  /** Runs while the friend is online and has no session. */
  #shakeHands: TimerHandle | undefined;

  constructor(port: ListenerPeerPort, friend: number) {
    super(port);
    this.port = port;
    this.friend = friend;
    this.#seenMs = port.timers.nowMs();
  }

  /** True once it has passed a handshake. */
  get hasMet(): boolean {
    return this.#hasMet;
  }

  /** Neither is the friend there, nor do its streams wait for it. */
  get isIdle(): boolean {
    return this.path === 'none' && this.agreement === undefined;
  }

  /** Milliseconds since it was last not {@link isIdle}. */
  get idleMs(): number {
    return this.isIdle ? this.port.timers.nowMs() - this.#seenMs : 0;
  }

  override async close(reason: Reason): Promise<void> {
    this.#stay();
    this.#stopWaiting();
    await super.close(reason);
  }

  protected override cameOnline(): void {
    this.port.logger.log('debug', 'a friend is online; waiting for its handshake', {
      peer: this.port.publicKey,
    });
    this.#waitForHandshake();
  }

  protected override wentOffline(): void {
    this.#stopWaiting();
    this.#idleNow();
    if (this.#leaving !== undefined) this.#leave();
  }

  /** It is the connector who says hello. */
  protected override wentSilent(): void {}

  protected override sessionChanged(_session: PeerSession | undefined): void {}

  protected override sessionEnded({ reason, text, error }: SessionEnd): void {
    const level = error === undefined ? 'info' : 'warn';
    this.port.logger.log(level, `a peer's session ended: ${text || reason}`, {
      peer: this.port.publicKey,
      reason,
    });
    this.#idleNow();
    if (reason === 'peer-shutdown') this.#leaving = this.port.timers.set(() => this.#leave(), LEAVE_MS);
    else if (this.path !== 'none') this.#waitForHandshake();
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
    const verdict = this.port.onHello(proof, { connector, listener: offer.session }, resumes);
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
        this.#offer = offer;
        this.#candidate = undefined;
        this.port.onGrant(verdict.grant);
        await this.#welcome({ ...first.agreement, ourSession: offer.session }, verdict.proof);
    }
  }

  /** What this end brings into a session with that one of the connector. */
  #offerFor(connector: Uint8Array): HandshakeOffer {
    const known = this.agreement;
    if (known !== undefined && isIdAt(known.theirSession, connector, 0))
      return { ...this.#offer, session: known.ourSession };
    if (this.#candidate === undefined || !isIdAt(this.#candidate.connector, connector, 0)) {
      // Another process, or the first: it gets a session of its own.
      this.#candidate = { connector, offer: newOffer() };
    }
    return this.#candidate.offer;
  }

  async #welcome(agreement: Agreement, proof: Uint8Array | undefined): Promise<void> {
    const joined = await this.agreed(agreement);
    if (joined === 'joined') {
      this.#hasMet = true;
      this.#stay();
      this.#stopWaiting();
      const fields = proof === undefined ? new Map<number, Uint8Array>() : new Map([[FIELD_PROOF, proof]]);
      await this.send(encodeWelcome(welcomeOf(this.#offer, agreement, fields)));
    } else if (TunnelError.is(joined) && !this.closed && !isNodeGone(joined)) {
      this.port.logger.log('warn', `no channel for a peer: ${joined.message}`, { peer: this.port.publicKey });
      await this.#refuse(
        joined.code === 'ERR_LIMIT'
          ? refuseOf(this.#offer, 'limit', joined.message)
          : refuseOf(this.#offer, 'internal', 'the channel could not be opened; try again'),
      );
    }
  }

  async #refuse(refuse: Refuse): Promise<void> {
    this.port.logger.log('warn', `a peer's handshake was refused: ${refuse.text}`, {
      peer: this.port.publicKey,
      reason: refuse.reason,
    });
    await this.send(encodeRefuse(refuse));
  }

  /** A friend that never shakes hands keeps its place from others: it loses it. */
  #waitForHandshake(): void {
    this.#stopWaiting();
    const { timers, limits, logger, publicKey } = this.port;
    this.#shakeHands = timers.set(() => {
      this.#shakeHands = undefined;
      const waited = `${limits.handshakeTimeoutMs / 1000} s`;
      logger.log('warn', `a friend without a handshake for ${waited} is dropped`, { peer: publicKey });
      this.#leave();
    }, limits.handshakeTimeoutMs);
  }

  #stopWaiting(): void {
    if (this.#shakeHands !== undefined) this.port.timers.clear(this.#shakeHands);
    this.#shakeHands = undefined;
  }

  #leave(): void {
    this.#stay();
    this.port.onLeft();
  }

  #stay(): void {
    if (this.#leaving !== undefined) this.port.timers.clear(this.#leaving);
    this.#leaving = undefined;
  }

  #idleNow(): void {
    if (!this.isIdle) return;
    this.#seenMs = this.port.timers.nowMs();
    this.port.onIdle();
  }
}
