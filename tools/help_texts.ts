import { CommanderError } from 'commander';
import { buildProgram } from '../src/cli/program.js';
import { READY_COLUMNS, type ReadyAnswers } from '../src/cli/ready_answers.js';

/** What commander prints for `--help`, alone and after the name of each command. */
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

/** The grammar without anything behind it, as wide as if there were no terminal. */
function freshProgram(out: (text: string) => void): ReturnType<typeof buildProgram> {
  const never = async (): Promise<never> => {
    throw new Error('a command was run where its help was asked for');
  };
  const actions = {
    listen: never,
    connect: never,
    node: never,
    id: never,
    ticket: never,
    peers: never,
    rule: never,
  };
  const program = buildProgram(actions, '', { out });
  for (const command of [program, ...program.commands]) {
    command.configureOutput({ getOutHelpWidth: () => READY_COLUMNS });
  }
  return program;
}
