import { EventEmitter } from 'node:events';
import { text } from '../core/arguments.js';
import { Timer, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { hexBytes, upperHex } from '../network/tox_id.js';
import type { Grant } from '../rules/rule_book.js';
import { allowedPeer, newTicket, publicKeyBytes } from './access_arguments.js';
import { type AccessState, DEFAULT_TICKET, MAX_ALLOWED_PEERS, MAX_DENIED_PEERS } from './access_state.js';
import type { AllowedPeer } from './peer_key.js';
import {
  type Keys,
  provesHello,
  provesRequest,
  readHelloProof,
  readRequest,
  requestPrefix,
  type Sessions,
  welcomeProof,
} from './proof.js';
import {
  type BookedTicket,
  endsAtMs,
  type Ineligible,
  ineligible,
  infoOf,
  type NewTicket,
  TicketBook,
  type TicketInfo,
  use,
} from './ticket_book.js';

export interface AccessOptions {
  /** The saved state of an earlier run. */
  readonly state?: AccessState;
  /** Peers that may connect in this run, in addition to those in {@link state}. */
  readonly allowPeers?: readonly AllowedPeer[];
  /** Public keys, 32 bytes each, of peers that may not connect in this run, whatever ticket they have. */
  readonly denyPeers?: readonly Uint8Array[];
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** Cuts off the peers of a ticket when its grace is over. Default: nobody is connected. */
  readonly timers?: Timers;
  /** 32 bytes from a CSPRNG. */
  readonly newSecret: () => Uint8Array;
}

/** Cheap tests that tell which friend requests are worth checking: see worker/request_gate. */
export interface Admission {
  /** Beginnings of valid messages, 9 bytes each. */
  readonly prefixes: readonly Uint8Array[];
  /** Public keys whose requests are always checked, whatever their message. */
  readonly keys: readonly Uint8Array[];
  /** Public keys whose requests are never checked. */
  readonly deniedKeys: readonly Uint8Array[];
}

/** The answer to a hello. */
export type Verdict =
  | { readonly kind: 'welcome'; readonly grant: Grant; readonly proof: Uint8Array | undefined }
  /** The peer must still prove its ticket for these two sessions. */
  | { readonly kind: 'challenge' }
  | { readonly kind: 'refuse'; readonly text: string };

/** A peer that was not let in. */
export interface TurnedAway {
  /** 64 hexadecimal digits. */
  readonly publicKey: string;
  /**
   * `denied`: by its key. `no-ticket`: it showed none. `wrong-proof`: it knows a ticket's id, but not its secret. The
   * others are about the ticket that it showed.
   */
  readonly why: Ineligible | 'denied' | 'no-ticket' | 'wrong-proof';
  /** Name of the ticket that it showed; undefined when no ticket has that id. */
  readonly ticket: string | undefined;
}

export interface AccessEvents {
  /** {@link AccessPolicy.state} has changed: save it. */
  changed: [];
  /** {@link AccessPolicy.admission} has changed. */
  admission: [];
  /** Some peers may have lost their grant: ask {@link AccessPolicy.holds} about each. */
  revoked: [];
  /** A friend request was dropped, or a hello refused. */
  turnedAway: [refusal: TurnedAway];
}

interface Allowed {
  readonly publicKey: Uint8Array;
  readonly grant: Grant;
  /** True when it is saved for later runs. */
  readonly kept: boolean;
}

const REFUSALS: Readonly<Record<Ineligible, string>> = {
  unknown: 'this ticket is not valid here, or no longer valid; ask for a new one',
  expired: 'this ticket has expired; ask for a new one',
  'used-up': 'this ticket has let in as many peers as it may; ask for a ticket of your own',
};
/** How long a change of the time of day may go unnoticed. */
const CHECK_ENDS_MS = 60_000;
const NO_TICKET = 'this listener requires a ticket; ask for one, or ask to be allowed by your public key';

/**
 * Decides which peers may connect: ticket holders and peers that are allowed by key, but never denied peers.
 * It makes every decision from the current tickets and lists. Changes take effect at once and cut off peers
 * that lose their grant.
 */
export class AccessPolicy extends EventEmitter<AccessEvents> {
  readonly #book: TicketBook;
  /** Allowed peers, by the digits of their public key. */
  readonly #allowed = new Map<string, Allowed>();
  /** Denied peers, by the digits of their public key; the value is true when it is saved for later runs. */
  readonly #denied = new Map<string, boolean>();
  readonly #wallMs: () => number;
  readonly #ends: Timer | undefined;
  /** Tickets whose grace is over, and whose peers have been cut off. */
  readonly #ended = new WeakSet<BookedTicket>();
  #turnedAway = 0;

  constructor(options: AccessOptions) {
    super();
    const { state, allowPeers = [], denyPeers = [], wallMs, timers, newSecret } = options;
    this.#wallMs = wallMs;
    this.#book = new TicketBook(state?.tickets ?? [], newSecret);
    for (const { name, publicKey } of state?.peers ?? []) this.#add(name, hexBytes(publicKey), true);
    for (const { name, publicKey } of allowPeers) {
      this.#expectNoTicket(name, publicKey);
      this.#add(name, publicKey, false);
    }
    for (const key of state?.denied ?? []) this.#denied.set(key, true);
    for (const key of denyPeers) this.#denied.set(upperHex(key), false);
    this.#ends = timers && new Timer(timers);
    this.#watchEnds(true);
  }

  /** Friend requests refused so far: their proof was wrong, or their ticket expired or used up. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  /** Whether a ticket or an allowed peer has this name. */
  isName(name: string): boolean {
    return this.#book.get(name) !== undefined || this.#isPeer(name);
  }

  /** Returns the secret of a ticket. @returns undefined for an unknown name */
  secretOf(name: string = DEFAULT_TICKET): Uint8Array | undefined {
    return this.#book.get(name)?.secret;
  }

  get admission(): Admission {
    return {
      prefixes: [...this.#book.all].map(({ secret }) => requestPrefix(secret)),
      keys: [...this.#allowed.values()].map(({ publicKey }) => publicKey),
      deniedKeys: [...this.#denied.keys()].map(hexBytes),
    };
  }

  /** Everything to save for the next run. Contains secrets. */
  get state(): AccessState {
    return {
      tickets: this.#book.states(),
      peers: [...this.#allowed]
        .filter(([, { kept }]) => kept)
        .map(([publicKey, { grant }]) => ({ name: grant.name, publicKey })),
      denied: [...this.#denied].filter(([, kept]) => kept).map(([key]) => key),
    };
  }

  /** Checks a friend request. @returns the sender's grant, or undefined to refuse the request */
  request(message: Uint8Array, keys: Keys): Grant | undefined {
    const peer = upperHex(keys.connector);
    const allowed = this.#allowed.get(peer);
    if (allowed !== undefined && !this.#denied.has(peer)) return allowed.grant;
    const proof = readRequest(message);
    const ticket = proof === undefined ? undefined : this.#book.byKeyId(proof.keyId);
    const why = this.#denied.has(peer)
      ? 'denied'
      : proof === undefined
        ? 'no-ticket'
        : ticket === undefined
          ? 'unknown'
          : provesRequest(ticket.secret, keys, proof)
            ? ineligible(ticket, peer, this.#wallMs())
            : 'wrong-proof';
    if (ticket === undefined || why !== undefined) {
      this.#turnedAway++;
      this.#tellTurnedAway(peer, why ?? 'unknown', ticket);
      return undefined;
    }
    this.#use(ticket, peer);
    return ticket.grant;
  }

  /**
   * Checks a friend's hello.
   *
   * @param field the proof in the hello: undefined for none, empty when it asks for a challenge
   * @param resumes true when the two sessions were connected before: then a ticket that has expired since is accepted
   *   until its grace is over
   */
  hello(field: Uint8Array | undefined, keys: Keys, sessions: Sessions, resumes: boolean): Verdict {
    const peer = upperHex(keys.connector);
    const refuse = (why: TurnedAway['why'], text: string, shown?: BookedTicket): Verdict => {
      this.#tellTurnedAway(peer, why, shown);
      return { kind: 'refuse', text };
    };
    if (this.#denied.has(peer)) return refuse('denied', NO_TICKET);
    const allowed = this.#allowed.get(peer);
    const proof = field === undefined ? undefined : readHelloProof(field);
    const ticket = proof === undefined ? undefined : this.#book.byKeyId(proof.keyId);
    if (field === undefined)
      return allowed === undefined ? refuse('no-ticket', NO_TICKET) : welcome(allowed.grant);
    if (field.length === 0) return { kind: 'challenge' };
    if (proof === undefined) return refuse('wrong-proof', 'a proof of the wrong length');
    if (ticket === undefined) {
      // This welcome carries no proof of ours. A connector with a ticket wants one, and reports that.
      return allowed === undefined ? refuse('unknown', REFUSALS.unknown) : welcome(allowed.grant);
    }
    // The proof is for an earlier pair of sessions, or its sender does not have the secret.
    if (!provesHello(ticket.secret, keys, sessions, proof)) return { kind: 'challenge' };
    const answer = welcomeProof(ticket.secret, keys, sessions);
    if (allowed !== undefined) return welcome(allowed.grant, answer);
    const why = ineligible(ticket, peer, this.#wallMs());
    const goesOn = resumes && why === 'expired' && this.#wallMs() < endsAtMs(ticket);
    if (why !== undefined && !goesOn) return refuse(why, REFUSALS[why], ticket);
    this.#use(ticket, peer);
    return welcome(ticket.grant, answer);
  }

  /** Whether the grant of a peer is still valid. @param publicKey 64 hexadecimal digits */
  holds(grant: Grant, publicKey: string): boolean {
    if (this.#denied.has(publicKey)) return false;
    if (grant.kind === 'peer') return this.#allowed.get(publicKey)?.grant === grant;
    const ticket = this.#book.get(grant.name);
    return ticket?.grant === grant && this.#wallMs() < endsAtMs(ticket);
  }

  /** Returns why a grant opens no new streams, although its peer may still be connected: its ticket has expired. */
  whyNoStreams(grant: Grant): string | undefined {
    if (grant.kind === 'peer') return undefined;
    const ticket = this.#book.get(grant.name);
    const isExpired = ticket?.expiresAtMs !== undefined && this.#wallMs() >= ticket.expiresAtMs;
    return isExpired ? REFUSALS.expired : undefined;
  }

  /** Stops watching the time. */
  close(): void {
    this.#ends?.clear();
  }

  /** Lists all tickets, without their secrets. */
  tickets(): TicketInfo[] {
    const wallMs = this.#wallMs();
    return [...this.#book.all].map((ticket) => infoOf(ticket, wallMs));
  }

  /**
   * Makes a ticket. It refuses everything that the state file could not hold, because that would make the whole file
   * unreadable.
   *
   * @returns the ticket's secret, 32 bytes
   * @throws {TunnelError} ERR_USAGE for an invalid or taken name, ERR_SPEC_INVALID for a wrong rule,
   *   ERR_ARGUMENT_INVALID for another wrong option, ERR_LIMIT when there are too many tickets
   */
  newTicket(given: NewTicket): Uint8Array {
    const ticket = newTicket(given, 'newTicket()');
    if (this.#isPeer(ticket.name)) throw nameTaken(ticket.name, 'an allowed peer');
    const { secret } = this.#book.make(ticket);
    this.#changed('admission');
    return secret;
  }

  /**
   * Replaces the secret of a ticket. Peers that came in with the old secret are cut off.
   *
   * @returns the new secret, 32 bytes
   * @throws {TunnelError} ERR_USAGE for an unknown name
   */
  rotate(name: string = DEFAULT_TICKET): Uint8Array {
    const { secret } = this.#book.rotate(text(name, 'rotate(): name'));
    this.#changed('admission', 'revoked');
    return secret;
  }

  /**
   * Deletes a ticket. Peers that came in with it are cut off. @throws {TunnelError} ERR_USAGE for an unknown
   * name
   */
  revoke(name: string): void {
    this.#book.revoke(text(name, 'revoke(): name'));
    this.#changed('admission', 'revoked');
  }

  /**
   * Allows a peer by its key, in later runs too. It is no longer denied.
   *
   * @throws {TunnelError} ERR_USAGE for the name of a ticket, ERR_ARGUMENT_INVALID, ERR_LIMIT
   */
  allow(peer: AllowedPeer): void {
    const { name, publicKey } = allowedPeer(peer, 'allow()');
    this.#expectNoTicket(name, publicKey);
    this.#denied.delete(upperHex(publicKey));
    this.#add(name, publicKey, true);
    this.#changed('admission', 'revoked');
  }

  /**
   * Denies a peer, whatever ticket it has, in later runs too. It is no longer allowed.
   *
   * @param publicKey 32 bytes
   * @throws {TunnelError} ERR_ARGUMENT_INVALID, ERR_LIMIT
   */
  deny(publicKey: Uint8Array): void {
    const peer = upperHex(publicKeyBytes(publicKey, 'deny(): publicKey'));
    if (this.#denied.size >= MAX_DENIED_PEERS && !this.#denied.has(peer))
      throw new TunnelError(
        'ERR_LIMIT',
        `${MAX_DENIED_PEERS} peers are denied already; rotate the ticket instead`,
      );
    this.#allowed.delete(peer);
    this.#denied.set(peer, true);
    this.#changed('admission', 'revoked');
  }

  /**
   * Replaces the peers that are allowed and denied in this run only: those given at the start. Peers that lose their
   * grant are cut off.
   *
   * @throws {TunnelError} ERR_USAGE for the name of a ticket, ERR_LIMIT; then nothing has changed
   */
  configure({
    allowPeers,
    denyPeers,
  }: {
    readonly allowPeers: readonly AllowedPeer[];
    readonly denyPeers: readonly Uint8Array[];
  }): void {
    const wanted = new Set(allowPeers.map(({ publicKey }) => upperHex(publicKey)));
    const stays = [...this.#allowed].filter(([peer, { kept }]) => kept && !wanted.has(peer));
    expectRoom(stays.length + wanted.size);
    for (const { name, publicKey } of allowPeers) this.#expectNoTicket(name, publicKey);
    for (const [peer, { kept }] of [...this.#allowed])
      if (!kept && !wanted.has(peer)) this.#allowed.delete(peer);
    for (const { name, publicKey } of allowPeers) this.#add(name, publicKey, false);
    for (const [peer, kept] of [...this.#denied]) if (!kept) this.#denied.delete(peer);
    for (const key of denyPeers.map(upperHex)) if (!this.#denied.has(key)) this.#denied.set(key, false);
    this.emit('admission');
    this.emit('revoked');
  }

  /** @param publicKey 64 hexadecimal digits */
  isDenied(publicKey: string): boolean {
    return this.#denied.has(publicKey);
  }

  /** Undoes {@link deny}: a ticket lets the peer in again. @returns false when it was not denied */
  undeny(publicKey: Uint8Array): boolean {
    const was = this.#denied.delete(upperHex(publicKeyBytes(publicKey, 'undeny(): publicKey')));
    if (was) this.#changed('admission');
    return was;
  }

  /** Undoes {@link allow}: the peer needs a ticket again. @returns false when it was not allowed */
  disallow(publicKey: Uint8Array): boolean {
    const was = this.#allowed.delete(upperHex(publicKeyBytes(publicKey, 'disallow(): publicKey')));
    if (was) this.#changed('admission', 'revoked');
    return was;
  }

  #add(name: string | undefined, publicKey: Uint8Array, kept: boolean): void {
    const peer = upperHex(publicKey);
    if (!this.#allowed.has(peer)) expectRoom(this.#allowed.size + 1);
    const known = this.#allowed.get(peer);
    const called = name ?? known?.grant.name ?? defaultName(publicKey);
    // A peer that already has this name keeps its grant.
    const grant: Grant =
      known?.grant.name === called ? known.grant : { name: called, kind: 'peer', rules: undefined };
    this.#allowed.set(peer, { publicKey, grant, kept: kept || known?.kept === true });
  }

  #isPeer(name: string): boolean {
    return [...this.#allowed.values()].some(({ grant }) => grant.name === name);
  }

  /** Refuses the name of a ticket: a rule for a name must mean either a peer or the holders of a ticket. */
  #expectNoTicket(name: string | undefined, publicKey: Uint8Array): void {
    const called = name ?? this.#allowed.get(upperHex(publicKey))?.grant.name ?? defaultName(publicKey);
    if (this.#book.get(called) !== undefined) throw nameTaken(called, 'a ticket');
  }

  #tellTurnedAway(publicKey: string, why: TurnedAway['why'], ticket: BookedTicket | undefined): void {
    this.emit('turnedAway', { publicKey, why, ticket: ticket?.name });
  }

  #use(ticket: BookedTicket, peer: string): void {
    if (use(ticket, peer)) this.#changed();
  }

  /** Cuts off the peers of tickets whose grace is over, and looks again when the next one ends. */
  #watchEnds(isFirst: boolean): void {
    if (this.#ends === undefined) return;
    const nowMs = this.#wallMs();
    const tickets = [...this.#book.all].filter((ticket) => !this.#ended.has(ticket));
    const over = tickets.filter((ticket) => endsAtMs(ticket) <= nowMs);
    for (const ticket of over) this.#ended.add(ticket);
    const nextMs = Math.min(...tickets.filter((ticket) => !over.includes(ticket)).map(endsAtMs));
    if (nextMs === Number.POSITIVE_INFINITY) this.#ends.clear();
    else this.#ends.set(Math.min(nextMs - nowMs, CHECK_ENDS_MS), () => this.#watchEnds(false));
    if (over.length > 0 && !isFirst) this.emit('revoked');
  }

  #changed(...also: readonly ('admission' | 'revoked')[]): void {
    if (also.length > 0) this.#watchEnds(false);
    this.emit('changed');
    for (const event of also) this.emit(event);
  }
}

/** @throws {TunnelError} ERR_LIMIT */
function expectRoom(allowed: number): void {
  if (allowed > MAX_ALLOWED_PEERS)
    throw new TunnelError(
      'ERR_LIMIT',
      `${MAX_ALLOWED_PEERS} peers are allowed already; give out a ticket instead`,
    );
}

function defaultName(publicKey: Uint8Array): string {
  return `peer-${upperHex(publicKey).slice(0, 8).toLowerCase()}`;
}

function nameTaken(name: string, by: string): TunnelError {
  return new TunnelError('ERR_USAGE', `${JSON.stringify(name)} is already the name of ${by}; choose another`);
}

function welcome(grant: Grant, proof?: Uint8Array): Verdict {
  return { kind: 'welcome', grant, proof };
}
