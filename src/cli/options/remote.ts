import { formatTicket, isTicket, parseRemote, TICKET_CHARACTERS, type Ticket } from '../../access/ticket.js';
import { didYouMeanThen } from '../../core/arguments.js';
import { detailOf, TunnelError } from '../../core/errors.js';
import { looksLikeName } from '../../core/host.js';
import { cutShort, looksLikeTicket, quotedWord, withoutTickets } from '../../core/secret_text.js';
import { formatToxId, type ToxId } from '../../network/tox_id.js';
import { namesFileOf, readNames } from '../../state/names_file.js';
import { PROGRAM } from '../output/reporter.js';
import type { CliIo } from '../process/io.js';
import { TICKET_VARIABLE } from '../process/secret_variables.js';
import { passphraseOf } from './passphrase.js';
import { readBounded, readSecretFile } from './read_bounded.js';
import { shareCommand } from './share_command.js';
import { usage } from './usage.js';

const MAX_BYTES = 4096;
/** Longer words were meant as a ticket, whose parser says what is wrong. In characters. */
const MAX_PLAIN_WORD = 60;
/** In place of a ticket: read the ticket from standard input. */
export const STDIN = '-';

/** What other programs call our commands and options. */
const OTHER_WORDS: Readonly<Record<string, string>> = {
  version: '--version',
  client: 'connect',
  delete: 'remove',
  expose: '--expose PORT',
  ls: 'list',
  names: 'list',
  open: '--expose PORT',
  rm: 'remove',
  run: 'listen',
  serve: 'listen',
  server: 'listen',
  share: '--expose PORT',
  start: 'listen',
  tickets: 'ticket list',
  up: 'connect',
};

/** The listener to connect to, and the target among the words of the command line. */
export interface Remote {
  readonly remote: Ticket | ToxId;
  readonly target: string | undefined;
  /** The name of the listener on this machine; undefined for a literal ticket or Tox ID. */
  readonly name?: string;
}

/** Sources of a ticket other than the command line. */
export interface RemoteFlags {
  readonly ticketFile?: string;
  /** The folder of the names file. Default: that of the platform. */
  readonly state?: string;
  /** Decrypts the names file. */
  readonly passphraseFile?: string;
  readonly ephemeral?: boolean;
}

/**
 * Finds the ticket or Tox ID: on the command line, literally or by name, in a file, on standard input or in
 * the environment. When it is not on the command line, the first word there is the target.
 *
 * @param commands the commands that the first word may have meant
 * @throws {TunnelError} ERR_TICKET_INVALID, ERR_ADDRESS_INVALID, ERR_USAGE; for a name also
 *   ERR_STATE_INVALID, ERR_STATE_SEALED, ERR_STATE_IO
 */
export async function remoteOf(
  io: CliIo,
  first: string | undefined,
  second: string | undefined,
  flags: RemoteFlags,
  commands: readonly string[] = [],
): Promise<Remote> {
  if (first === undefined || !looksLikeName(first)) return literalRemote(io, first, second, flags);
  // A name overrides the environment. Discard the secret there.
  io.takeEnv(TICKET_VARIABLE);
  if (flags.ticketFile !== undefined) throw twoTickets();
  return {
    remote: await named(io, first, flags, commands),
    target: second,
    name: first.toLowerCase(),
  };
}

/** {@link remoteOf} without names. */
export async function literalRemote(
  io: CliIo,
  first: string | undefined,
  second: string | undefined,
  { ticketFile }: RemoteFlags,
): Promise<Remote> {
  const fromEnvironment = io.takeEnv(TICKET_VARIABLE);
  if (first === '') throw usage('the ticket is empty; check the variable or file that it comes from');
  const isElsewhere = ticketFile !== undefined || fromEnvironment !== undefined;
  if (first !== undefined && (second !== undefined || !isElsewhere || isRemote(first))) {
    if (ticketFile !== undefined) throw twoTickets();
    return { remote: await read(io, first), target: second };
  }
  const text =
    ticketFile !== undefined
      ? await readFile(ticketFile, io)
      : fromEnvironment === undefined
        ? undefined
        : notEmpty(fromEnvironment, TICKET_VARIABLE);
  if (text === undefined) {
    throw usage(
      `the ticket is missing: give a ticket, a name (${PROGRAM} list), - to read the ticket from standard input, --ticket-file FILE, or ${TICKET_VARIABLE}`,
    );
  }
  return { remote: parseRemote(text), target: first };
}

