import { mkdir, readFile, realpath } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { Option } from 'commander';
import { parseAllowedPeer, parsePeerKey } from '../../access/peer_key.js';
import { didYouMeanThen } from '../../core/arguments.js';
import { errnoOf, TunnelError } from '../../core/errors.js';
import { looksLikeName } from '../../core/host.js';
import { quotedWord } from '../../core/secret_text.js';
import { systemReason } from '../../core/system_error.js';
import { isPath } from '../../rules/endpoint.js';
import { parseLocalSpec, parseReverseSpec, parseTarget, parseUdpSpec } from '../../rules/forward_spec.js';
import { replaceFile } from '../../state/replace_file.js';
import { type Context, defineCommand, type ParsedCall } from '../command.js';
import { actionOf } from '../options/action.js';
import { output } from '../options/common_options.js';
import {
  exposedBy,
  type NetworkFlags,
  networkOf,
  type OutputFlags,
  type PatienceFlags,
  patienceOf,
  type UdpFlags,
  udpOf,
} from '../options/flags.js';
import { isPathOption, wordsOf } from '../options/grammar.js';
import { type LimitFlags, limitsOfFlags } from '../options/limit_flags.js';
import { readValue, readValues } from '../options/named_value.js';
import { hasProxyPassword } from '../options/proxies.js';
import { expectReverseRules, expectRules, NAME_A_RULE } from '../options/rule_values.js';
import { usage } from '../options/usage.js';
import { printable } from '../output/human.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { CliIo } from '../process/io.js';
import { AUDIT_TO_OUTPUT } from '../service/audit_log.js';
import { listenedPorts, placeTrouble, resolverConfig, unneededNetworks } from './service_needs.js';
import {
  type ServiceScope,
  systemdUnit,
  systemStateFolder,
  UNIT_MARK,
  type UnitParts,
} from './service_unit.js';

interface ServiceFlags extends OutputFlags {
  readonly print?: boolean;
  readonly user?: boolean;
  readonly system?: boolean;
  /** Part of the unit's name. */
  readonly name?: string;
}

export const service = defineCommand<ServiceFlags>({
  name: 'service',
  group: 'Setup',
  summary: 'Install a systemd unit that runs listen, connect or node',
  arguments: {
    '[ACTION]': 'install',
    '[WORD...]': 'after --: listen, connect or node, with its options (default: listen)',
  },
  options: [
    new Option('--print', 'print the unit, and write nothing'),
    new Option('--user', 'install a user unit (default, unless root)'),
    new Option('--system', 'install a system unit with its own user (default for root)'),
    new Option('--name <NAME>', 'name the unit tox-wasm-tunnel-NAME'),
    ...output(),
  ],
  help: `
Examples:
  $ tox-wasm-tunnel service install --print -- listen --expose 22
  $ tox-wasm-tunnel service install --user -- listen --expose 22
  $ tox-wasm-tunnel service install --system -- connect --ticket-file FILE -L 2222:localhost:22
  $ tox-wasm-tunnel service install --name db -- connect home -L 5432:localhost:5432

Writes the unit, starts nothing, and prints the commands to run next.`,
  run: (context, { words: [action, ...words], flags }) => runService(context, action, words, flags),
});

/** Commands that run until they are stopped. */
const COMMANDS: readonly string[] = ['listen', 'connect', 'node'];

