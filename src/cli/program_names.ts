import { type Command, Option } from 'commander';
import type { AddFlags, NamesFlags } from './commands/names.js';
import type { ServiceFlags } from './commands/service.js';
import type { SshFlags } from './commands/ssh.js';
import { output_, passphrase, sockets, state, stateFolder, ticketFile } from './options/common_options.js';
import type { OutputFlags } from './options/flags.js';
import { addOptions, merged, subcommand } from './options/grammar.js';
import { wordsOf } from './options/grammar_words.js';
import * as help from './options/help_names.js';

/** What the commands about names lead to. */
export interface NameActions {
  /** @param commands words that mean something else where a name may stand */
  add(name: string, ticket: string | undefined, flags: AddFlags, commands: readonly string[]): Promise<void>;
  remove(name: string, flags: NamesFlags): Promise<void>;
  list(flags: NamesFlags): Promise<void>;
  /** @param words of ours for the `connect` that ssh runs */
  ssh(destination: string, args: readonly string[], flags: SshFlags, words: readonly string[]): Promise<void>;
  sshConfig(destination: string, flags: SshFlags, words: readonly string[]): Promise<void>;
  service(action: string, words: readonly string[], flags: ServiceFlags): Promise<void>;
  /** @param grammar of all commands */
  completion(shell: string, grammar: Command, flags: OutputFlags): Promise<void>;
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

  const ssh = subcommand(program, 'ssh', "run the system's ssh through a tunnel to a name", help.SSH)
    .argument('<[USER@]NAME>', 'see list')
    .argument('[ARGUMENT...]', 'for ssh: options and a command')
    .passThroughOptions();
  const forConnect = [...sockets(), ...state()];
  addOptions(ssh, ...forConnect, ...output_());
  ssh.action((destination: string, args: readonly string[]) => {
    const flags = merged<SshFlags>(program, ssh);
    return actions.ssh(destination, args, flags, wordsOf(forConnect, { ...flags }));
  });

  const sshConfig = subcommand(
    program,
    'ssh-config',
    'print what ~/.ssh/config needs for a name',
    help.SSH_CONFIG,
  ).argument('<[USER@]NAME>', 'see list');
  addOptions(sshConfig, ...forConnect, ...output_());
  sshConfig.action((destination: string) => {
    const flags = merged<SshFlags>(program, sshConfig);
    return actions.sshConfig(destination, flags, wordsOf(forConnect, { ...flags }));
  });

  const service = subcommand(program, 'service', 'a systemd unit that runs a command of ours', help.SERVICE)
    .argument('<ACTION>', 'install')
    .argument('[WORD...]', 'behind --: listen, connect or node, and its options (default: listen)');
  addOptions(
    service,
    new Option('--print', 'print the unit, and write nothing'),
    new Option('--user', 'of this user (default, unless root)'),
    new Option('--system', 'of the machine, with a user of its own (default for root)'),
    new Option('--name <NAME>', 'the unit is called tox-wasm-tunnel-NAME'),
    ...output_(),
  );
  service.action((action: string, words: readonly string[]) =>
    actions.service(action, words, merged<ServiceFlags>(program, service)),
  );

  const completion = subcommand(
    program,
    'completion',
    'print a script that makes a shell complete this command line',
    help.COMPLETION,
  ).argument('<SHELL>', 'bash, zsh or fish');
  addOptions(completion, ...output_());
  completion.action((shell: string) =>
    actions.completion(shell, program, merged<OutputFlags>(program, completion)),
  );
}
