import { CommanderError } from 'commander';
import { buildProgram } from '../src/cli/program.js';
import { READY_COLUMNS, type ReadyAnswers } from '../src/cli/ready_answers.js';

/** The texts of `--help`, of the program and of each command, for a terminal of {@link READY_COLUMNS} columns. */
export async function helpTexts(): Promise<ReadyAnswers> {
  const texts: Record<string, string> = {};
  const names = (await buildProgram()).commands.map((command) => command.name());
  for (const args of [['--help'], ...names.map((name) => [name, '--help'])]) {
    let text = '';
    const program = await buildProgram({
      out: (part) => {
        text += part;
      },
    });
    for (const command of [program, ...program.commands])
      command.configureOutput({ getOutHelpWidth: () => READY_COLUMNS });
    await program.parseAsync(args, { from: 'user' }).catch((error: unknown) => {
      if (!(error instanceof CommanderError) || error.exitCode !== 0) throw error;
    });
    texts[args.join(' ')] = text;
  }
  return texts;
}