/** @param words a command and its options; none: listen */
async function runService(
  context: Context,
  action: string | undefined,
  words: readonly string[],
  flags: ServiceFlags,
): Promise<ExitCode> {
  const { io, reporter } = context;
  actionOf('service', ['install'], action);
  if (flags.user === true && flags.system === true) throw usage('--user and --system cannot be combined');
  if (io.platform !== 'linux') throw usage(elsewhere(io, words));
  if (words.includes('--')) throw usage('a service cannot run a program after a second --');
  const scope: ServiceScope = flags.system === true || (flags.user !== true && io.isRoot) ? 'system' : 'user';
  const [first = ''] = words;
  const isCommand = first !== '' && !first.startsWith('-');
  if (isCommand && !COMMANDS.includes(first))
    throw usage(
      `${quotedWord(first)} cannot be a service${didYouMeanThen(first, COMMANDS)}listen, connect and node can: ${PROGRAM} service install -- listen --expose 22`,
    );
  const call = await context.grammar.parse(isCommand ? words : ['listen', ...words]);
  rejectUnfit(call, scope);
  const name = unitName(call.command, flags.name);
  const notes: string[] = [];
  const parts = await partsOf(io, call, scope, name, notes);
  const unit = systemdUnit(parts);
  const file =
    flags.print === true ? undefined : await writeUnit(await io.unitFolder(scope), name, unit, io.pid);
  if (file === undefined) reporter.result(unit.trimEnd());
  const next = nextCommands(scope, name, call.command, parts.user);
  reporter.event({ event: 'service', name, scope, unit, next, ...(file === undefined ? {} : { file }) });
  for (const note of notes) reporter.people(printable(note));
  if (file !== undefined) reporter.people(`Wrote ${printable(file)}. Nothing was started.`);
  else reporter.people(`Save it as ${printable(join(await io.unitFolder(scope), `${name}.service`))}.`);
  reporter.people('Next:');
  for (const command of next) reporter.people(`  ${printable(command)}`);
  return EXIT.ok;
}

function elsewhere(io: CliIo, words: readonly string[]): string {
  const what =
    io.platform === 'darwin'
      ? 'launchd'
      : io.platform === 'win32'
        ? 'the Task Scheduler'
        : 'the service manager of this system';
  return `service writes systemd units, which only Linux has; have ${what} run: ${[...io.ownCommand, ...words].join(' ')}`;
}

function rejectUnfit(call: ParsedCall, scope: ServiceScope): void {
  const {
    command,
    words: [first],
    flags,
  } = call;
  for (const [flag, name] of [
    ['stdio', '-W'],
    ['exec', '--exec'],
  ] as const)
    if (flags[flag] !== undefined) throw usage(`a service cannot use ${name}`);
  expectValues(call);
  const proxy = call.options.find((option) => option.attributeName() === 'proxy');
  if (proxy !== undefined && call.isWritten(proxy) && hasProxyPassword(String(flags['proxy'])))
    throw usage(
      'every user of this machine can read a password in a unit; leave it out of --proxy and use --proxy-password-file FILE',
    );
  if (command === 'listen') expectOpen(flags);
  if (command !== 'connect') return;
  if (first === undefined && flags['ticketFile'] === undefined)
    throw usage(`the listener is missing: give a name (${PROGRAM} add), or --ticket-file FILE`);
  if (first !== undefined && first.length > 32 && flags['ticketFile'] === undefined)
    throw usage(
      'every user of this machine can read a ticket in a unit; save it under a name (add) or use --ticket-file FILE',
    );
  if (first === '-') throw usage('a service has no standard input; use --ticket-file FILE');
  if (scope === 'system' && first !== undefined && looksLikeName(first))
    throw usage('a system service cannot read the names of a user; use --ticket-file FILE, or --user');
}

/** The options of `listen`, `connect` and `node` whose values can be checked before the service starts. */
interface ServedFlags extends NetworkFlags, UdpFlags, PatienceFlags, LimitFlags {
  readonly expose?: readonly string[];
  readonly allowReverse?: readonly string[];
  readonly allowPeer?: readonly string[];
  readonly denyPeer?: readonly string[];
  readonly reverse?: readonly string[];
  readonly udpForward?: readonly string[];
}

/** Reports wrong values here: nobody watches the start of a service. {@link listenedPorts} checks the others. */
function expectValues({ command, words: [, target], flags }: ParsedCall): void {
  // The values of these options, as commander stores them.
  const values = flags as Partial<ServedFlags> & { readonly lan: boolean; readonly udp: boolean };
  networkOf(values);
  udpOf(values);
  patienceOf(values);
  limitsOfFlags(values);
  expectRules('--expose', exposedBy(values.expose));
  expectReverseRules(values.allowReverse);
  readValues('--allow-peer', values.allowPeer, parseAllowedPeer);
  readValues('--deny-peer', values.denyPeer, parsePeerKey);
  readValues('-R', values.reverse, parseReverseSpec);
  readValues('--udp-forward', values.udpForward, parseUdpSpec);
  if (command === 'connect' && target !== undefined) readValue('PORT', target, parseTarget);
}

