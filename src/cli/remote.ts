import { parseRemote, TICKET_CHARACTERS, type Ticket } from '../access/ticket.js';
import { TunnelError } from '../core/errors.js';
import type { ToxId } from '../node/tox_id.js';
import { usage } from './flags.js';
import type { CliIo } from './io.js';
import { readBounded, readBoundedFile } from './read_bounded.js';
import { TICKET_VARIABLE } from './secret_variables.js';

const MAX_BYTES = 4096;
/** In the place of a ticket: it is read from standard input. */
export const STDIN = '-';

/** Whom to connect to, and what of the words beside it is the target. */
export interface Remote {
  readonly remote: Ticket | ToxId;
  readonly target: string | undefined;
}

/**
 * Finds the ticket or Tox ID: on the command line, in a file, on standard input or in the
 * environment. Where it is none of the words, the first of them is the target.
 *
 * @throws {TunnelError} ERR_TICKET_INVALID, ERR_ADDRESS_INVALID, ERR_USAGE
 */
export async function remoteOf(
  io: CliIo,
  first: string | undefined,
  second: string | undefined,
  ticketFile: string | undefined,
): Promise<Remote> {
  const fromEnvironment = io.takeEnv(TICKET_VARIABLE);
  const isElsewhere = ticketFile !== undefined || fromEnvironment !== undefined;
  if (first !== undefined && (second !== undefined || !isElsewhere || isRemote(first))) {
    if (ticketFile !== undefined)
      throw usage('--ticket-file and a ticket on the command line contradict each other');
    return { remote: await read(io, first), target: second };
  }
  const text = ticketFile === undefined ? fromEnvironment : await readFile(ticketFile);
  if (text === undefined) {
    throw usage(
      `whom to connect to is missing: a ticket, - to read it from standard input, --ticket-file FILE, or ${TICKET_VARIABLE}`,
    );
  }
  return { remote: parseRemote(text), target: first };
}

async function read(io: CliIo, text: string): Promise<Ticket | ToxId> {
  if (text !== STDIN) return parseRemote(text);
  const bytes = await readBounded(io.stdin, 'standard input', {
    code: 'ERR_TICKET_INVALID',
    maxBytes: MAX_BYTES,
  });
  return parseRemote(notEmpty(bytes.toString('utf8'), 'standard input'));
}

async function readFile(file: string): Promise<string> {
  const bytes = await readBoundedFile(file, { code: 'ERR_TICKET_INVALID', maxBytes: MAX_BYTES });
  return notEmpty(bytes.toString('utf8'), file);
}

function notEmpty(text: string, origin: string): string {
  if (text.trim() === '') throw new TunnelError('ERR_TICKET_INVALID', `${origin}: it is empty`);
  return text;
}

/** Rather a ticket or a Tox ID, mistyped perhaps, than a port or `host:port`. */
function isRemote(text: string): boolean {
  return text === STDIN || (text.length > TICKET_CHARACTERS / 2 && !text.includes(':'));
}
