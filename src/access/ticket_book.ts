import { TunnelError } from '../core/errors.js';
import { quotedWord } from '../core/secret_text.js';
import { hexBytes, upperHex } from '../network/tox_id.js';
import { parseExposeSpec } from '../rules/expose.js';
import { parseReverseRule } from '../rules/reverse_rule.js';
import type { Grant } from '../rules/rule_book.js';
import { DEFAULT_GRACE_MS, DEFAULT_TICKET, MAX_TICKETS, type TicketState } from './access_state.js';
import { keyIdOf } from './proof.js';

/** Options of a new ticket. */
export interface NewTicket {
  readonly name: string;
  /**
   * When it expires, in milliseconds since 1970. From then on, it starts no session and opens no stream. Default:
   * never.
   */
  readonly expiresAtMs?: number | undefined;
  /** How long streams that are open when it expires may continue, in milliseconds. Default: ten minutes. */
  readonly graceMs?: number | undefined;
  /** How many peers it lets in, 1 to 1000. The same peer may reconnect. Default: no limit. */
  readonly uses?: number | undefined;
  /** Bytes per second of all its holders together, in each direction, 1 to 1 TiB. Default: no limit. */
  readonly bytesPerSecond?: number | undefined;
  /**
   * The only things that its holders may reach, in the form of `expose`, without names. Default: the general rules,
   * unless {@link allowReverse} is set.
   */
  readonly rules?: readonly string[] | undefined;
  /**
   * The only ports that its holders may open, in the form of `allowReverse`, without names. Default: the general
   * rules, unless {@link rules} is set.
   */
  readonly allowReverse?: readonly string[] | undefined;
}

/** A ticket without its secret. */
export interface TicketInfo extends NewTicket {
  /** How many peers it has let in. Undefined when their number is not limited. */
  readonly used?: number | undefined;
  readonly status: 'valid' | 'expired' | 'used-up';
}

/** Why a ticket does not let a peer in. */
export type Ineligible = 'unknown' | 'expired' | 'used-up';

/** A ticket in the book. The book drops this object when the ticket is revoked or rotated. */
export interface BookedTicket {
  readonly name: string;
  readonly secret: Uint8Array;
  readonly expiresAtMs: number | undefined;
  readonly graceMs: number | undefined;
  readonly uses: number | undefined;
  readonly bytesPerSecond: number | undefined;
  /** Public keys, as hexadecimal digits. */
  readonly usedBy: Set<string>;
  readonly rules: readonly string[] | undefined;
  readonly allowReverse: readonly string[] | undefined;
  readonly grant: Grant;
}

/** The tickets of a listener, by name and by the key id of their secret. */
export class TicketBook {
  readonly #byName = new Map<string, BookedTicket>();
  readonly #byKeyId = new Map<string, BookedTicket>();
  readonly #newSecret: () => Uint8Array;

  /** @param kept tickets of an earlier run; without the default ticket among them, it makes a new one */
  constructor(kept: readonly TicketState[], newSecret: () => Uint8Array) {
    this.#newSecret = newSecret;
    for (const { name, secret, usedBy, ...limits } of kept) {
      this.#add({ name, ...limits }, hexBytes(secret), usedBy);
    }
    if (!this.#byName.has(DEFAULT_TICKET)) this.#add({ name: DEFAULT_TICKET }, newSecret());
  }

  get all(): Iterable<BookedTicket> {
    return this.#byName.values();
  }

  get(name: string): BookedTicket | undefined {
    return this.#byName.get(name);
  }

  byKeyId(keyId: string): BookedTicket | undefined {
    return this.#byKeyId.get(keyId);
  }

  /** @throws {TunnelError} ERR_USAGE for a name that is taken, ERR_LIMIT when there are too many tickets */
  make(ticket: NewTicket): BookedTicket {
    if (this.#byName.has(ticket.name)) {
      const { name } = ticket;
      const wayOut = name === DEFAULT_TICKET ? 'rotate it' : 'revoke the old one first';
      throw new TunnelError(
        'ERR_USAGE',
        `there is already a ticket ${quotedWord(name)}; choose another name, or ${wayOut}`,
      );
    }
    if (this.#byName.size >= MAX_TICKETS) {
      throw new TunnelError(
        'ERR_LIMIT',
        `there are already ${MAX_TICKETS} tickets; revoke some that nobody needs`,
      );
    }
    return this.#add(ticket, this.#newSecret());
  }

  /** Replaces the secret of a ticket, and resets its uses. @throws {TunnelError} ERR_USAGE for an unknown name */
  rotate(name: string): BookedTicket {
    const old = this.#expect(name);
    this.#remove(old);
    return this.#add(limitsOf(old), this.#newSecret());
  }

  /** @throws {TunnelError} ERR_USAGE for an unknown name, and for the default ticket */
  revoke(name: string): void {
    if (name === DEFAULT_TICKET) {
      throw new TunnelError('ERR_USAGE', 'the default ticket cannot be revoked; rotate it instead');
    }
    this.#remove(this.#expect(name));
  }

  states(): TicketState[] {
    return [...this.all].map((ticket) => ({
      ...limitsOf(ticket),
      secret: upperHex(ticket.secret),
      ...(ticket.usedBy.size > 0 && { usedBy: [...ticket.usedBy] }),
    }));
  }

  #expect(name: string): BookedTicket {
    const ticket = this.#byName.get(name);
    if (ticket !== undefined) return ticket;
    throw new TunnelError(
      'ERR_USAGE',
      `there is no ticket ${quotedWord(name)}; list all tickets to see their names`,
    );
  }

