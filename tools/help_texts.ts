import { CommanderError } from 'commander';
import { type Actions, buildProgram } from '../src/cli/program.js';
import { READY_COLUMNS, type ReadyAnswers } from '../src/cli/ready_answers.js';

/** Returns what commander prints for `--help`, alone and after the name of each command. */
export async function helpTexts(): Promise<ReadyAnswers> {
  const texts: Record<string, string> = {};
  const names = freshProgram(() => {}).commands.map((command) => command.name());
  for (const args of [['--help'], ...names.map((name) => [name, '--help'])]) {
    let text = '';
    const program = freshProgram((part) => {
      text += part;
    });
    await program.parseAsync(args, { from: 'user' }).catch((error: unknown) => {
      if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
    });
    texts[args.join(' ')] = text;
  }
  return texts;
}

/** Builds the grammar without any actions, as wide as without a terminal. */
function freshProgram(out: (text: string) => void): ReturnType<typeof buildProgram> {
  // Help calls no action; a missing one would fail here.
  const program = buildProgram({} as Actions, '', { out });
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ getOutHelpWidth: () => READY_COLUMNS });
  }
  return program;
}
