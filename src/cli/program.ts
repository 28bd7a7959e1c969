import { Command, Option } from 'commander';
import { type Call, type CliCommand, type Grammar, HELP_GROUPS } from './command.js';
import { connectOptions, listenOptions } from './options/common_options.js';
import type { OutputFlags } from './options/flags.js';
import { merged } from './options/grammar.js';
import { usage } from './options/usage.js';
import { PROGRAM } from './output/reporter.js';

/** All commands. Each is loaded only when it is needed: a call usually needs only one. */
const COMMANDS: Readonly<Record<string, () => Promise<CliCommand>>> = {
  listen: async () => (await import('./commands/listen.js')).listen,
  connect: async () => (await import('./commands/connect.js')).connect,
  node: async () => (await import('./commands/node.js')).node,
  nodes: async () => (await import('./commands/nodes.js')).nodes,
  ping: async () => (await import('./commands/ping.js')).ping,
  doctor: async () => (await import('./commands/doctor.js')).doctor,
  id: async () => (await import('./commands/id.js')).id,
  ticket: async () => (await import('./commands/ticket.js')).ticket,
  peers: async () => (await import('./commands/peers.js')).peers,
  rule: async () => (await import('./commands/rule.js')).rule,
  status: async () => (await import('./commands/status.js')).status,
  forward: async () => (await import('./commands/forward.js')).forward,
  add: async () => (await import('./commands/names.js')).add,
  remove: async () => (await import('./commands/names.js')).remove,
  list: async () => (await import('./commands/names.js')).list,
  ssh: async () => (await import('./commands/ssh.js')).ssh,
  'ssh-config': async () => (await import('./commands/ssh.js')).sshConfig,
  service: async () => (await import('./commands/service.js')).service,
  completion: async () => (await import('./commands/completion.js')).completion,
};

export interface ProgramOptions {
  /**
   * The arguments to parse. Commands that they cannot name are left out. Default: the program has all
   * commands.
   */
  readonly args?: readonly string[];
  /** Runs the command that was parsed. Default: nothing runs. */
  readonly onCall?: (command: CliCommand, call: Call<OutputFlags>) => Promise<void>;
  readonly version?: string;
  /** Writes help and version. Default: nothing is written. */
  readonly out?: (text: string) => void;
}

/** Builds the commander program. It parses the command line and passes the call on. */
export async function buildProgram(options: ProgramOptions = {}): Promise<Command> {
  const { args = [], onCall = async () => {}, version = '', out = () => {} } = options;
  const program = new Command(PROGRAM);
  // Subcommands inherit these settings, so they come first. Commander throws its errors, and our caller
  // reports them.
  program
    .exitOverride()
    .configureOutput({ writeOut: out, writeErr: () => {} })
    // Commander's default of 40 would not wrap the descriptions of long options on 80 columns.
    .configureHelp({ minWidthToWrap: 24 })
    .enablePositionalOptions();
  const commands = await loadCommands(options.args);
  for (const command of commands) addCommand(program, command, args, onCall);
  program
    .description('TCP and UDP tunnels between any two machines over the Tox network')
    .usage('[options] | [options] TICKET PORT | COMMAND [options]')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .argument('[TICKET]', 'ticket, name or Tox ID of the listener; without it, this machine listens')
    .argument('[PORT]', 'port, or host:port, of a target that the listener reaches')
    .configureHelp({ formatHelp: () => overview(commands) })
    // Called after the commands are added; otherwise they would inherit it.
    .allowExcessArguments();
  for (const option of unionOf(listenOptions(), connectOptions())) program.addOption(option);
  program.action(async () => {
    const call = callOf(program, program.opts(), args);
    const connects =
      call.words.length > (call.wordsAfterDashes ?? 0) || program.getOptionValue('ticketFile') !== undefined;
    refuseStray(program, call, connects);
    // Many programs print their version then; nobody should open ports by asking for it.
    if (args.length === 1 && args[0] === '-v')
      throw usage(`-v alone is unclear: ${PROGRAM} --version or ${PROGRAM} listen -v`);
    await onCall(await loadCommand(connects ? 'connect' : 'listen'), call);
  });
  program.hook('preAction', async (_program, command) => {
    const file: unknown = command.getOptionValue('config') ?? program.getOptionValue('config');
    if (typeof file !== 'string') return;
    const [{ applyConfig }, { configSections }] = await Promise.all([
      import('./options/config_file.js'),
      import('./options/config_options.js'),
    ]);
    const { stateOf = [] } = commands.find(({ name }) => name === command.name()) ?? {};
    await applyConfig(program, command, file, configSections(await buildProgram()), stateOf);
  });
  return program;
}

