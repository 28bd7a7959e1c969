import * as v from 'valibot';
import {
  AllowReverseSchema,
  DEFAULT_TICKET,
  MomentSchema,
  NameSchema,
  RateSchema,
  RulesSchema,
  UsesSchema,
} from '../../access/access_state.js';
import type { AccessPolicy } from '../../access/policy.js';
import { type ControlMethods, method } from '../../control/server.js';
import { quotedWord, withoutTickets } from '../../core/secret_text.js';
import { usage } from '../options/usage.js';

/** The tickets of a running listener, or of its state file. */
export interface TicketDesk {
  readonly access: Pick<AccessPolicy, 'newTicket' | 'revoke' | 'rotate' | 'tickets'>;
  /** @returns undefined when no ticket has that name */
  ticketOf(name: string): string | undefined;
  /** Returns a warning about the rules for a ticket that is about to be revoked. */
  warningOf(name: string): string | undefined;
}

const NewTicket = v.object({
  name: NameSchema,
  expiresAtMs: v.optional(MomentSchema),
  graceMs: v.optional(MomentSchema),
  uses: v.optional(UsesSchema),
  bytesPerSecond: v.optional(RateSchema),
  rules: v.optional(RulesSchema),
  allowReverse: v.optional(AllowReverseSchema),
});
const Named = v.object({ name: NameSchema });

/**
 * Methods of the `ticket` command, for the control socket and the state file.
 *
 * @param saved waits until changes are saved
 */
export function ticketMethods(desk: TicketDesk, saved: () => Promise<void>): ControlMethods {
  // The library refuses these too, but knows no commands.
  const isTicket = (name: string): boolean => desk.access.tickets().some((ticket) => ticket.name === name);
  const expectFree = (name: string): void => {
    if (!isTicket(name)) return;
    const wayOut =
      name === DEFAULT_TICKET
        ? 'replace it with ticket --rotate'
        : `revoke the old one first: ticket revoke ${withoutTickets(name)}`;
    throw usage(`there is already a ticket ${quotedWord(name)}; choose another name, or ${wayOut}`);
  };
  const expectTicket = (name: string): void => {
    if (!isTicket(name)) throw usage(`there is no ticket ${quotedWord(name)}; ticket list shows all tickets`);
  };
  const shown = (name: string) => ({ name, ticket: desk.ticketOf(name) });
  return {
    'ticket.show': method(v.object({}), () => shown(DEFAULT_TICKET)),
    'ticket.list': method(v.object({}), () => desk.access.tickets()),
    'ticket.new': method(NewTicket, async (ticket) => {
      expectFree(ticket.name);
      desk.access.newTicket(ticket);
      await saved();
      return shown(ticket.name);
    }),
    'ticket.rotate': method(Named, async ({ name }) => {
      expectTicket(name);
      desk.access.rotate(name);
      await saved();
      return shown(name);
    }),
    'ticket.revoke': method(Named, async ({ name }) => {
      if (name === DEFAULT_TICKET)
        throw usage('the default ticket cannot be revoked; replace it with ticket --rotate');
      expectTicket(name);
      const note = desk.warningOf(name);
      desk.access.revoke(name);
      await saved();
      return { name, ...(note === undefined ? {} : { note }) };
    }),
  };
}
