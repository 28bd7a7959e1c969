import type { Command, Option } from 'commander';

/** Options that at least this many commands accept are listed once, in a separate table. */
const SHARED_BY = 3;

const SHARED_HEADING = 'Shared options';

/**
 * Writes the page docs/reference/command-line.md from nothing but the program: its commands, arguments, options and help.
 * Options of the program itself are left out, because each of them but --version is an option of a command too.
 */
export function cliReference(program: Command): string {
  const commands = commandsOf(program);
  const takers = takersOf(commands);
  const shared = [...takers.values()].filter(({ names }) => names.length >= SHARED_BY);
  const isShared = (option: Option) => (takers.get(keyOf(option))?.names.length ?? 0) >= SHARED_BY;
  return [
    '<!-- Made by `npm run reference` from the program. Do not edit: change the help of the command. -->',
    '',
    '# Command line',
    '',
    ...wrap(sentence(program.description())),
    '',
    ...wrap(
      'This page lists every command and option. The [how-to guides](../README.md#how-to-guides) show how to use them. ' +
        'See also [exit codes](exit-codes.md), [events of `--json`](events.md) and [the config file](config-file.md).',
    ),
    '',
    ...wrap(
      'Options may stand before or after the name of a command. Values of a repeatable option add up. Options ' +
        `that ${SHARED_BY} or more commands take are under [${SHARED_HEADING}](#${anchor(SHARED_HEADING)}).`,
    ),
    '',
    '```',
    ...usageLines([program]),
    '```',
    '',
    'Without a command the program listens, with the options of `listen`. With a ticket or a name it',
    'connects, with the options of `connect`.',
    '',
    ...argumentTable(program),
    '| command | |',
    '|---|---|',
    ...commands.map(
      ({ path, command }) => `| [\`${path}\`](#${anchor(path)}) | ${cell(command.description())} |`,
    ),
    '',
    ...commands.flatMap(({ path, command }) => commandSection(path, command, isShared)),
    `## ${SHARED_HEADING}`,
    '',
    ...groupsOf(shared.map(({ option }) => option)).flatMap(({ title, options }) => [
      ...(title === undefined ? [] : [`### ${title}`, '']),
      '| option | commands | meaning |',
      '|---|---|---|',
      ...options.map((option) => {
        const names = takers.get(keyOf(option))?.names ?? [];
        const who = names.length === commands.length ? 'all' : names.join(', ');
        return `| ${code(option.flags)} | ${who} | ${cell(option.description)} |`;
      }),
      '',
    ]),
    `\`-V\`, \`--version\` prints the version, and \`-h\`, \`--help\` the help of any command.`,
    '',
  ].join('\n');
}

interface NamedCommand {
  /** The words that lead to it, without the program's name. */
  readonly path: string;
  readonly command: Command;
}

/** All commands below this one, in the order of its help. */
function commandsOf(parent: Command, before = ''): NamedCommand[] {
  return parent
    .createHelp()
    .visibleCommands(parent)
    .flatMap((command) => {
      const path = `${before}${command.name()}`;
      return [{ path, command }, ...commandsOf(command, `${path} `)];
    });
}

interface TakenOption {
  readonly option: Option;
  readonly names: string[];
}

/** Options of the same name may mean different things to different commands. */
const keyOf = ({ flags, description }: Option): string => `${flags} ${description}`;

/** Options with the same flags and the same meaning, and the commands that take them. */
function takersOf(commands: readonly NamedCommand[]): Map<string, TakenOption> {
  const takers = new Map<string, TakenOption>();
  for (const { path, command } of commands) {
    for (const option of optionsOf(command)) {
      const taken = takers.get(keyOf(option)) ?? { option, names: [] };
      taken.names.push(path);
      takers.set(keyOf(option), taken);
    }
  }
  return takers;
}

function commandSection(
  path: string,
  command: Command,
  isShared: (option: Option) => boolean,
): readonly string[] {
  const options = optionsOf(command);
  const own = options.filter((option) => !isShared(option));
  const others = options.filter(isShared);
  return [
    `## ${path}`,
    '',
    sentence(command.description()),
    '',
    '```',
    ...usageLines([command]),
    '```',
    '',
    ...argumentTable(command),
    ...(own.length === 0
      ? []
      : [
          '| option | meaning |',
          '|---|---|',
          ...own.map((option) => `| ${code(option.flags)} | ${cell(option.description)} |`),
          '',
        ]),
    ...(others.length === 0
      ? []
      : [
          ...wrap(
            `[Shared options](#${anchor(SHARED_HEADING)}): ${others.map(({ long, short }) => `\`${long ?? short}\``).join(', ')}.`,
          ),
          '',
        ]),
    ...afterHelp(command),
  ];
}

function argumentTable(command: Command): string[] {
  const described = command.registeredArguments.filter(({ description }) => description !== '');
  if (described.length === 0) return [];
  return [
    '| argument | |',
    '|---|---|',
    ...described.map((argument) => `| \`${argument.name()}\` | ${cell(argument.description)} |`),
    '',
  ];
}

/** Examples and notes: what the command prints after its options. */
function afterHelp(command: Command): string[] {
  let printed = '';
  const { writeOut } = command.configureOutput();
  command.configureOutput({
    writeOut: (text) => {
      printed += text;
    },
  });
  command.outputHelp();
  if (writeOut !== undefined) command.configureOutput({ writeOut });
  const after = printed.slice(command.helpInformation().length).trim();
  return after === '' ? [] : ['```', ...after.split('\n'), '```', ''];
}

const usageLines = (commands: readonly Command[]): string[] =>
  commands.map((command) => command.createHelp().commandUsage(command));

/** All options except --help, which every command has. */
const optionsOf = (command: Command): Option[] =>
  command.options.filter(({ hidden, long }) => !hidden && long !== '--help');

/** Options by the headings that the help gives them, in their order. */
function groupsOf(options: readonly Option[]): { title: string | undefined; options: Option[] }[] {
  const groups = new Map<string | undefined, Option[]>();
  for (const option of options) {
    const title = option.helpGroupHeading?.replace(/:$/, '');
    groups.set(title, [...(groups.get(title) ?? []), option]);
  }
  return [...groups].map(([title, grouped]) => ({ title, options: grouped }));
}

const code = (flags: string): string => `\`${flags.replaceAll('|', '\\|')}\``;

const cell = (text: string): string => text.replaceAll('|', '\\|').replaceAll('\n', ' ');

function sentence(text: string): string {
  const begun = text.charAt(0).toUpperCase() + text.slice(1);
  return begun.endsWith('.') ? begun : `${begun}.`;
}

/** The anchor that Markdown renderers give a heading. */
const anchor = (heading: string): string => heading.toLowerCase().replaceAll(' ', '-');

function wrap(text: string, columns = 100): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > columns) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}
