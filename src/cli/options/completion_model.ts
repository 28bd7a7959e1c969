import type { Command, Option } from 'commander';

/** What may be completed at a place of the command line. */
export type Completion = 'files' | 'folders' | 'nothing';

export interface CompletionOption {
  /** `-L` and `--local`. */
  readonly words: readonly string[];
  readonly description: string;
  /** What its value is; undefined when it has none. */
  readonly value: Completion | undefined;
}

export interface CompletionCommand {
  /** Empty: without a command. */
  readonly name: string;
  readonly description: string;
  readonly options: readonly CompletionOption[];
  /** Words that its first argument may be. */
  readonly actions: readonly string[];
  /** Whether its first argument may be a name of `list`. */
  readonly takesName: boolean;
}

/** The grammar as shells need it; the program without a command comes first. */
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
