import { Command } from 'commander';
import type { AskFlags } from './commands/ask.js';
import type { ConnectFlags } from './commands/connect.js';
import type { DoctorFlags } from './commands/doctor.js';
import type { IdFlags } from './commands/id.js';
import type { ListenFlags } from './commands/listen.js';
import type { NodeFlags } from './commands/node.js';
import type { NodesFlags } from './commands/nodes.js';
import type { PingFlags } from './commands/ping.js';
import type { RuleFlags } from './commands/rule.js';
import type { TicketFlags } from './commands/ticket.js';
import {
  allowReverse,
  binding,
  expose,
  forwarding,
  limits,
  network,
  nodeList,
  offering,
  output_,
  passphrase,
  proxy,
  qr,
  sockets,
  state,
  stateFolder,
  ticketFile,
  transfer,
} from './options/common_options.js';
import { usage } from './options/flags.js';
import { addOptions, merged, subcommand } from './options/grammar.js';
import * as help from './options/help_text.js';
import { listenerLimitIn } from './options/limit_flags.js';
import { PROGRAM } from './output/reporter.js';
import { addNameCommands, type NameActions } from './program_names.js';
import { addRunningCommands, connectWords, type RunningActions, staying } from './program_running.js';

/** What the parsed command line leads to. */
export interface Actions extends NameActions, RunningActions {
  listen(flags: ListenFlags): Promise<void>;
  /** @param first the ticket or, where that comes by another way, the target */
  connect(first: string | undefined, second: string | undefined, flags: ConnectFlags): Promise<void>;
  node(flags: NodeFlags): Promise<void>;
  nodes(flags: NodesFlags): Promise<void>;
  id(flags: IdFlags): Promise<void>;
  ticket(action: string | undefined, name: string | undefined, flags: TicketFlags): Promise<void>;
  peers(action: string | undefined, peer: string | undefined, flags: AskFlags): Promise<void>;
  ping(first: string | undefined, flags: PingFlags): Promise<void>;
  doctor(first: string | undefined, second: string | undefined, flags: DoctorFlags): Promise<void>;
  rule(action: string, rules: readonly string[], flags: RuleFlags): Promise<void>;
}

