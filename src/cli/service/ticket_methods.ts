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
  const shown = (name: string) => ({ name, ticket: desk.ticketOf(name) });
  return {
    'ticket.show': method(v.object({}), () => shown(DEFAULT_TICKET)),
    'ticket.list': method(v.object({}), () => desk.access.tickets()),
    'ticket.new': method(NewTicket, async (ticket) => {
      desk.access.newTicket(ticket);
      await saved();
      return shown(ticket.name);
    }),
    'ticket.rotate': method(Named, async ({ name }) => {
      desk.access.rotate(name);
      await saved();
      return shown(name);
    }),
    'ticket.revoke': method(Named, async ({ name }) => {
      const note = desk.warningOf(name);
      desk.access.revoke(name);
      await saved();
      return { name, ...(note === undefined ? {} : { note }) };
    }),
  };
}
