import { EventEmitter } from 'node:events';
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
  type Ineligible,
  ineligible,
  infoOf,
  type NewTicket,
  TicketBook,
  type TicketInfo,
  use,
} from './ticket_book.js';

export interface AccessOptions {
  /** What an earlier run has kept. */
  readonly state?: AccessState;
  /** For this run, beside those of {@link state}. */
  readonly allowPeers?: readonly AllowedPeer[];
  /** Public keys, 32 bytes each, for this run. They come in by no ticket. */
  readonly denyPeers?: readonly Uint8Array[];
  /** Milliseconds since 1970. */
  readonly wallMs: () => number;
  /** 32 bytes from a CSPRNG. */
  readonly newSecret: () => Uint8Array;
}

/** What friend requests are worth a look, cheaply told: see worker/request_gate. */
export interface Admission {
  /** Beginnings of messages, 9 bytes each. */
  readonly prefixes: readonly Uint8Array[];
  /** Public keys whose requests are looked at whatever they say. */
  readonly keys: readonly Uint8Array[];
  /** Public keys whose requests are never looked at. */
  readonly deniedKeys: readonly Uint8Array[];
}

/** What comes of a hello. */
export type Verdict =
  | { readonly kind: 'welcome'; readonly grant: Grant; readonly proof: Uint8Array | undefined }
  /** It has yet to prove itself for these two sessions. */
  | { readonly kind: 'challenge' }
  | { readonly kind: 'refuse'; readonly text: string };

export interface AccessEvents {
  /** Something that is worth keeping: see {@link AccessPolicy.state}. */
  changed: [];
  /** {@link AccessPolicy.admission} is another. */
  admission: [];
  /** Somebody lost what let him in: {@link AccessPolicy.holds} tells of each who. */
  revoked: [];
}

interface Allowed {
  readonly publicKey: Uint8Array;
  readonly grant: Grant;
  /** Beyond this run. */
  readonly kept: boolean;
}

const REFUSALS: Readonly<Record<Ineligible, string>> = {
  unknown: 'this ticket is not valid here, or no longer; ask for a new one',
  expired: 'this ticket has expired; ask for a new one',
  'used-up': 'this ticket has let in as many peers as it may; ask for one of your own',
};
const NO_TICKET = 'a ticket is needed here; ask for one, or to be allowed by your public key';

/**
 * Who may come in: the holders of tickets, and peers allowed by key; never those denied. Every
 * decision is made anew from what is in force at that moment.
 */
export class AccessPolicy extends EventEmitter<AccessEvents> {
  readonly #book: TicketBook;
  /** By the digits of the public key. */
  readonly #allowed = new Map<string, Allowed>();
  /** By the digits of the public key; true: beyond this run. */
  readonly #denied = new Map<string, boolean>();
  readonly #wallMs: () => number;
  #turnedAway = 0;

  constructor(options: AccessOptions) {
    super();
    const { state, allowPeers = [], denyPeers = [], wallMs, newSecret } = options;
    this.#wallMs = wallMs;
    this.#book = new TicketBook(state?.tickets ?? [], newSecret);
    for (const { name, publicKey } of state?.peers ?? []) this.#add(name, hexBytes(publicKey), true);
    for (const { name, publicKey } of allowPeers) {
      this.#expectNoTicket(name, publicKey);
      this.#add(name, publicKey, false);
    }
    for (const key of state?.denied ?? []) this.#denied.set(key, true);
    for (const key of denyPeers) this.#denied.set(upperHex(key), false);
  }

  /** Requests whose proof was wrong, expired or used up, so far. */
  get turnedAway(): number {
    return this.#turnedAway;
  }

  /** Whether a ticket or an allowed peer is called so. */
  isName(name: string): boolean {
    return this.#book.get(name) !== undefined || this.#isPeer(name);
  }

  /** The secret of a ticket. @returns undefined when there is none of that name */
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

