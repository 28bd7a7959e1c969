import { mkdir, readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { looksLikeName } from '../../access/name.js';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { isPath } from '../../rules/endpoint.js';
import { parseLocalSpec } from '../../rules/forward_spec.js';
import { replaceFile } from '../../state/replace_file.js';
import { exposedBy, type OutputFlags, usage } from '../options/flags.js';
import { isPathOption, wordsOf } from '../options/grammar_words.js';
import { hasProxyPassword } from '../options/network_proxy.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import { type ParsedCall, parseOnly } from '../parse_only.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import type { Context } from '../service/serve.js';
import { listenedPorts } from './service_ports.js';
import { placeTrouble } from './service_program.js';
import {
  type ServiceScope,
  systemdUnit,
  systemStateFolder,
  UNIT_MARK,
  type UnitParts,
} from './service_unit.js';

export interface ServiceFlags extends OutputFlags {
  readonly print?: boolean;
  readonly user?: boolean;
  readonly system?: boolean;
  /** Part of the unit's name. */
  readonly name?: string;
}

/** What runs for long. */
const COMMANDS: readonly string[] = ['listen', 'connect', 'node'];

/**
 * Prints or writes a systemd unit that runs a command of ours, and says what to do next; starts nothing.
 *
 * @param words the command and its options; none: listen
 */
export async function serviceCommand(
  context: Context,
  action: string,
  words: readonly string[],
  flags: ServiceFlags,
): Promise<ExitCode> {
  const { io, reporter } = context;
  if (action !== 'install') throw usage(`service ${JSON.stringify(action)} is not known; there is install`);
  if (flags.user === true && flags.system === true) throw usage('--user and --system contradict each other');
  if (io.platform !== 'linux') throw usage(elsewhere(io, words));
  if (words.includes('--')) throw usage('a service has no use for a program after a second --');
  const scope: ServiceScope = flags.system === true || (flags.user !== true && io.isRoot) ? 'system' : 'user';
  const call = await parseOnly(isCommand(words[0]) ? words : ['listen', ...words]);
  refuseUnfit(call, scope);
  const name = unitName(call.command, flags.name);
  const notes: string[] = [];
  const unit = systemdUnit(await partsOf(io, call, scope, name, notes));
  const file = flags.print === true ? undefined : await writeUnit(await io.unitFolder(scope), name, unit);
  if (file === undefined) reporter.result(unit.trimEnd());
  const next = nextCommands(scope, name, call.command);
  reporter.event({ event: 'service', name, scope, unit, next, ...(file === undefined ? {} : { file }) });
  for (const note of notes) reporter.people(printable(note));
  if (file !== undefined) reporter.people(`Wrote ${printable(file)}. Nothing was started.`);
  else reporter.people(`It belongs in ${printable(join(await io.unitFolder(scope), `${name}.service`))}.`);
  reporter.people('Next:');
  for (const command of next) reporter.people(`  ${printable(command)}`);
  return EXIT.ok;
}

const isCommand = (word: string | undefined): boolean => word !== undefined && !word.startsWith('-');

function elsewhere(io: CliIo, words: readonly string[]): string {
  const what =
    io.platform === 'darwin'
      ? 'launchd'
      : io.platform === 'win32'
        ? 'the Task Scheduler'
        : 'what starts services here';
  return `service is for systemd, which is of Linux; have ${what} run: ${[...io.ownCommand, ...words].join(' ')}`;
}

function refuseUnfit(call: ParsedCall, scope: ServiceScope): void {
  const {
    command,
    words: [first],
    flags,
  } = call;
  if (!COMMANDS.includes(command))
    throw usage(
      `${command} is no service; listen, connect and node are: ${PROGRAM} service install -- listen --expose 22`,
    );
  for (const [flag, name] of [
    ['stdio', '-W'],
    ['exec', '--exec'],
  ] as const)
    if (flags[flag] !== undefined) throw usage(`a service has no use for ${name}`);
  const proxy = call.options.find((option) => option.attributeName() === 'proxy');
  if (proxy !== undefined && call.isWritten(proxy) && hasProxyPassword(String(flags['proxy'])))
    throw usage(
      'a password in a unit can be read by everybody here; leave it out of --proxy and use --proxy-password-file FILE',
    );
  if (command === 'listen') expectRules(flags);
  if (command !== 'connect') return;
  if (first === undefined && flags['ticketFile'] === undefined)
    throw usage(`whom to connect to is missing: a name (${PROGRAM} add), or --ticket-file FILE`);
  if (first !== undefined && first.length > 32 && flags['ticketFile'] === undefined)
    throw usage(
      'a ticket in a unit can be read by everybody here; give it a name (add) or use --ticket-file FILE',
    );
  if (first === '-') throw usage('a service has no standard input; use --ticket-file FILE');
  if (scope === 'system' && first !== undefined && looksLikeName(first))
    throw usage('names are those of a user, whom a system service is not; use --ticket-file FILE, or --user');
}

/** A service runs unattended, so it needs explicit rules: the loopback default does not apply. */
function expectRules({ expose, allowReverse }: ParsedCall['flags']): void {
  // Commander has collected texts under this name.
  const exposed = exposedBy(expose as readonly string[] | undefined);
  if (exposed !== undefined || allowReverse !== undefined) return;
  throw usage(
    "say what ticket holders may reach: --expose 22 (one port), --allow-reverse 8080 (a port for -R), --expose none (only what a ticket's own rules open), or --expose 'localhost:*' (every port of the loopback)",
  );
}

function unitName(command: string, name: string | undefined): string {
  if (name === undefined) return command === 'listen' ? PROGRAM : `${PROGRAM}-${command}`;
  if (!looksLikeName(name))
    throw usage(`--name ${JSON.stringify(name)} is no name: letters, digits, - and _, a letter first`);
  return `${PROGRAM}-${name}`;
}

async function partsOf(
  io: CliIo,
  call: ParsedCall,
  scope: ServiceScope,
  name: string,
  notes: string[],
): Promise<UnitParts> {
  const { command, words, options, flags } = call;
  if (scope === 'system' && flags['state'] !== undefined)
    throw usage(
      `a system service keeps its state in ${systemStateFolder(name)}; leave --state out, and take an identity there by id --export and --import`,
    );
  // What a listener says at its start holds the ticket, and journals are read by many.
  const isTalkative =
    command === 'listen' && flags['verbose'] === 0 && flags['quiet'] !== true && flags['json'] !== true;
  // A file that a configuration names is named once more: by its full path, or as it is handed in.
  const named = options.filter(
    (option) =>
      call.isWritten(option) || (isPathOption(option) && flags[option.attributeName()] !== undefined),
  );
  const state = scope === 'system' ? systemStateFolder(name) : await io.stateFolder();
  const needsState = flags['ephemeral'] !== true && flags['state'] === undefined;
  const parts = {
    scope,
    name,
    description: `${PROGRAM} ${command}`,
    command: [
      ...io.ownCommand,
      command,
      ...words,
      ...wordsOf(named, flags),
      ...(needsState ? ['--state', state] : []),
      ...(isTalkative ? ['--quiet'] : []),
    ],
    needsLowPorts: listenedPorts(flags).some((port) => port > 0 && port < 1024),
  };
  if (isTalkative)
    notes.push(
      'It runs with --quiet, as what it says at its start holds the ticket: ask for that by the command below.',
    );
  if (io.ownCommand.some((word) => word.includes('/_npx/')))
    notes.push(
      `npx keeps ${PROGRAM} for a while only: install it (npm install --global) and make the unit anew.`,
    );
  if (scope === 'user') return { ...parts, credentials: new Map(), user: undefined };
  if (hasSocketPath(flags['local']))
    notes.push(
      'A socket that -L makes must lie in a folder that the unit may write to: add ReadWritePaths= for it.',
    );
  return {
    ...parts,
    credentials: credentialsOf(named.filter(isPathOption), flags),
    user: await userFor(io, notes),
  };
}

/** Files as credentials: root reads them at the start, and the service alone sees its copy. */
function credentialsOf(options: ParsedCall['options'], flags: ParsedCall['flags']): Map<string, string> {
  const found = new Map<string, string>();
  for (const option of options) {
    const [name = '', ...files] = wordsOf([option], flags).filter(
      (word, at) => at === 0 || word !== option.long,
    );
    files.forEach((file, at) => {
      if (/[\s:"'\\]/.test(file))
        throw usage(
          `${JSON.stringify(file)} cannot be handed to a system service; give it a name without blanks, quotes and colons`,
        );
      found.set(file, `${name.replace(/^--/, '')}${at === 0 ? '' : `-${at + 1}`}`);
    });
  }
  return found;
}

/** Undefined where a user of its own will do. */
async function userFor(io: CliIo, notes: string[]): Promise<string | undefined> {
  const trouble = await placeTrouble(io.ownCommand.filter((word) => word.startsWith('/')));
  if (trouble === undefined) return undefined;
  if (trouble.kind === 'temporary')
    throw usage(
      `${trouble.file} lies where files do not last, and where a service cannot see them; install ${PROGRAM} first`,
    );
  const user = trouble.ownerId === 0 ? 'root' : String(trouble.ownerId);
  notes.push(
    `${trouble.file} can be read by its owner alone, so the service runs as user ${user} instead of one of its own. Install Node and ${PROGRAM} for all users (/usr, /opt) and make the unit anew to avoid that.`,
  );
  return user;
}

function hasSocketPath(local: unknown): boolean {
  return Array.isArray(local) && local.some((text) => isPath(parseLocalSpec(String(text)).bind));
}

/** A unit that is not ours is left as it is. */
async function writeUnit(folder: string, name: string, unit: string): Promise<string> {
  const file = join(folder, `${name}.service`);
  try {
    await mkdir(folder, { recursive: true });
    const old = await readFile(file, 'utf8').catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (old !== undefined && !old.startsWith(UNIT_MARK))
      throw usage(
        `${file} is there and not of ${PROGRAM}: it was left as it is; choose another name with --name`,
      );
    // Keep a symbolic link.
    await replaceFile(old === undefined ? file : await realpath(file), unit, 0o644);
    return file;
  } catch (error) {
    if (TunnelError.is(error) || !(error instanceof Error)) throw error;
    if (!['EACCES', 'EROFS', 'EPERM'].includes(errnoOf(error) ?? ''))
      throw new TunnelError('ERR_OUTPUT', `${file}: ${error.message}; nothing was changed`, { cause: error });
    throw usage(
      `${file} cannot be written; run this as root, or with --user, or with --print to put it there yourself`,
    );
  }
}

function nextCommands(scope: ServiceScope, name: string, command: string): string[] {
  const systemctl = scope === 'system' ? 'systemctl' : 'systemctl --user';
  const journalctl = scope === 'system' ? 'journalctl' : 'journalctl --user';
  return [
    `${systemctl} daemon-reload`,
    `${systemctl} enable --now ${name}`,
    ...(scope === 'user' ? ['loginctl enable-linger    (it runs while you are not logged in, too)'] : []),
    `${journalctl} -u ${name} -f`,
    ...(command === 'listen'
      ? [
          `${PROGRAM} ticket${scope === 'system' ? ` --state ${systemStateFolder(name)}` : ''}    (the ticket for the other machine)`,
        ]
      : []),
  ];
}