/** Formats a ticket or Tox ID; {@link parseRemote} reads it back. */
export function remoteText(remote: Ticket | ToxId): string {
  return isTicket(remote) ? formatTicket(remote) : formatToxId(remote);
}

async function named(
  io: CliIo,
  word: string,
  flags: RemoteFlags,
  commands: readonly string[],
): Promise<Ticket | ToxId> {
  const name = word.toLowerCase();
  const place = {
    folder: flags.state ?? (await io.stateFolder()),
    passphrase: await passphraseOf(flags, io),
  };
  const names = await readNames(place);
  const text = names.get(name);
  if (text === undefined) {
    if (looksLikeTicket(word)) throw cutShort(word);
    const share = commands.length === 0 ? undefined : shareCommand(word);
    if (share !== undefined) throw notRemote(word, share);
    const nor = commands.length === 0 ? '' : ', nor a command';
    const meant = commands.length === 0 ? undefined : OTHER_WORDS[name];
    const hint =
      meant === undefined
        ? didYouMeanThen(name, [...names.keys(), ...commands])
        : `; did you mean ${PROGRAM} ${meant}? `;
    throw usage(
      `${quotedWord(word)} is neither a ticket, nor a name${nor}${hint}${PROGRAM} list shows all names, ${PROGRAM} add NAME TICKET saves one`,
    );
  }
  try {
    return parseRemote(text);
  } catch (cause) {
    if (!TunnelError.is(cause)) throw cause;
    throw new TunnelError(
      'ERR_STATE_INVALID',
      `${namesFileOf(place)}: the entry ${JSON.stringify(name)} is damaged (${detailOf(cause)}); replace it: ${PROGRAM} add --replace ${name} TICKET`,
      { cause },
    );
  }
}

async function read(io: CliIo, text: string): Promise<Ticket | ToxId> {
  const share = shareCommand(text);
  if (share !== undefined) throw notRemote(text, share);
  if (/^[^\s:]+:[^\s:]+:\d+$/.test(text))
    throw usage(
      `${quotedWord(text)} is not a ticket; put the ticket of the listener before the forward: ${PROGRAM} connect TICKET -L ${withoutTickets(text)}`,
    );
  if (text.length <= MAX_PLAIN_WORD && /[:/.@=]/.test(text))
    throw usage(
      `${quotedWord(text)} is neither a ticket nor a name; put the ticket of the listener first: ${PROGRAM} TICKET PORT`,
    );
  // A piece from the middle of a ticket. The parsers say more about one that begins like a ticket or a Tox ID.
  if (text.length < TICKET_CHARACTERS / 2 && looksLikeTicket(text) && !/^twt\d|^[0-9a-f]+$/i.test(text))
    throw cutShort(text);
  if (text !== STDIN) return parseRemote(text);
  const bytes = await readBounded(io.stdin, 'standard input', {
    code: 'ERR_TICKET_INVALID',
    maxBytes: MAX_BYTES,
  });
  return parseRemote(notEmpty(bytes.toString('utf8'), 'standard input'));
}

async function readFile(file: string, io: CliIo): Promise<string> {
  const bytes = await readSecretFile(file, io, { code: 'ERR_TICKET_INVALID', maxBytes: MAX_BYTES });
  return notEmpty(bytes.toString('utf8'), file);
}

function notEmpty(text: string, origin: string): string {
  if (text.trim() === '')
    throw new TunnelError('ERR_TICKET_INVALID', `${origin} is empty; put a ticket there, or name another`);
  return text;
}

/** Guesses whether a word is a ticket or a Tox ID, perhaps mistyped, rather than a port or `host:port`. */
function isRemote(text: string): boolean {
  const isLong = text.length > TICKET_CHARACTERS / 2 && !text.includes(':');
  return text === STDIN || isLong || looksLikeTicket(text);
}

/** @param share what the word shares, as a clause with the command */
function notRemote(word: string, share: string): TunnelError {
  return usage(
    `${quotedWord(word)} is not a ticket; ${share}; to reach a port of another machine, put the ticket of its listener first: ${PROGRAM} TICKET PORT`,
  );
}

function twoTickets(): TunnelError {
  return usage('--ticket-file cannot be combined with a ticket or name on the command line');
}
