import type { Sessions } from '../access/proof.js';
import type { TimerHandle } from '../core/clock.js';
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
import { newOffer } from './offer.js';
import { PeerLife } from './peer_life.js';
import { isNodeGone, type PeerPort } from './peer_port.js';
import type { PeerSession, SessionEnd } from './peer_session.js';

/** Before hello is said again to a friend that does not answer: lost with a connection that broke, say. */
const HELLO_RETRY_MS = 3_000;
/** After so many hellos without an answer it is said that the friend may not be one of us. */
const SILENT_HELLOS = 5;
/** First and longest wait before a session that ended is asked for anew. */
const REJOIN_MS = 500;
const REJOIN_MAX_MS = 30_000;
/** A session that lived this long did not end for what ended the one before it. */
const SETTLED_MS = 60_000;

const SHUT_OUT =
  'the listener lets us in no longer: its ticket was replaced or revoked, or this peer was shut out; ask for a new ticket';

/** Refusals that another try may overcome. */
const PASSING: ReadonlySet<Reason> = new Set<Reason>([
  'limit',
  'busy',
  'peer-shutdown',
  'internal',
  'timeout',
]);

/** What a connector shows and sees of the ticket's secret. */
export interface Prover {
  /** For a hello. */
  proof(sessions: Sessions): Uint8Array;
  /** Whether what a welcome carries was made with the same secret. */
  accepts(sessions: Sessions, proof: Uint8Array | undefined): boolean;
}

export interface ConnectorPeerPort extends PeerPort {
  /** Undefined without a ticket: the listener is to know us by our key. */
  readonly prover: Prover | undefined;
  /** The session to open streams in; undefined while there is none. */
  readonly onSession: (session: Session | undefined) => void;
  readonly onWaiting: (message: string) => void;
  /** It can't succeed; nothing follows. */
  readonly onFailed: (error: TunnelError) => void;
}

/** The connector's side of its peer: says hello when the friend comes online, until there is a session. */
export class ConnectorPeer extends PeerLife {
  override readonly friend: number;
  protected override readonly role = 'connector';
  protected override readonly port: ConnectorPeerPort;
  #offer: HandshakeOffer = newOffer();
  /** The listener's session that our offer would make, from its challenge. */
  #challenged: Uint8Array | undefined;
  #timer: TimerHandle | undefined;
  #hellos = 0;
  #hasBeenOnline = false;
  #rejoinMs = REJOIN_MS;
  #joinedMs = 0;

  constructor(port: ConnectorPeerPort, friend: number) {
    super(port);
    this.port = port;
    this.friend = friend;
  }

  override async close(reason: Reason): Promise<void> {
    this.#clearTimer();
    await super.close(reason);
  }

  /** Whether the listener has ever answered as a friend. */
  get hasBeenOnline(): boolean {
    return this.#hasBeenOnline;
  }

  protected override cameOnline(): void {
    this.#hasBeenOnline = true;
    this.#hellos = 0;
    this.#sayHello();
  }

  protected override wentOffline(): void {
    this.#clearTimer();
  }

  /** A listener that still has the session goes on with it; one that lost it opens another. */
  protected override wentSilent(): void {
    this.#hellos = 0;
    this.#sayHello();
  }

  protected override sessionChanged(session: PeerSession | undefined): void {
    this.port.onSession(session?.session);
  }