  /** What is to be kept. Holds secrets. */
  get state(): AccessState {
    return {
      tickets: this.#book.states(),
      peers: [...this.#allowed]
        .filter(([, { kept }]) => kept)
        .map(([publicKey, { grant }]) => ({ name: grant.name, publicKey })),
      denied: [...this.#denied].filter(([, kept]) => kept).map(([key]) => key),
    };
  }

  /** Whether a friend request is to be accepted: what lets its sender in, or undefined. */
  request(message: Uint8Array, keys: Keys): Grant | undefined {
    const peer = upperHex(keys.connector);
    const allowed = this.#allowed.get(peer);
    if (allowed !== undefined && !this.#denied.has(peer)) return allowed.grant;
    const proof = readRequest(message);
    const ticket = proof === undefined ? undefined : this.#book.byKeyId(proof.keyId);
    const isIn =
      proof !== undefined &&
      ticket !== undefined &&
      !this.#denied.has(peer) &&
      provesRequest(ticket.secret, keys, proof) &&
      ineligible(ticket, peer, this.#wallMs()) === undefined;
    if (!isIn) {
      this.#turnedAway++;
      return undefined;
    }
    this.#use(ticket, peer);
    return ticket.grant;
  }

  /**
   * What comes of a friend's hello.
   *
   * @param field what it carries as its proof: undefined for nothing, empty when it asks for a challenge
   * @param resumes the two sessions are joined already: a ticket that has expired since does not part them
   */
  hello(field: Uint8Array | undefined, keys: Keys, sessions: Sessions, resumes: boolean): Verdict {
    const peer = upperHex(keys.connector);
    if (this.#denied.has(peer)) return { kind: 'refuse', text: NO_TICKET };
    const allowed = this.#allowed.get(peer);
    const proof = field === undefined ? undefined : readHelloProof(field);
    const ticket = proof === undefined ? undefined : this.#book.byKeyId(proof.keyId);
    if (field === undefined) return allowed === undefined ? refusal(NO_TICKET) : welcome(allowed.grant);
    if (field.length === 0) return { kind: 'challenge' };
    if (proof === undefined) return refusal('a proof of the wrong length');
    if (ticket === undefined) {
      // It asks for no proof of ours then; a connector with a ticket will want one, and say so.
      return allowed === undefined ? refusal(REFUSALS.unknown) : welcome(allowed.grant);
    }
    // Made for an earlier pair of sessions, or by somebody who does not have the secret.
    if (!provesHello(ticket.secret, keys, sessions, proof)) return { kind: 'challenge' };
    const answer = welcomeProof(ticket.secret, keys, sessions);
    if (allowed !== undefined) return welcome(allowed.grant, answer);
    const why = ineligible(ticket, peer, this.#wallMs());
    if (why !== undefined && !(resumes && why === 'expired')) return refusal(REFUSALS[why]);
    this.#use(ticket, peer);
    return welcome(ticket.grant, answer);
  }

  /** Whether what let a peer in still does. @param publicKey 64 hexadecimal digits */
  holds(grant: Grant, publicKey: string): boolean {
    if (this.#denied.has(publicKey)) return false;
    const inForce = grant.kind === 'peer' ? this.#allowed.get(publicKey) : this.#book.get(grant.name);
    return inForce?.grant === grant;
  }

  tickets(): TicketInfo[] {
    const wallMs = this.#wallMs();
    return [...this.#book.all].map((ticket) => infoOf(ticket, wallMs));
  }

  /**
   * Refuses anything that could not be read back from the state file: it would make the whole file unreadable.
   *
   * @returns its secret
   * @throws {TunnelError} ERR_USAGE for an invalid or taken name, ERR_SPEC_INVALID for a rule, ERR_ARGUMENT_INVALID,
   *   ERR_LIMIT with too many
   */
  newTicket(given: NewTicket): Uint8Array {
    const ticket = newTicket(given, 'newTicket()');
    if (this.#isPeer(ticket.name)) throw nameTaken(ticket.name, 'an allowed peer');
    const { secret } = this.#book.make(ticket);
    this.#changed('admission');
    return secret;
  }

  /** Gives a ticket another secret: who came in by the old one is out. @throws {TunnelError} ERR_USAGE */
  rotate(name: string = DEFAULT_TICKET): Uint8Array {
    const { secret } = this.#book.rotate(name);
    this.#changed('admission', 'revoked');
    return secret;
  }

  /** Who came in by it is out. @throws {TunnelError} ERR_USAGE */
  revoke(name: string): void {
    this.#book.revoke(name);
    this.#changed('admission', 'revoked');
  }

  /** Lets a peer in by its key, from now on and after a restart; it is no longer denied. @throws {TunnelError} ERR_LIMIT, ERR_USAGE for the name of a ticket */
  allow(peer: AllowedPeer): void {
    const { name, publicKey } = allowedPeer(peer, 'allow()');
    this.#expectNoTicket(name, publicKey);
    this.#denied.delete(upperHex(publicKey));
    this.#add(name, publicKey, true);
    this.#changed('admission', 'revoked');
  }

  /** Shuts a peer out, whatever ticket it has; it is no longer allowed. @throws {TunnelError} ERR_LIMIT */
  deny(publicKey: Uint8Array): void {
    const peer = upperHex(publicKeyBytes(publicKey, 'deny(): publicKey'));
    if (this.#denied.size >= MAX_DENIED_PEERS && !this.#denied.has(peer))
      throw new TunnelError('ERR_LIMIT', `${MAX_DENIED_PEERS} peers are denied: rotate the ticket instead`);
    this.#allowed.delete(peer);
    this.#denied.set(peer, true);
    this.#changed('admission', 'revoked');
  }

  /** Takes {@link deny} back: a ticket lets it in again. @returns false when it was not denied */
  undeny(publicKey: Uint8Array): boolean {
    const was = this.#denied.delete(upperHex(publicKey));
    if (was) this.#changed('admission');
    return was;
  }

  /** It is no longer let in by its key; a ticket still does. @returns false when it was not */
  disallow(publicKey: Uint8Array): boolean {
    const was = this.#allowed.delete(upperHex(publicKey));
    if (was) this.#changed('admission', 'revoked');
    return was;
  }

  #add(name: string | undefined, publicKey: Uint8Array, kept: boolean): void {
    const peer = upperHex(publicKey);
    if (this.#allowed.size >= MAX_ALLOWED_PEERS && !this.#allowed.has(peer))
      throw new TunnelError('ERR_LIMIT', `${MAX_ALLOWED_PEERS} peers are allowed already: give out a ticket`);
    const known = this.#allowed.get(peer);
    const called = name ?? known?.grant.name ?? defaultName(publicKey);
    // A peer that is there under this name stays what it is.
    const grant: Grant =
      known?.grant.name === called ? known.grant : { name: called, kind: 'peer', rules: undefined };
    this.#allowed.set(peer, { publicKey, grant, kept: kept || known?.kept === true });
  }

  #isPeer(name: string): boolean {
    return [...this.#allowed.values()].some(({ grant }) => grant.name === name);
  }

  /** A rule for a name shall mean one thing: a peer, or who holds a ticket. */
  #expectNoTicket(name: string | undefined, publicKey: Uint8Array): void {
    const called = name ?? this.#allowed.get(upperHex(publicKey))?.grant.name ?? defaultName(publicKey);
    if (this.#book.get(called) !== undefined) throw nameTaken(called, 'a ticket');
  }

  #use(ticket: BookedTicket, peer: string): void {
    if (use(ticket, peer)) this.#changed();
  }

  #changed(...also: readonly ('admission' | 'revoked')[]): void {
    this.emit('changed');
    for (const event of also) this.emit(event);
  }
}

function defaultName(publicKey: Uint8Array): string {
  return `peer-${upperHex(publicKey).slice(0, 8).toLowerCase()}`;
}

function nameTaken(name: string, by: string): TunnelError {
  return new TunnelError('ERR_USAGE', `${JSON.stringify(name)} is the name of ${by} already; choose another`);
}

function welcome(grant: Grant, proof?: Uint8Array): Verdict {
  return { kind: 'welcome', grant, proof };
}

function refusal(text: string): Verdict {
  return { kind: 'refuse', text };
}
