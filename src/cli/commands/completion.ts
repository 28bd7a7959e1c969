import type { Command, Option } from 'commander';
import { type Context, defineCommand } from '../command.js';
import { output } from '../options/common_options.js';
import { usage } from '../options/usage.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';

export const completion = defineCommand({
  name: 'completion',
  group: 'Setup',
  summary: 'Print a completion script for bash, zsh or fish',
  arguments: { '<SHELL>': 'bash, zsh or fish' },
  options: output(),
  help: `
Examples:
  $ tox-wasm-tunnel completion bash > ~/.local/share/bash-completion/completions/tox-wasm-tunnel
  $ tox-wasm-tunnel completion zsh > ~/.zfunc/_tox-wasm-tunnel          (a folder of your fpath)
  $ tox-wasm-tunnel completion fish > ~/.config/fish/completions/tox-wasm-tunnel.fish`,
  run: (context, { words: [shell = ''] }) => runCompletion(context, shell),
});

const SHELLS = ['bash', 'zsh', 'fish'] as const;
type Shell = (typeof SHELLS)[number];

async function runCompletion({ reporter, grammar }: Context, name: string): Promise<ExitCode> {
  const shell = SHELLS.find((each) => each === name);
  if (shell === undefined) throw usage(`no completion for ${JSON.stringify(name)}; choose bash, zsh or fish`);
  const model = completionModel(await grammar.program());
  reporter.result(completionScript(shell, PROGRAM, model).trimEnd());
  return EXIT.ok;
}

/** What to offer as the value of an option. */
type Completion = 'files' | 'folders' | 'nothing';

interface CompletionOption {
  /** `-L` and `--local`. */
  readonly words: readonly string[];
  readonly description: string;
  /** Undefined for options without a value. */
  readonly value: Completion | undefined;
}

interface CompletionCommand {
  /** Empty for a call without a command. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletionOption[];
  /** Possible values of the first argument. */
  readonly actions: readonly string[];
  /** True when the first argument may be a name of `list`. */
  readonly takesName: boolean;
}

/** The grammar in the form that the scripts need. A call without a command comes first. */
export function completionModel(program: Command): CompletionCommand[] {
  return [program, ...program.commands].map((command) => ({
    name: command === program ? '' : command.name(),
    description: command.description(),
    options: [...command.options.map(optionOf), help(command)],
    ...argumentOf(command),
  }));
}

function optionOf(option: Option): CompletionOption {
  const { short, long, flags, description } = option;
  const words = [short, long].filter((word) => word !== undefined);
  const hasValue = option.required || option.optional;
  const value = /<FILE>/.test(flags) ? 'files' : /<DIR>/.test(flags) ? 'folders' : 'nothing';
  return { words, description, value: hasValue ? value : undefined };
}

function help(command: Command): CompletionOption {
  return { words: ['-h', '--help'], description: `help of ${command.name()}`, value: undefined };
}

function argumentOf(command: Command): Pick<CompletionCommand, 'actions' | 'takesName'> {
  const [first] = command.registeredArguments;
  const name = first?.name() ?? '';
  // `new, list or revoke; without it, …`
  const [choice = ''] = (first?.description ?? '').split(';');
  const actions = name === 'ACTION' || name === 'SHELL' ? choice.split(/, | or /) : [];
  const takesName = /^(TICKET|(\[USER@\])?NAME)$/.test(name) && command.name() !== 'add';
  return { actions, takesName };
}

/** The completion script for a shell. */
function completionScript(shell: Shell, program: string, model: readonly CompletionCommand[]): string {
  return { bash, zsh, fish }[shell](program, model);
}

/** A `case` pattern that matches no word. */
const NEVER = "''";

const patterns = (words: readonly string[]): string => (words.length === 0 ? NEVER : words.join('|'));

const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`;

const identifier = (program: string): string => `_${program.replaceAll('-', '_')}`;

const wordsOf = (options: readonly CompletionOption[]): string[] => options.flatMap(({ words }) => words);

/** Options of all commands whose values are of these kinds. An option means the same in every command. */
function withValue(model: readonly CompletionCommand[], ...kinds: readonly unknown[]): string[] {
  const options = model.flatMap((command) => command.options);
  return [...new Set(wordsOf(options.filter(({ value }) => kinds.includes(value))))];
}

/**
 * Finds the command, and counts the positional arguments after it. Bash breaks words at colons and equal
 * signs; zsh does not.
 */
function scan(model: readonly CompletionCommand[], words: string, last: string, first: number): string {
  const commands = model.map(({ name }) => name).filter((name) => name !== '');
  return `  local command= count=0 i word
  for ((i = ${first}; i < ${last}; i++)); do
    word=\${${words}[i]}
    case $word in
      ':'|'=') ((i++)) ;;
      --) return ;;
      ${patterns(withValue(model, 'files', 'folders', 'nothing'))}) ((i++)) ;;
      -*) ;;
      ${patterns(commands)}) if [[ -z $command && $count == 0 ]]; then command=$word; else ((count++)); fi ;;
      *) ((count++)) ;;
    esac
  done`;
}

function bash(program: string, model: readonly CompletionCommand[]): string {
  const name = identifier(program);
  const cases = model.map(
    (command) => `    ${command.name === '' ? NEVER : command.name})
      options=${quoted(wordsOf(command.options).join(' '))}
      words=${quoted([...command.actions, ...commandsOf(command, model)].join(' '))}
      names=${command.takesName ? 1 : 0} ;;`,
  );
  return `# Completion of ${program} for bash: eval "$(${program} completion bash)"