export const grammar: Grammar = {
  commandNames: Object.keys(COMMANDS),
  program: () => buildProgram(),
  parse: async (args) => {
    const program = await buildProgram({ args });
    await program.parseAsync(args, { from: 'user' });
    const command = program.commands.find((each) => each.name() === args[0]) ?? program;
    return {
      command: command.name(),
      words: command.args,
      options: command.options,
      flags: command.opts(),
      isWritten: (option) => command.getOptionValueSource(option.attributeName()) === 'cli',
    };
  },
};

/** Loads the commands that the arguments may name. Help lists all commands; `-h` may follow other letters. */
function loadCommands(args: readonly string[] | undefined): Promise<CliCommand[]> {
  const isNeeded = (name: string): boolean =>
    args === undefined ||
    args.includes(name) ||
    args.some((arg) => arg === '--help' || /^-[a-z]*h/.test(arg));
  return Promise.all(Object.keys(COMMANDS).filter(isNeeded).map(loadCommand));
}

/** Loads one command. */
export async function loadCommand(name: string): Promise<CliCommand> {
  const command = await COMMANDS[name]?.();
  if (command?.name !== name) throw new Error(`the module of the command ${name} defines ${command?.name}`);
  return command;
}

function addCommand(
  program: Command,
  command: CliCommand,
  args: readonly string[],
  onCall: NonNullable<ProgramOptions['onCall']>,
): void {
  const parser = program
    .command(command.name)
    .description(command.summary)
    .addHelpOption(new Option('-h, --help', 'show this help').helpGroup('General:'))
    .addHelpText('after', command.help);
  for (const [name, description] of Object.entries(command.arguments ?? {}))
    parser.argument(name, description);
  for (const option of command.options) parser.addOption(option);
  command.configure?.(parser);
  parser.action(() => onCall(command, callOf(parser, merged(program, parser), args)));
}

/** Commander collects the words before and after `--` in one list, and does not record where `--` was. */
function callOf(parser: Command, flags: Record<string, unknown>, args: readonly string[]): Call<OutputFlags> {
  const at = args.indexOf('--');
  return {
    words: parser.args,
    wordsAfterDashes: at < 0 ? undefined : args.length - at - 1,
    // Every command has the output options, and declares the types of its other options.
    flags: flags as Record<string, unknown> & OutputFlags,
  };
}

function unionOf(...lists: readonly Option[][]): Option[] {
  const union = new Map<string, Option>();
  for (const option of lists.flat())
    if (!union.has(option.attributeName())) union.set(option.attributeName(), option);
  return [...union.values()];
}

/** Rejects options of the short form that belong to the other end. */
function refuseStray(program: Command, call: Call<OutputFlags>, connects: boolean): void {
  if (!connects && call.wordsAfterDashes !== undefined) throw needsTicket('-- PROGRAM');
  const own = new Set(
    (connects ? connectOptions() : listenOptions()).map((option) => option.attributeName()),
  );
  for (const option of program.options) {
    const name = option.attributeName();
    const source = program.getOptionValueSource(name);
    if (own.has(name) || source === undefined || source === 'default' || name === 'version') continue;
    const flag = option.short ?? option.long ?? option.flags;
    if (!connects) throw needsTicket(flag);
    throw usage(`${flag} is for the listener; with a ticket, this machine is the connector`);
  }
}

function needsTicket(flag: string): Error {
  return usage(`${flag} needs the ticket of a listener: ${PROGRAM} TICKET PORT`);
}

/** The top-level help: one line per command, so that it fits on one screen. */
function overview(commands: readonly CliCommand[]): string {
  const usageLines = [
    [`${PROGRAM} [OPTION...]`, 'wait for connectors, like listen'],
    [`${PROGRAM} TICKET PORT [OPTION...]`, 'forward a port, like connect'],
    [`${PROGRAM} COMMAND [OPTION...]`, 'see COMMAND --help'],
    [`${PROGRAM} --version`, 'print the version'],
  ].map(([form = '', what], at) => `${at === 0 ? 'Usage: ' : '       '}${form.padEnd(41)}${what}`);
  const lines = HELP_GROUPS.flatMap((group) =>
    commands
      .filter((command) => command.group === group)
      .map(({ name, summary }, at) => `${(at === 0 ? group : '').padEnd(9)}${name.padEnd(12)}${summary}`),
  );
  return `${[...usageLines, '', ...lines].join('\n')}\n`;
}
