import { type Command, Option } from 'commander';
import type { AskFlags } from './commands/ask.js';
import type { ForwardFlags } from './commands/forward.js';
import { credentials, forwards, output_, stateFolder } from './options/common_options.js';
import { usage } from './options/flags.js';
import { addOptions, merged, subcommand } from './options/grammar.js';
import * as help from './options/help_text.js';

/** The commands that ask what runs already. */
export interface RunningActions {
  status(flags: AskFlags): Promise<void>;
  forward(action: string, flags: ForwardFlags): Promise<void>;
}

/** How long `connect` stays, and for what. */
export const staying = (): Option[] => [
  new Option('--exec <COMMAND>', "run this by the system's shell once the tunnel is up, and end with it"),
  new Option('--wait <SECONDS>', 'give up when the tunnel is not up after so long (default: never)'),
];

export function addRunningCommands(program: Command, actions: RunningActions): void {
  const status = subcommand(
    program,
    'status',
    'how the listener and the connectors do that run here',
    help.STATUS,
  );
  addOptions(status, stateFolder(), ...output_());
  status.action(() => actions.status(merged<AskFlags>(program, status)));

  const forward = subcommand(
    program,
    'forward',
    'list, add and remove forwards of a connector that runs here',
    help.FORWARD,
  ).argument('<ACTION>', 'list, add or rm');
  addOptions(
    forward,
    ...forwards(),
    ...credentials(),
    new Option('--pid <N>', 'the connector that is meant where several run, by the number of its process'),
    stateFolder(),
    ...output_(),
  );
  forward.action((action: string) => actions.forward(action, merged<ForwardFlags>(program, forward)));
}

/** The words of `connect`, and the program that stands behind `--`. */
export interface ConnectWords {
  readonly first: string | undefined;
  readonly second: string | undefined;
  /** Undefined without `--`. */
  readonly program: { readonly program?: readonly string[] };
}

/**
 * Tells the words before `--` from those after it: commander, which reads both as words, forgets where it stood.
 *
 * @param words all, without options @param args the command line @throws {TunnelError} ERR_USAGE for too many words
 */
export function connectWords(words: readonly string[], args: readonly string[]): ConnectWords {
  const at = args.indexOf('--');
  const count = at < 0 ? 0 : args.length - at - 1;
  const [first, second, third] = words.slice(0, words.length - count);
  if (third !== undefined) {
    throw usage(
      `too many arguments: ${JSON.stringify(third)} comes after TICKET and PORT; a program to be run stands after --`,
    );
  }
  return { first, second, program: at < 0 ? {} : { program: words.slice(words.length - count) } };
}
