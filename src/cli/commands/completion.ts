import type { Command } from 'commander';
import { completionScript, SHELLS } from '../options/completion.js';
import { completionModel } from '../options/completion_model.js';
import { usage } from '../options/flags.js';
import { PROGRAM } from '../output/reporter.js';
import { EXIT, type ExitCode } from '../process/exit_codes.js';
import type { Context } from '../service/serve.js';

/** Prints a script that makes a shell complete our command line. @param grammar the whole of it */
export function completionCommand({ reporter }: Context, name: string, grammar: Command): ExitCode {
  const shell = SHELLS.find((each) => each === name);
  if (shell === undefined)
    throw usage(`there is no completion for ${JSON.stringify(name)}; there is for bash, zsh and fish`);
  reporter.result(completionScript(shell, PROGRAM, completionModel(grammar)).trimEnd());
  return EXIT.ok;
}