# No mapfile: bash 3.2 of macOS lacks it.
${name}_files() {
  local IFS=$'\\n'
  compopt -o filenames 2>/dev/null
  COMPREPLY=($(compgen "$1" -- "$2"))
}
${name}() {
  local current=\${COMP_WORDS[COMP_CWORD]} previous=\${COMP_WORDS[COMP_CWORD-1]} options= words= names=0
  COMPREPLY=()
${scan(model, 'COMP_WORDS', 'COMP_CWORD', 1)}
  case $previous in
    ${patterns(withValue(model, 'files'))}) ${name}_files -f "$current"; return ;;
    ${patterns(withValue(model, 'folders'))}) ${name}_files -d "$current"; return ;;
    ${patterns(withValue(model, 'nothing'))}) return ;;
  esac
  case $command in
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$current"))
  elif ((count == 0)); then
    ((names)) && words+=" $("$1" list 2>/dev/null </dev/null | cut -f1)"
    COMPREPLY=($(compgen -W "$words" -- "$current"))
  fi
}
complete -F ${name} ${program}
`;
}

function zsh(program: string, model: readonly CompletionCommand[]): string {
  const name = identifier(program);
  const item = (word: string, description: string): string =>
    quoted(`${word.replaceAll(':', '\\:')}:${description}`);
  const cases = model.map(
    (command) => `    ${command.name === '' ? NEVER : command.name})
      options=(${command.options.flatMap(({ words, description }) => words.map((word) => item(word, description))).join(' ')})
      actions=(${[
        ...command.actions.map((word) => quoted(word)),
        ...commandsOf(command, model).map((word) => item(word, descriptionOf(word, model))),
      ].join(' ')})
      names=${command.takesName ? 1 : 0} ;;`,
  );
  return `#compdef ${program}
# Completion of ${program} for zsh: eval "$(${program} completion zsh)", or in a file _${program} on the fpath.
${name}() {
  local current=\${words[CURRENT]} previous=\${words[CURRENT-1]} names=0
  local -a options actions
${scan(model, 'words', 'CURRENT', 2)}
  case $previous in
    ${patterns(withValue(model, 'files'))}) _files; return ;;
    ${patterns(withValue(model, 'folders'))}) _files -/; return ;;
    ${patterns(withValue(model, 'nothing'))}) return ;;
  esac
  case $command in
${cases.join('\n')}
  esac
  if [[ $current == -* ]]; then
    _describe option options
  elif ((count == 0)); then
    ((names)) && actions+=(\${(f)"$(\${words[1]} list 2>/dev/null </dev/null | cut -f1)"})
    _describe command actions
  fi
}
if [[ $funcstack[1] == _${program} ]]; then ${name} "$@"; elif (($+functions[compdef])); then compdef ${name} ${program}; fi
`;
}

function fish(program: string, model: readonly CompletionCommand[]): string {
  const fishQuoted = (text: string): string => `'${text.replaceAll(/[\\']/g, (sign) => `\\${sign}`)}'`;
  const [bare, ...commands] = model;
  const names = `(${program} list 2>/dev/null </dev/null | cut -f1)`;
  const seen = (command: string): string => fishQuoted(`__fish_seen_subcommand_from ${command}`);
  const lines = (command: CompletionCommand, condition: string): string[] => [
    ...command.options.map((option) => {
      const words = option.words.map((word) =>
        word.startsWith('--') ? `-l ${word.slice(2)}` : `-s ${word.slice(1)}`,
      );
      const value =
        option.value === undefined
          ? ''
          : option.value === 'files'
            ? ' -r -F'
            : option.value === 'folders'
              ? ` -x -a '(__fish_complete_directories)'`
              : ' -x';
      return `complete -c ${program} -n ${condition} ${words.join(' ')}${value} -d ${fishQuoted(option.description)}`;
    }),
    ...(command.actions.length === 0
      ? []
      : [`complete -c ${program} -n ${condition} -a ${fishQuoted(command.actions.join(' '))}`]),
    ...(command.takesName ? [`complete -c ${program} -n ${condition} -a ${fishQuoted(names)}`] : []),
  ];
  return `${[
    `# Completion of ${program} for fish: ${program} completion fish > ~/.config/fish/completions/${program}.fish`,
    `complete -c ${program} -f`,
    ...commands.map(
      ({ name, description }) =>
        `complete -c ${program} -n __fish_use_subcommand -a ${name} -d ${fishQuoted(description)}`,
    ),
    ...(bare === undefined ? [] : lines(bare, '__fish_use_subcommand')),
    ...commands.flatMap((command) => lines(command, seen(command.name))),
  ].join('\n')}\n`;
}

/** The commands to offer: all of them while the call has none. */
function commandsOf(command: CompletionCommand, model: readonly CompletionCommand[]): string[] {
  return command.name === '' ? model.map(({ name }) => name).filter((name) => name !== '') : [];
}

function descriptionOf(name: string, model: readonly CompletionCommand[]): string {
  return model.find((command) => command.name === name)?.description ?? '';
}
