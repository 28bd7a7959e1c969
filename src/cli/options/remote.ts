import { looksLikeName } from '../../access/name.js';
import { formatTicket, isTicket, parseRemote, TICKET_CHARACTERS, type Ticket } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { formatToxId, type ToxId } from '../../network/tox_id.js';
import { namesFileOf, readNames } from '../../state/names_file.js';
import { PROGRAM } from '../output/reporter.js';
import type { CliIo } from '../process/io.js';
import { TICKET_VARIABLE } from '../process/secret_variables.js';
import { usage } from './flags.js';
import { passphraseOf } from './passphrase.js';
import { readBounded, readBoundedFile } from './read_bounded.js';

const MAX_BYTES = 4096;
/** In the place of a ticket: it is read from standard input. */
export const STDIN = '-';

/** Whom to connect to, and what of the words beside it is the target. */
export interface Remote {
  readonly remote: Ticket | ToxId;
  readonly target: string | undefined;
}

/** Where a ticket may come from beside the command line. */
export interface RemoteFlags {
  readonly ticketFile?: string;
  /** Folder of the names. Default: the platform's. */
  readonly state?: string;
  /** Opens the names where they are encrypted. */
  readonly passphraseFile?: string;
  readonly ephemeral?: boolean;
}

/**
 * Finds the ticket or Tox ID: on the command line or by its name there, in a file, on standard input or
 * in the environment. Where it is none of the words, the first of them is the target.
 *
 * @throws {TunnelError} ERR_TICKET_INVALID, ERR_ADDRESS_INVALID, ERR_USAGE; where a name is looked up also
 *   ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO
 */
export async function remoteOf(
  io: CliIo,
  first: string | undefined,
  second: string | undefined,
  flags: RemoteFlags,
): Promise<Remote> {
  if (first === undefined || !looksLikeName(first)) return writtenRemote(io, first, second, flags);
  // What may lie in the environment has no business here any more.
  io.takeEnv(TICKET_VARIABLE);
  if (flags.ticketFile !== undefined) throw twoTickets();
  return { remote: await named(io, first, flags), target: second };
}

/** {@link remoteOf} without names. */
export async function writtenRemote(
  io: CliIo,
  first: string | undefined,
  second: string | undefined,
  { ticketFile }: RemoteFlags,
): Promise<Remote> {
  const fromEnvironment = io.takeEnv(TICKET_VARIABLE);
  const isElsewhere = ticketFile !== undefined || fromEnvironment !== undefined;
  if (first !== undefined && (second !== undefined || !isElsewhere || isRemote(first))) {
    if (ticketFile !== undefined) throw twoTickets();
    return { remote: await read(io, first), target: second };
  }
  const text = ticketFile === undefined ? fromEnvironment : await readFile(ticketFile);
  if (text === undefined) {
    throw usage(
      `whom to connect to is missing: a ticket, a name (${PROGRAM} list), - to read a ticket from standard input, --ticket-file FILE, or ${TICKET_VARIABLE}`,
    );
  }
  return { remote: parseRemote(text), target: first };
}

/** A ticket or Tox ID as {@link parseRemote} reads it again. */
export function remoteText(remote: Ticket | ToxId): string {
  return isTicket(remote) ? formatTicket(remote) : formatToxId(remote);
}

async function named(io: CliIo, word: string, flags: RemoteFlags): Promise<Ticket | ToxId> {
  const name = word.toLowerCase();
  const place = {
    folder: flags.state ?? (await io.stateFolder()),
    passphrase: await passphraseOf(flags, io),
  };
  const text = (await readNames(place)).get(name);
  if (text === undefined) {
    throw usage(
      `${JSON.stringify(word)} is neither a ticket, nor a name (${PROGRAM} list shows them, ${PROGRAM} add ${name} TICKET makes it one), nor a command`,
    );
  }
  try {
    return parseRemote(text);
  } catch (cause) {
    if (!TunnelError.is(cause)) throw cause;
    throw new TunnelError(
      'ERR_STATE_INVALID',
      `${namesFileOf(place)}: what it has for ${JSON.stringify(name)} cannot be used (${cause.message}); give it again: ${PROGRAM} add --replace ${name} TICKET`,
      { cause },
    );
  }
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

function twoTickets(): TunnelError {
  return usage('--ticket-file and a ticket or name on the command line contradict each other');
}
