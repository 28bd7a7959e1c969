import { TunnelError } from '../core/errors.js';
import { hexBytes, upperHex } from '../network/tox_id.js';
import { parseExposeSpec } from '../rules/expose.js';
import { parseReverseRule } from '../rules/reverse_rule.js';
import type { Grant } from '../rules/rule_book.js';
import { DEFAULT_TICKET, MAX_TICKETS, type TicketState } from './access_state.js';
import { keyIdOf } from './proof.js';

/** A ticket to be made. */
export interface NewTicket {
  readonly name: string;
  /** Milliseconds since 1970 from which on it starts no session; default: never. */
  readonly expiresAtMs?: number | undefined;
  /** How many peers it lets in; the same one may come again. Default: any number. */
  readonly uses?: number | undefined;
  /** What its holders may reach, as `--expose` takes it, and nothing else. Default: what all may, unless {@link allowReverse} is given. */
  readonly rules?: readonly string[] | undefined;
  /** Which ports its holders may have opened, as `--allow-reverse` takes them, without names. Default: what all may, unless {@link rules} are given. */
  readonly allowReverse?: readonly string[] | undefined;
}

/** What may be told of a ticket; its secret is not among it. */
export interface TicketInfo extends NewTicket {
  /** How many peers it has let in; counted when that is limited. */
  readonly used?: number | undefined;
  readonly status: 'valid' | 'expired' | 'used-up';
}

/** Why a ticket does not let a peer in. */
export type Ineligible = 'unknown' | 'expired' | 'used-up';

/** A ticket of the book. The object is gone from the book when it is revoked. */
export interface BookedTicket {
  readonly name: string;
  readonly secret: Uint8Array;
  readonly expiresAtMs: number | undefined;
  readonly uses: number | undefined;
  /** Public keys, as hexadecimal digits. */
  readonly usedBy: Set<string>;
  readonly rules: readonly string[] | undefined;
  readonly allowReverse: readonly string[] | undefined;
  readonly grant: Grant;
}

/** The tickets of a listener, by name and by the public name of their secret. */
export class TicketBook {
  readonly #byName = new Map<string, BookedTicket>();
  readonly #byKeyId = new Map<string, BookedTicket>();
  readonly #newSecret: () => Uint8Array;

  /** @param kept an earlier run's; the default ticket is made when it is not among them */
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

  /** @throws {TunnelError} ERR_USAGE for a name that is taken, ERR_LIMIT with too many */
  make(ticket: NewTicket): BookedTicket {
    if (this.#byName.has(ticket.name)) {
      throw new TunnelError(
        'ERR_USAGE',
        `there is a ticket ${JSON.stringify(ticket.name)} already: revoke it first, or choose another name`,
      );
    }
    if (this.#byName.size >= MAX_TICKETS) {
      throw new TunnelError(
        'ERR_LIMIT',
        `there are ${MAX_TICKETS} tickets: revoke those that are not needed`,
      );
    }
    return this.#add(ticket, this.#newSecret());
  }

  /** The same ticket with another secret, unused. @throws {TunnelError} ERR_USAGE when there is none such */
  rotate(name: string): BookedTicket {
    const old = this.#expect(name);
    this.#remove(old);
    return this.#add(limitsOf(old), this.#newSecret());
  }

  /** @throws {TunnelError} ERR_USAGE when there is none such */
  revoke(name: string): void {
    if (name === DEFAULT_TICKET) {
      throw new TunnelError(
        'ERR_USAGE',
        'the default ticket cannot be revoked, only replaced by another: ticket --rotate',
      );
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
    throw new TunnelError('ERR_USAGE', `there is no ticket ${JSON.stringify(name)}; see ticket list`);
  }

  #add(
    { name, expiresAtMs, uses, rules, allowReverse }: NewTicket,
    secret: Uint8Array,
    usedBy: readonly string[] = [],
  ): BookedTicket {
    const ticket: BookedTicket = {
      name,
      secret,
      expiresAtMs,
      uses,
      usedBy: new Set(usedBy),
      rules,
      allowReverse,
      grant: {
        name,
        kind: 'ticket',
        rules: rules?.map(parseExposeSpec),
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

/** What may be told of a ticket now. */
export function infoOf(ticket: BookedTicket, wallMs: number): TicketInfo {
  const why = ineligible(ticket, undefined, wallMs);
  return {
    ...limitsOf(ticket),
    ...(ticket.uses !== undefined && { used: ticket.usedBy.size }),
    status: why === 'expired' || why === 'used-up' ? why : 'valid',
  };
}

/** Why a ticket does not let this peer start a session; undefined when it does. @param peer its public key's digits */
export function ineligible(
  { uses, usedBy, expiresAtMs }: BookedTicket,
  peer: string | undefined,
  wallMs: number,
): Ineligible | undefined {
  if (expiresAtMs !== undefined && wallMs >= expiresAtMs) return 'expired';
  if (uses === undefined || (peer !== undefined && usedBy.has(peer))) return undefined;
  return usedBy.size >= uses ? 'used-up' : undefined;
}

/** Writes down that a ticket let a peer in. @returns true when that was news */
export function use({ uses, usedBy }: BookedTicket, peer: string): boolean {
  if (uses === undefined || usedBy.has(peer)) return false;
  usedBy.add(peer);
  return true;
}

function limitsOf({ name, expiresAtMs, uses, rules, allowReverse }: BookedTicket) {
  return {
    name,
    ...(expiresAtMs !== undefined && { expiresAtMs }),
    ...(uses !== undefined && { uses }),
    ...(rules !== undefined && { rules: [...rules] }),
    ...(allowReverse !== undefined && { allowReverse: [...allowReverse] }),
  };
}
