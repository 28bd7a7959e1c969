import { type Command, Option } from 'commander';
import type { AddFlags, NamesFlags } from './commands/names.js';
import { output_, passphrase, stateFolder, ticketFile } from './common_options.js';
import { addOptions, merged, subcommand } from './grammar.js';
import * as help from './help_names.js';

/** What the commands about names lead to. */
export interface NameActions {
  /** @param commands words that mean something else where a name may stand */
  add(name: string, ticket: string | undefined, flags: AddFlags, commands: readonly string[]): Promise<void>;
  remove(name: string, flags: NamesFlags): Promise<void>;
  list(flags: NamesFlags): Promise<void>;
}

/** The commands that keep names for listeners, and use them. */
export function addNameCommands(program: Command, actions: NameActions): void {
  const add = subcommand(program, 'add', 'keep a ticket under a name, for connect and ssh', help.ADD)
    .argument('<NAME>', 'letters, digits, - and _, a letter first')
    .argument('[TICKET]', 'or a Tox ID; - reads it from standard input');
  addOptions(
    add,
    ticketFile(),
    new Option('--replace', 'put this ticket in the place of the one that has the name'),
    stateFolder(),
    passphrase(),
    ...output_(),
  );
  add.action((name: string, ticket: string | undefined) =>
    actions.add(
      name,
      ticket,
      merged<AddFlags>(program, add),
      program.commands.map((command) => command.name()),
    ),
  );

  const remove = subcommand(program, 'remove', 'forget a name', help.REMOVE).argument('<NAME>', 'see list');
  addOptions(remove, stateFolder(), passphrase(), ...output_());
  remove.action((name: string) => actions.remove(name, merged<NamesFlags>(program, remove)));

  const list = subcommand(program, 'list', 'the names, and whom they stand for', help.LIST);
  addOptions(list, stateFolder(), passphrase(), ...output_());
  list.action(() => actions.list(merged<NamesFlags>(program, list)));
}
