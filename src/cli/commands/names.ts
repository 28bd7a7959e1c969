import { Option } from 'commander';
import { parseName } from '../../access/name.js';
import { isTicket, parseRemote } from '../../access/ticket.js';
import { didYouMeanThen } from '../../core/arguments.js';
import { detailOf, TunnelError } from '../../core/errors.js';
import { looksLikeTicket, quotedWord } from '../../core/secret_text.js';
import { upperHex } from '../../network/tox_id.js';
import { changeNames, type NamesPlace, namesFileOf, readNames } from '../../state/names_file.js';
import { type Context, defineCommand } from '../command.js';
import { output, passphrase, stateFolder, ticketFile } from '../options/common_options.js';
import type { OutputFlags } from '../options/flags.js';
import { readValue } from '../options/named_value.js';
import { passphraseOf } from '../options/passphrase.js';
import { literalRemote, type RemoteFlags, remoteText } from '../options/remote.js';
import { usage } from '../options/usage.js';
import type { NamedRemote } from '../output/events.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';

interface NamesFlags extends OutputFlags {
  readonly state?: string;
  readonly passphraseFile?: string;
}

interface AddFlags extends NamesFlags, RemoteFlags {
  readonly replace?: boolean;
}

export const add = defineCommand<AddFlags>({
  name: 'add',
  group: 'Names',
  summary: 'Save a ticket under a name',
  stateOf: ['connect'],
  arguments: {
    '<NAME>': 'letters, digits, - and _, starting with a letter',
    '[TICKET]': 'ticket or Tox ID; - reads it from standard input',
  },
  options: [
    ticketFile(),
    new Option('--replace', 'replace the ticket that the name refers to'),
    stateFolder(),
    passphrase(),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel add home TICKET
  $ tox-wasm-tunnel add home -                 (standard input keeps it out of the shell's history)
  $ tox-wasm-tunnel add home --ticket-file FILE
  $ tox-wasm-tunnel add home TICKET --replace

After that, home means the ticket in connect, ping, doctor and ssh, and in the short form
tox-wasm-tunnel home 22.`,
  run: (context, { words: [name = '', ticket], flags }) => runAdd(context, name, ticket, flags),
});

async function runAdd(
  context: Context,
  word: string,
  ticket: string | undefined,
  flags: AddFlags,
): Promise<ExitCode> {
  const name = readValue('NAME', word, parseName);
  if (looksLikeTicket(name))
    throw usage(`this is a ticket or Tox ID, but NAME belongs here; write ${PROGRAM} add NAME TICKET`);
  if (name === 'help' || context.grammar.commandNames.includes(name))
    throw usage(`${JSON.stringify(name)} is a command of ${PROGRAM}; choose another name`);
  const place = await placeOf(context, flags);
  const { remote, target } = await literalRemote(context.io, ticket, undefined, flags);
  if (target !== undefined) throw usage('the ticket is given twice; keep one of the two');
  const text = remoteText(remote);
  await changeNames(place, (names) => {
    const known = names.get(name);
    if (known === text) return names;
    if (known !== undefined && flags.replace !== true) {
      throw usage(`${JSON.stringify(name)} already refers to another ticket; use --replace to replace it`);
    }
    return new Map([...names, [name, text]]);
  });
  context.reporter.event({ event: 'named', ...describe(name, text) });
  return EXIT.ok;
}

export const remove = defineCommand<NamesFlags>({
  name: 'remove',
  group: 'Names',
  summary: 'Remove a name',
  stateOf: ['connect'],
  arguments: { '<NAME>': 'one of the names that list shows' },
  options: [stateFolder(), passphrase(), ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel remove home`,
  run: (context, { words: [name = ''], flags }) => runRemove(context, name, flags),
});

async function runRemove(context: Context, word: string, flags: NamesFlags): Promise<ExitCode> {
  const name = readValue('NAME', word, parseName);
  const place = await placeOf(context, flags);
  await changeNames(place, (names) => {
    if (!names.has(name))
      throw usage(
        `there is no name ${quotedWord(word)}${didYouMeanThen(name, names.keys())}${PROGRAM} list shows all names`,
      );
    return new Map([...names].filter(([other]) => other !== name));
  });
  context.reporter.event({ event: 'unnamed', name });
  return EXIT.ok;
}

export const list = defineCommand<NamesFlags>({
  name: 'list',
  group: 'Names',
  summary: 'List the names, without secrets',
  stateOf: ['connect'],
  options: [stateFolder(), passphrase(), ...output()],
  help: `
Examples:
  $ tox-wasm-tunnel list                       print name, kind and public key
  $ tox-wasm-tunnel list --json`,
  run: (context, { flags }) => runList(context, flags),
});

async function runList(context: Context, flags: NamesFlags): Promise<ExitCode> {
  const place = await placeOf(context, flags);
  const names: NamedRemote[] = [];
  for (const [name, text] of await readNames(place)) {
    try {
      names.push(describe(name, text));
    } catch (cause) {
      if (!TunnelError.is(cause)) throw cause;
      throw new TunnelError(
        'ERR_STATE_INVALID',
        `${namesFileOf(place)}: the entry ${JSON.stringify(name)} is damaged (${detailOf(cause)}); remove it: ${PROGRAM} remove ${name}`,
        { cause },
      );
    }
  }
  for (const { name, kind, peer } of names)
    context.reporter.result(`${printable(name)}\t${kind === 'ticket' ? 'ticket' : 'Tox ID'}\t${peer}`);
  context.reporter.event({ event: 'names', names });
  if (names.length === 0)
    context.reporter.people(`No names are saved; ${PROGRAM} add home TICKET saves a ticket as home.`);
  return EXIT.ok;
}

function describe(name: string, text: string): NamedRemote {
  const remote = parseRemote(text);
  const { publicKey } = isTicket(remote) ? remote.toxId : remote;
  return { name, kind: isTicket(remote) ? 'ticket' : 'toxId', peer: upperHex(publicKey) };
}

async function placeOf({ io }: Context, flags: NamesFlags): Promise<NamesPlace> {
  return {
    folder: flags.state ?? (await io.stateFolder()),
    passphrase: await passphraseOf(flags, io),
    timers: io.timers,
  };
}
