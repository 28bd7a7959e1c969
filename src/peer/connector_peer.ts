import { helloProof, type Keys, provesWelcome, requestMessage, type Sessions } from '../access/proof.js';
import { Timer } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { KIND_CHALLENGE, KIND_REFUSE, KIND_WELCOME } from '../core/packets.js';
import type { Session } from '../mux/session/session.js';
import {
  type Agreement,
  acceptWelcome,
  type HandshakeOffer,
  helloOf,
  refuseError,
} from '../mux/wire/agreement.js';
import {
  type Challenge,
  decodeChallenge,
  decodeRefuse,
  encodeHello,
  FIELD_PROOF,
  type Fields,
  invalid,
  packetKind,
  type Refuse,
} from '../mux/wire/handshake.js';
import type { Reason } from '../mux/wire/reasons.js';
import { isIdAt } from '../mux/wire/stream_id.js';
import { withLimits } from '../mux/wire/told_limits.js';
import {
  isNodeGone,
  newOffer,
  type PeerContext,
  type PeerEvents,
  PeerLife,
  type PeerName,
} from './peer_life.js';
import type { CloseDeadline, PeerSession, SessionEnd } from './peer_session.js';

/** How long to wait for an answer before hello is repeated: it may be lost with a broken connection. */
const HELLO_RETRY_MS = 3_000;
/** After this many unanswered hellos, the owner is warned that the friend may not run this program. */
const SILENT_HELLOS = 5;
/** First and longest wait before a session that ended is requested again. */
const REJOIN_MS = 500;
const REJOIN_MAX_MS = 30_000;
/** A session that lived this long did not end for the same reason as the one before it. */
const SETTLED_MS = 60_000;

const SHUT_OUT =
  'the listener no longer lets us in: its ticket was replaced or revoked or has expired, or it removed this peer; ask for a new ticket';

/** Refusals after which another attempt may succeed. */
const PASSING: ReadonlySet<Reason> = new Set<Reason>([
  'limit',
  'busy',
  'peer-shutdown',
  'internal',
  'timeout',
]);

/** Makes and checks the proofs of a connector's ticket, for these two ends. */
export class TicketProver {
  readonly #secret: Uint8Array;
  readonly #keys: Keys;

  constructor(secret: Uint8Array, keys: Keys) {
    this.#secret = secret;
    this.#keys = keys;
  }