/** The grammar of the command line; it does nothing but call the actions. @param args what will be parsed */
export function buildProgram(
  actions: Actions,
  version: string,
  output: { out(text: string): void },
  args: readonly string[] = [],
): Command {
  const program = new Command(PROGRAM);
  // Before the subcommands are made, which take it over. Errors are thrown, and told by our caller.
  program
    .exitOverride()
    .configureOutput({ writeOut: output.out, writeErr: () => {} })
    // Commander's own 40 leaves what stands beside the longest options unfolded on 80 columns.
    .configureHelp({ minWidthToWrap: 24 });
  program
    .description(
      'TCP tunnels between any two machines over the Tox network: no server, no account, no open port.',
    )
    .usage('[options] | [options] TICKET PORT | COMMAND [options]')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .argument(
      '[TICKET]',
      'of the listener to connect to, its name or its Tox ID; without it, this machine listens',
    )
    .argument('[PORT]', 'port, or host:port, that the listener shall reach')
    .addHelpText('after', help.MAIN);
  addOptions(
    program,
    ...offering(),
    ...limits('listener'),
    ticketFile(),
    ...forwarding(),
    ...staying(),
    ...network(),
    ...state(),
    ...output_(),
  );
  program.action(
    async (_remote: string | undefined, _target: string | undefined, flags: ListenFlags & ConnectFlags) => {
      const { first: remote, second: target, program: after } = connectWords(program.args, args);
      if (remote !== undefined || flags.ticketFile !== undefined) {
        const { expose, allowReverse, allowPeer, denyPeer, qr } = flags;
        if (expose !== undefined)
          throw usage('--expose is for the listener; the connector chooses with PORT or -L');
        if (allowReverse !== undefined)
          throw usage('--allow-reverse is for the listener; the connector asks with -R');
        if (allowPeer !== undefined || denyPeer !== undefined || qr === true)
          throw usage('--allow-peer, --deny-peer and --qr are for the listener');
        const limit = listenerLimitIn(flags);
        if (limit !== undefined) throw usage(`${limit} is for the listener`);
        return actions.connect(remote, target, { ...flags, ...after });
      }
      const stray = connectOption({ ...flags, ...after });
      if (stray !== undefined)
        throw usage(`${stray} needs the ticket to connect with: ${PROGRAM} TICKET PORT`);
      return actions.listen(flags);
    },
  );

  const listen = subcommand(
    program,
    'listen',
    'wait for connectors (what happens without a command)',
    help.LISTEN,
  );
  addOptions(listen, ...offering(), ...limits('listener'), ...network(), ...state(), ...output_());
  listen.action(() => actions.listen(merged<ListenFlags>(program, listen)));

  const connect = subcommand(
    program,
    'connect',
    'forward local ports to what a listener can reach',
    help.CONNECT,
  )
    .argument('[TICKET]', 'of the listener, its name or its Tox ID; - reads it from standard input')
    .argument('[PORT]', 'port, or host:port, that the listener shall reach')
    .usage('[options] [TICKET] [PORT] [-- PROGRAM ARGUMENT...]')
    .allowExcessArguments();
  addOptions(
    connect,
    ...[ticketFile(), ...forwarding(), ...staying(), ...limits('connector')],
    ...[...network(), ...state(), ...output_()],
  );
  connect.action(() => {
    const { first, second, program: after } = connectWords(connect.args, args);
    return actions.connect(first, second, { ...merged<ConnectFlags>(program, connect), ...after });
  });

  const node = subcommand(
    program,
    'node',
    'run a bootstrap node and TCP relay for a network of your own',
    help.NODE,
  )
    .option('--port <N>', 'UDP port (default: 33445, or the next free one to 33545)')
    .option('--tcp-port <N>', "the relay's TCP port (default: the UDP port)");
  addOptions(node, ...nodeList(), ...binding(), ...state(), ...output_());
  node.action(() => actions.node(merged<NodeFlags>(program, node)));

  const nodes = subcommand(
    program,
    'nodes',
    'the bootstrap nodes that are used; refreshes the list of public ones',
    help.NODES,
  )
    .option('--update', 'fetch a new list of public nodes; a failure leaves the old one in use')
    .option('--url <URL>', 'where --update fetches it (default: https://nodes.tox.chat/json)');
  addOptions(nodes, ...nodeList(), stateFolder(), ...output_());
  nodes.action(() => actions.nodes(merged<NodesFlags>(program, nodes)));

  const ping = subcommand(program, 'ping', 'the round trip to a listener, and by which path', help.PING)
    .argument('[TICKET]', 'of the listener, its name or its Tox ID; - reads it from standard input')
    .option('-c, --count <N>', 'how many pings, one a second (default: 5)');
  addOptions(ping, ticketFile(), ...sockets(), ...state(), ...output_());
  ping.action((remote: string | undefined) => actions.ping(remote, merged<PingFlags>(program, ping)));

  const doctor = subcommand(program, 'doctor', 'looks for what keeps a tunnel from working', help.DOCTOR)
    .argument('[TICKET]', 'of a listener to look for, its name or its Tox ID; - reads it from standard input')
    .argument('[PORT]', 'port, or host:port, that the listener shall reach');
  addOptions(
    doctor,
    ticketFile(),
    ...nodeList(),
    ...proxy(),
    ...binding(),
    stateFolder(),
    passphrase(),
    ...output_(),
  );
  doctor.action((remote: string | undefined, target: string | undefined) =>
    actions.doctor(remote, target, merged<DoctorFlags>(program, doctor)),
  );

  const id = subcommand(
    program,
    'id',
    "print the Tox ID of this machine's listener; makes one if there is none",
    help.ID,
  );
  addOptions(id, ...transfer(), stateFolder(), passphrase(), ...output_());
  id.action(() => actions.id(merged<IdFlags>(program, id)));

  const ticket = subcommand(
    program,
    'ticket',
    "show, make and take back this machine's tickets, while its listener runs or not",
    help.TICKET,
  )
    .argument('[ACTION]', 'new, list or revoke; without it, the ticket that listen prints')
    .argument('[NAME]', 'the ticket to revoke')
    .option('--rotate', 'replace the ticket; peers that joined with the old one are disconnected')
    .option('--name <NAME>', 'of the new ticket')
    .option('--expires <TIME>', 'how long it starts connections: 90s, 30m, 2h or 7d (default: always)')
    .option('--uses <N>', 'how many peers it lets in (default: any number)');
  addOptions(ticket, expose(), allowReverse(), qr(), stateFolder(), passphrase(), ...output_());
  ticket.action((action: string | undefined, name: string | undefined) =>
    actions.ticket(action, name, merged<TicketFlags>(program, ticket)),
  );

  const peers = subcommand(
    program,
    'peers',
    'who is connected to the listener that runs here; cut peers off',
    help.PEERS,
  )
    .argument('[ACTION]', 'allow, deny or remove; without it, who is connected')
    .argument('[PEER]', 'name, or public key of 64 digits');
  addOptions(peers, stateFolder(), ...output_());
  peers.action((action: string | undefined, peer: string | undefined) =>
    actions.peers(action, peer, merged<AskFlags>(program, peers)),
  );

  const rule = subcommand(program, 'rule', 'what peers of the listener that runs here may reach', help.RULE)
    .argument('<ACTION>', 'list, add or remove')
    .argument('[RULE...]', 'as --expose has it');
  addOptions(rule, allowReverse(), stateFolder(), ...output_());
  rule.action((action: string, rules: readonly string[]) =>
    actions.rule(action, rules, merged<RuleFlags>(program, rule)),
  );

  addRunningCommands(program, actions);
  addNameCommands(program, actions);
  program.hook('preAction', async (_program, command) => {
    if ((command.getOptionValue('config') ?? program.getOptionValue('config')) !== undefined)
      await (await import('./options/config_file.js')).applyConfig(program, command);
  });
  // Not earlier: commands take it over.
  program.allowExcessArguments();
  return program;
}

/** An option that says: connect. */
function connectOption(flags: ConnectFlags): string | undefined {
  const { local, dynamic, reverse, udpForward, stdio, localPort, exec, wait, program } = flags;
  if (exec !== undefined) return '--exec';
  if (wait !== undefined) return '--wait';
  if (program !== undefined) return '-- PROGRAM';
  if (local !== undefined) return '-L';
  if (dynamic !== undefined) return '-D';
  if (reverse !== undefined) return '-R';
  if (udpForward !== undefined) return '--udp-forward';
  if (stdio !== undefined) return '-W';
  return localPort === undefined ? undefined : '-p';
}