/** A service runs unattended, so it needs explicit rules instead of the loopback default. */
function expectOpen({ expose, allowReverse }: ParsedCall['flags']): void {
  // Commander collects strings under this name.
  const exposed = exposedBy(expose as readonly string[] | undefined);
  if (exposed !== undefined || allowReverse !== undefined) return;
  throw usage(NAME_A_RULE);
}

/** Whether the unit itself has a rule. A rule that is only in a `--config` file may be removed from it later. */
function hasWrittenRule(call: ParsedCall): boolean {
  return call.options.some(
    (option) => ['expose', 'allowReverse'].includes(option.attributeName()) && call.isWritten(option),
  );
}

function unitName(command: string, name: string | undefined): string {
  if (name === undefined) return command === 'listen' ? PROGRAM : `${PROGRAM}-${command}`;
  if (!looksLikeName(name))
    throw usage(
      `--name ${JSON.stringify(name)} is not a valid name: start with a letter; use letters, digits, - and _, for example --name db`,
    );
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
      `a system service keeps its state in ${systemStateFolder(name)}; leave out --state, and move an identity there with id --export and id --import`,
    );
  // A listener prints its ticket at the start, and many users may read the journal.
  const hidesTicket = command === 'listen' && flags['hideTicket'] !== true;
  const audit = command === 'listen' ? auditOf(flags, scope, name) : undefined;
  // Repeat the files that a configuration names: with absolute paths, or as credentials.
  const named = options.filter(
    (option) =>
      call.isWritten(option) || (isPathOption(option) && flags[option.attributeName()] !== undefined),
  );
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
      ...(needsState
        ? ['--state', scope === 'system' ? systemStateFolder(name) : await io.stateFolder()]
        : []),
      ...(hidesTicket ? ['--hide-ticket'] : []),
      ...(command === 'listen' && flags['needRule'] !== true && !hasWrittenRule(call) ? ['--need-rule'] : []),
      ...(audit !== undefined && flags['auditLog'] === undefined ? ['--audit-log', audit] : []),
    ],
    auditsToJournal: audit === AUDIT_TO_OUTPUT,
    hasLogFolder: scope === 'system' && audit !== undefined && audit !== AUDIT_TO_OUTPUT,
    deniedNetworks:
      // Commander collects strings under this name.
      scope === 'system'
        ? unneededNetworks(await resolverConfig(), (flags['expose'] as string[] | undefined) ?? [])
        : [],
    needsLowPorts: listenedPorts(flags).some((port) => port > 0 && port < 1024),
  };
  if (hidesTicket)
    notes.push(
      'The service does not print its ticket, because many users may read the journal. The command below prints it.',
    );
  if (io.ownCommand.some((word) => word.includes('/_npx/')))
    notes.push(
      `npx keeps ${PROGRAM} only for a while; install it (npm install --global) and create the unit again.`,
    );
  if (scope === 'user') return { ...parts, credentials: new Map(), user: undefined };
  if (hasSocketPath(flags['local']))
    notes.push(
      'The unit must be allowed to write to the folder that holds the -L socket: add ReadWritePaths= for that folder.',
    );
  return {
    ...parts,
    credentials: credentialsOf(named.filter(isPathOption), flags),
    user: await userFor(io, notes),
  };
}

/** Where a listener keeps its audit: the journal, unless a file is named. @throws {TunnelError} ERR_USAGE */
function auditOf({ auditLog }: ParsedCall['flags'], scope: ServiceScope, name: string): string {
  if (auditLog === undefined) return AUDIT_TO_OUTPUT;
  const target = String(auditLog);
  if (target === AUDIT_TO_OUTPUT) return target;
  if (!isAbsolute(target))
    throw usage(
      `--audit-log ${JSON.stringify(target)} of a service needs an absolute path, or - for the journal`,
    );
  if (scope === 'system' && dirname(target) !== `/var/log/${name}`)
    throw usage(
      `a system service can write its audit only to the journal (--audit-log -) or to its own folder, as in --audit-log /var/log/${name}/audit.jsonl`,
    );
  return target;
}