  /** The message of the friend request. */
  request(): Uint8Array {
    return requestMessage(this.#secret, this.#keys);
  }

  /** The proof for a hello. */
  proof(sessions: Sessions): Uint8Array {
    return helloProof(this.#secret, this.#keys, sessions);
  }

  /** Whether the proof in a welcome was made with the same secret. */
  accepts(sessions: Sessions, proof: Uint8Array | undefined): boolean {
    return provesWelcome(this.#secret, this.#keys, sessions, proof);
  }
}

/** What a connector's peer reports to its owner. */
export interface ConnectorPeerEvents extends PeerEvents {
  /** The session that accepts streams; undefined while there is none. */
  onSession(session: Session | undefined): void;
  onWaiting(message: string): void;
  /** The connection cannot succeed. Nothing follows. */
  onFailed(error: TunnelError): void;
}

/** The connector's side of its peer: says hello when the friend comes online, until there is a session. */
export class ConnectorPeer extends PeerLife {
  protected override readonly role = 'connector';
  readonly #events: ConnectorPeerEvents;
  readonly #prover: TicketProver | undefined;
  readonly #hello: Timer;
  #offer: HandshakeOffer = newOffer(this.context);
  /** The listener's session that our offer would create, from its challenge. */
  #challenged: Uint8Array | undefined;
  #hellos = 0;
  #hasBeenOnline = false;
  #rejoinMs = REJOIN_MS;
  #joinedMs = 0;

  /** @param prover undefined without a ticket: then the listener must know us by our key */
  constructor(
    context: PeerContext,
    name: PeerName,
    prover: TicketProver | undefined,
    events: ConnectorPeerEvents,
  ) {
    super(context, name, events);
    this.#events = events;
    this.#prover = prover;
    this.#hello = new Timer(context.timers);
  }

  override async close(reason: Reason, deadline?: CloseDeadline): Promise<void> {
    this.#hello.clear();
    await super.close(reason, deadline);
  }

  /** Whether the listener has ever been online as a friend. */
  get hasBeenOnline(): boolean {
    return this.#hasBeenOnline;
  }

  protected override cameOnline(): void {
    this.#hasBeenOnline = true;
    this.#hellos = 0;
    this.#sayHello();
  }

  protected override wentOffline(): void {
    this.#hello.clear();
  }

  /** A listener that still has the session resumes it. One that lost it opens another. */
  protected override wentSilent(): void {
    this.#hellos = 0;
    this.#sayHello();
  }

  protected override sessionChanged(session: PeerSession | undefined): void {
    this.#events.onSession(session?.session);
  }

  protected override sessionEnded({ reason, text, error }: SessionEnd): void {
    const { logger, timers } = this.context;
    logger.log(error === undefined ? 'info' : 'warn', `the session ended: ${text || reason}`, { reason });
    // The streams are gone, so the next session is a new one.
    this.#renewOffer();
    if (reason === 'not-allowed') {
      this.#fail(new TunnelError('ERR_HANDSHAKE_REFUSED', SHUT_OUT, { remote: true, returnCode: 202 }));
      return;
    }
    if (timers.nowMs() - this.#joinedMs >= SETTLED_MS) this.#rejoinMs = REJOIN_MS;
    if (this.path !== 'none') this.#sayHelloIn(this.#nextRejoinMs());
  }

  protected override knows(packet: Uint8Array): boolean {
    const kind = packetKind(packet);
    return kind === KIND_WELCOME || kind === KIND_REFUSE || kind === KIND_CHALLENGE;
  }

  protected override async act(packet: Uint8Array): Promise<void> {
    let answer: Agreement | Refuse | Challenge | undefined;
    try {
      answer = this.#read(packet);
    } catch (error) {
      if (!TunnelError.is(error)) throw error;
      this.#onInvalid(error);
      return;
    }
    if (answer === undefined) return; // late
    if ('reason' in answer) this.#onRefuse(answer);
    else if ('connectorSession' in answer) this.#onChallenge(answer);
    else await this.#join(answer);
  }

  #read(packet: Uint8Array): Agreement | Refuse | Challenge | undefined {
    const kind = packetKind(packet);
    if (kind === KIND_REFUSE) return decodeRefuse(packet);
    if (kind === KIND_CHALLENGE) return decodeChallenge(packet);
    const agreement = acceptWelcome(this.#offer, packet);
    if (agreement === undefined || this.#prover === undefined) return agreement;
    if (this.#prover.accepts(this.#sessionsWith(agreement.theirSession), agreement.fields.get(FIELD_PROOF)))
      return agreement;
    throw invalid('the listener did not prove that it knows this ticket (the ticket may have been replaced)');
  }

  #onChallenge({ connectorSession, session }: Challenge): void {
    if (this.#prover === undefined || !isIdAt(this.#offer.session, connectorSession, 0)) return;
    // The same challenge again is a repetition, or a rejection of our proof: no reason to hurry.
    if (this.#challenged !== undefined && isIdAt(this.#challenged, session, 0)) return;
    this.#challenged = session;
    this.#hellos = 0;
    this.#sayHello();
  }

  async #join(agreement: Agreement): Promise<void> {
    this.#hello.clear();
    const joined = await this.agreed(agreement);
    if (joined === 'joined') {
      this.#joinedMs = this.context.timers.nowMs();
      return;
    }
    // A frozen session waits for the friend. Otherwise the listener may have a session that this end lacks.
    if (this.closed || this.agreement !== undefined) return;
    this.#renewOffer();
    if (joined !== 'absent' && !isNodeGone(joined)) this.#tryAgain(joined.message);
  }

  /**
   * Handles an unreadable packet. While there is no session, this end gives up: the next packet would be no
   * better.
   */
  #onInvalid(error: TunnelError): void {
    if (this.isOnline) this.context.logger.log('warn', error.message);
    else this.#fail(error);
  }

  #onRefuse(refuse: Refuse): void {
    // The answer to a repeated hello.
    if (this.isOnline) return;
    const error = refuseError(refuse);
    if (PASSING.has(refuse.reason)) this.#tryAgain(error.message);
    else this.#fail(error);
  }

  #tryAgain(why: string): void {
    const delayMs = this.#nextRejoinMs();
    this.#sayHelloIn(delayMs);
    this.#events.onWaiting(`${why}; trying again in ${Math.ceil(delayMs / 1000)} s`);
  }

  #sayHello(): void {
    this.#hello.clear();
    if (this.closed || this.path === 'none' || this.isOnline) return;
    this.#hellos++;
    this.#sayHelloIn(HELLO_RETRY_MS);
    void this.send(encodeHello(helloOf(this.#offer, withLimits(this.#proof(), this.ownLimits))));
    if (this.#hellos % SILENT_HELLOS === 0) {
      this.#events.onWaiting('the peer is online but does not answer: does tox-wasm-tunnel listen there?');
    }
  }

  /** Empty without a ticket. With one, the proof asks for a challenge, or answers it. */
  #proof(): Fields {
    if (this.#prover === undefined) return new Map();
    const listener = this.#challenged;
    const proof =
      listener === undefined ? new Uint8Array(0) : this.#prover.proof(this.#sessionsWith(listener));
    return new Map([[FIELD_PROOF, proof]]);
  }

  /** What a proof is bound to. @param listener the listener's session */
  #sessionsWith(listener: Uint8Array): Sessions {
    return { connector: this.#offer.session, listener, binding: this.binding };
  }

  #renewOffer(): void {
    this.#offer = newOffer(this.context);
    this.#challenged = undefined;
  }

  #sayHelloIn(delayMs: number): void {
    this.#hello.set(delayMs, () => this.#sayHello());
  }

  #nextRejoinMs(): number {
    const delayMs = this.#rejoinMs;
    this.#rejoinMs = Math.min(2 * delayMs, REJOIN_MAX_MS);
    return delayMs;
  }

  #fail(error: TunnelError): void {
    this.#hello.clear();
    this.#events.onFailed(error);
  }
}