  #add(
    { name, expiresAtMs, graceMs, uses, bytesPerSecond, rules, allowReverse }: NewTicket,
    secret: Uint8Array,
    usedBy: readonly string[] = [],
  ): BookedTicket {
    const ticket: BookedTicket = {
      name,
      secret,
      expiresAtMs,
      graceMs,
      uses,
      bytesPerSecond,
      usedBy: new Set(usedBy),
      rules,
      allowReverse,
      grant: {
        name,
        kind: 'ticket',
        rules: rules?.map(parseExposeSpec),
        ...(bytesPerSecond !== undefined && { bytesPerSecond }),
        ...(allowReverse !== undefined && {
          allowReverse: allowReverse.map((text) => parseReverseRule(text)),
        }),
      },
    };
    this.#byName.set(name, ticket);
    this.#byKeyId.set(keyIdOf(secret), ticket);
    return ticket;
  }

  #remove(ticket: BookedTicket): void {
    this.#byName.delete(ticket.name);
    this.#byKeyId.delete(keyIdOf(ticket.secret));
  }
}

/** Describes a ticket at this moment, without its secret. */
export function infoOf(ticket: BookedTicket, wallMs: number): TicketInfo {
  const why = ineligible(ticket, undefined, wallMs);
  return {
    ...limitsOf(ticket),
    ...(ticket.uses !== undefined && { used: ticket.usedBy.size }),
    status: why === 'expired' || why === 'used-up' ? why : 'valid',
  };
}

/** Returns why a ticket does not let this peer start a session; undefined when it does. @param peer digits of its public key */
export function ineligible(
  { uses, usedBy, expiresAtMs }: BookedTicket,
  peer: string | undefined,
  wallMs: number,
): Ineligible | undefined {
  if (expiresAtMs !== undefined && wallMs >= expiresAtMs) return 'expired';
  if (uses === undefined || (peer !== undefined && usedBy.has(peer))) return undefined;
  return usedBy.size >= uses ? 'used-up' : undefined;
}

/** When the peers of a ticket are cut off, in milliseconds since 1970; Infinity if never. */
export function endsAtMs({ expiresAtMs = Number.POSITIVE_INFINITY, graceMs }: BookedTicket): number {
  return expiresAtMs + (graceMs ?? DEFAULT_GRACE_MS);
}

/** Records that a ticket let a peer in. @returns true when this changed the record */
export function use({ uses, usedBy }: BookedTicket, peer: string): boolean {
  if (uses === undefined || usedBy.has(peer)) return false;
  usedBy.add(peer);
  return true;
}

function limitsOf({ name, expiresAtMs, graceMs, uses, bytesPerSecond, rules, allowReverse }: BookedTicket) {
  return {
    name,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(graceMs !== undefined && { graceMs }),
    ...(uses !== undefined && { uses }),
    ...(bytesPerSecond !== undefined && { bytesPerSecond }),
    ...(rules !== undefined && { rules: [...rules] }),
    ...(allowReverse !== undefined && { allowReverse: [...allowReverse] }),
  };
}