/** Names the files as credentials: root reads them at the start, and only the service sees the copies. */
function credentialsOf(options: ParsedCall['options'], flags: ParsedCall['flags']): Map<string, string> {
  const found = new Map<string, string>();
  for (const option of options) {
    const [name = '', ...files] = wordsOf([option], flags).filter(
      (word, at) => at === 0 || word !== option.long,
    );
    files.forEach((file, at) => {
      if (/[\s:"'\\]/.test(file))
        throw usage(
          `${JSON.stringify(file)} cannot be passed to a system service; rename the file without blanks, quotes and colons`,
        );
      found.set(file, `${name.replace(/^--/, '')}${at === 0 ? '' : `-${at + 1}`}`);
    });
  }
  return found;
}

/** Returns undefined when the service can have its own user. */
async function userFor(io: CliIo, notes: string[]): Promise<string | undefined> {
  const trouble = await placeTrouble(io.ownCommand.filter((word) => word.startsWith('/')));
  if (trouble === undefined) return undefined;
  if (trouble.kind === 'temporary')
    throw usage(
      `${trouble.file} is in a temporary folder, which a service cannot see; install ${PROGRAM} first`,
    );
  const user = trouble.ownerId === 0 ? 'root' : String(trouble.ownerId);
  notes.push(
    `Only its owner can read ${trouble.file}, so the service runs as user ${user} instead of one of its own. To avoid that, install Node and ${PROGRAM} for all users (/usr, /opt) and create the unit again.`,
  );
  return user;
}

function hasSocketPath(local: unknown): boolean {
  return Array.isArray(local) && local.some((text) => isPath(parseLocalSpec(String(text)).bind));
}

/** Never overwrites a unit of another program. */
async function writeUnit(folder: string, name: string, unit: string, pid: number): Promise<string> {
  const file = join(folder, `${name}.service`);
  try {
    await mkdir(folder, { recursive: true });
    const old = await readFile(file, 'utf8').catch((error: unknown) => {
      if (errnoOf(error) === 'ENOENT') return undefined;
      throw error;
    });
    if (old !== undefined && !old.startsWith(UNIT_MARK))
      throw usage(
        `${file} exists and was not written by ${PROGRAM}; nothing was changed, choose another name with --name`,
      );
    // Write through a symbolic link instead of replacing it.
    const place = old === undefined ? file : await realpath(file);
    await replaceFile(place, unit, 0o644, `${place}.${pid}.new`);
    return file;
  } catch (error) {
    if (TunnelError.is(error) || !(error instanceof Error)) throw error;
    if (!['EACCES', 'EROFS', 'EPERM'].includes(errnoOf(error) ?? ''))
      throw new TunnelError('ERR_OUTPUT', `${file}: ${systemReason(error)}; nothing was changed`, {
        cause: error,
      });
    throw usage(
      `cannot write ${file}; run this as root, or with --user, or with --print to write it yourself`,
    );
  }
}

function nextCommands(
  scope: ServiceScope,
  name: string,
  command: string,
  user: string | undefined,
): string[] {
  // Root uses the state of no other user, unless it is a service's own one.
  const asUser = user === undefined || user === 'root' ? '' : `; run it as user ${user}`;
  const systemctl = scope === 'system' ? 'systemctl' : 'systemctl --user';
  const journalctl = scope === 'system' ? 'journalctl' : 'journalctl --user';
  return [
    `${systemctl} daemon-reload`,
    `${systemctl} enable --now ${name}`,
    ...(scope === 'user' ? ['loginctl enable-linger    (keeps it running while you are logged out)'] : []),
    `${journalctl} -u ${name} -f`,
    ...(command === 'listen'
      ? [
          `${PROGRAM} ticket${scope === 'system' ? ` --state ${systemStateFolder(name)}` : ''}    (prints the ticket for the other machine${asUser})`,
        ]
      : []),
  ];
}