  protected override sessionEnded({ reason, text, error }: SessionEnd): void {
    this.port.logger.log(error === undefined ? 'info' : 'warn', `the session ended: ${text || reason}`, {
      reason,
    });
    // Its streams are gone: what comes next is another session.
    this.#renewOffer();
    if (reason === 'not-allowed') {
      this.#fail(new TunnelError('ERR_HANDSHAKE_REFUSED', SHUT_OUT, { remote: true, returnCode: 202 }));
      return;
    }
    if (this.port.timers.nowMs() - this.#joinedMs >= SETTLED_MS) this.#rejoinMs = REJOIN_MS;
    if (this.path !== 'none') this.#sayHelloLater(this.#nextRejoinMs());
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
    const { prover } = this.port;
    if (agreement === undefined || prover === undefined) return agreement;
    const sessions = { connector: agreement.ourSession, listener: agreement.theirSession };
    if (prover.accepts(sessions, agreement.fields.get(FIELD_PROOF))) return agreement;
    throw invalid('the listener did not prove that it knows this ticket (it may have been replaced)');
  }

  #onChallenge({ connectorSession, session }: Challenge): void {
    if (this.port.prover === undefined || !isIdAt(this.#offer.session, connectorSession, 0)) return;
    // The same again is a repetition, or a proof that it does not take: no reason to hurry.
    if (this.#challenged !== undefined && isIdAt(this.#challenged, session, 0)) return;
    this.#challenged = session;
    this.#hellos = 0;
    this.#sayHello();
  }

  async #join(agreement: Agreement): Promise<void> {
    this.#clearTimer();
    const joined = await this.agreed(agreement);
    if (joined === 'joined') {
      this.#joinedMs = this.port.timers.nowMs();
      return;
    }
    // Frozen, it waits for the friend; otherwise the listener may have a session that nobody else has.
    if (this.closed || this.agreement !== undefined) return;
    this.#renewOffer();
    if (joined !== 'absent' && !isNodeGone(joined)) this.#tryAgain(joined.message);
  }

  /** What the peer sent cannot be read: a peer that we wait for will not do better the next time. */
  #onInvalid(error: TunnelError): void {
    if (this.isOnline) this.port.logger.log('warn', error.message);
    else this.#fail(error);
  }

  #onRefuse(refuse: Refuse): void {
    // An answer to a hello that was said once too often.
    if (this.isOnline) return;
    const error = refuseError(refuse);
    if (PASSING.has(refuse.reason)) this.#tryAgain(error.message);
    else this.#fail(error);
  }

  #tryAgain(why: string): void {
    const delayMs = this.#nextRejoinMs();
    this.#sayHelloLater(delayMs);
    this.port.onWaiting(`${why}; trying again in ${Math.ceil(delayMs / 1000)} s`);
  }

  #sayHello(): void {
    this.#clearTimer();
    if (this.closed || this.path === 'none' || this.isOnline) return;
    this.#hellos++;
    this.#sayHelloLater(HELLO_RETRY_MS);
    void this.send(encodeHello(helloOf(this.#offer, this.#proof())));
    if (this.#hellos % SILENT_HELLOS === 0) {
      this.port.onWaiting('the peer is online but does not answer: does tox-wasm-tunnel listen there?');
    }
  }

  /** Empty without a ticket; with one it asks for a challenge, or answers it. */
  #proof(): Fields {
    const { prover } = this.port;
    if (prover === undefined) return new Map();
    const connector = this.#offer.session;
    const listener = this.#challenged;
    const proof = listener === undefined ? new Uint8Array(0) : prover.proof({ connector, listener });
    return new Map([[FIELD_PROOF, proof]]);
  }

  #renewOffer(): void {
    this.#offer = newOffer();
    this.#challenged = undefined;
  }

  #sayHelloLater(delayMs: number): void {
    this.#clearTimer();
    this.#timer = this.port.timers.set(() => {
      this.#timer = undefined;
      this.#sayHello();
    }, delayMs);
  }

  #nextRejoinMs(): number {
    const delayMs = this.#rejoinMs;
    this.#rejoinMs = Math.min(2 * delayMs, REJOIN_MAX_MS);
    return delayMs;
  }

  #fail(error: TunnelError): void {
    this.#clearTimer();
    this.port.onFailed(error);
  }

  #clearTimer(): void {
    if (this.#timer !== undefined) this.port.timers.clear(this.#timer);
    this.#timer = undefined;
  }
}
