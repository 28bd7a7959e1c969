import { parseName } from '../../access/name.js';
import { isTicket, parseRemote } from '../../access/ticket.js';
import { TunnelError } from '../../core/errors.js';
import { upperHex } from '../../network/tox_id.js';
import { changeNames, type NamesPlace, namesFileOf, readNames } from '../../state/names_file.js';
import { type OutputFlags, usage } from '../options/flags.js';
import { passphraseOf } from '../options/passphrase.js';
import { type RemoteFlags, remoteText, writtenRemote } from '../options/remote.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { Context } from '../service/serve.js';

export interface NamesFlags extends OutputFlags {
  readonly state?: string;
  readonly passphraseFile?: string;
}

export interface AddFlags extends NamesFlags, RemoteFlags {
  readonly replace?: boolean;
}

/** What stands for a name, without its secret. */
export interface NamedRemote {
  readonly name: string;
  readonly kind: 'ticket' | 'toxId';
  /** 64 hexadecimal digits. */
  readonly peer: string;
}

/**
 * Keeps a ticket or Tox ID under a name.
 *
 * @param commands names that would be taken for commands
 */
export async function addCommand(
  context: Context,
  word: string,
  ticket: string | undefined,
  flags: AddFlags,
  commands: readonly string[],
): Promise<ExitCode> {
  const name = parseName(word);
  if (commands.includes(name))
    throw usage(`${JSON.stringify(name)} is a command of ${PROGRAM}; choose another name`);
  const place = await placeOf(context, flags);
  const { remote, target } = await writtenRemote(context.io, ticket, undefined, flags);
  if (target !== undefined)
    throw usage('the ticket is given twice, and it cannot be told which one is meant');
  const text = remoteText(remote);
  await changeNames(place, (names) => {
    const known = names.get(name);
    if (known === text) return names;
    if (known !== undefined && flags.replace !== true) {
      throw usage(
        `${JSON.stringify(name)} stands for another ticket already; with --replace this one takes its place`,
      );
    }
    return new Map([...names, [name, text]]);
  });
  context.reporter.event({ event: 'named', ...about(name, text) });
  return EXIT.ok;
}

/** Forgets a name. */
export async function removeCommand(context: Context, word: string, flags: NamesFlags): Promise<ExitCode> {
  const name = word.toLowerCase();
  const place = await placeOf(context, flags);
  await changeNames(place, (names) => {
    if (!names.has(name))
      throw usage(`there is no name ${JSON.stringify(word)}; ${PROGRAM} list shows all of them`);
    return new Map([...names].filter(([other]) => other !== name));
  });
  context.reporter.event({ event: 'unnamed', name });
  return EXIT.ok;
}

/** Prints the names, one a line, and whom they stand for: no secrets. */
export async function listCommand(context: Context, flags: NamesFlags): Promise<ExitCode> {
  const place = await placeOf(context, flags);
  const names: NamedRemote[] = [];
  for (const [name, text] of await readNames(place)) {
    try {
      names.push(about(name, text));
    } catch (cause) {
      if (!TunnelError.is(cause)) throw cause;
      throw new TunnelError(
        'ERR_STATE_INVALID',
        `${namesFileOf(place)}: what it has for ${JSON.stringify(name)} cannot be used (${cause.message}); ${PROGRAM} remove ${name} removes it`,
        { cause },
      );
    }
  }
  for (const { name, kind, peer } of names)
    context.reporter.result(`${name}\t${kind === 'ticket' ? 'ticket' : 'Tox ID'}\t${peer}`);
  context.reporter.event({ event: 'names', names });
  return EXIT.ok;
}

function about(name: string, text: string): NamedRemote {
  const remote = parseRemote(text);
  const { publicKey } = isTicket(remote) ? remote.toxId : remote;
  return { name, kind: isTicket(remote) ? 'ticket' : 'toxId', peer: upperHex(publicKey) };
}

async function placeOf({ io }: Context, flags: NamesFlags): Promise<NamesPlace> {
  return { folder: flags.state ?? (await io.stateFolder()), passphrase: await passphraseOf(flags, io) };
}
