import { Command, Option } from 'commander';
import { DEFAULT_LIMITS } from '../core/peer_limits.js';
import type { AskFlags } from './commands/ask.js';
import type { ConnectFlags } from './commands/connect.js';
import type { DoctorFlags } from './commands/doctor.js';
import type { IdFlags } from './commands/id.js';
import type { ListenFlags } from './commands/listen.js';
import type { NodeFlags } from './commands/node.js';
import type { PingFlags } from './commands/ping.js';
import type { TicketFlags } from './commands/ticket.js';
import { usage } from './flags.js';
import * as help from './help_text.js';
import { LIMIT_FLAGS } from './limit_flags.js';
import { PROGRAM } from './reporter.js';

/** What the parsed command line leads to. */
export interface Actions {
  listen(flags: ListenFlags): Promise<void>;
  /** @param first the ticket or, where that comes by another way, the target */
  connect(first: string | undefined, second: string | undefined, flags: ConnectFlags): Promise<void>;
  node(flags: NodeFlags): Promise<void>;
  id(flags: IdFlags): Promise<void>;
  ticket(action: string | undefined, name: string | undefined, flags: TicketFlags): Promise<void>;
  peers(action: string | undefined, peer: string | undefined, flags: AskFlags): Promise<void>;
  ping(first: string | undefined, flags: PingFlags): Promise<void>;
  doctor(first: string | undefined, second: string | undefined, flags: DoctorFlags): Promise<void>;
  rule(action: string, rules: readonly string[], flags: AskFlags): Promise<void>;
}

/** The grammar of the command line; it does nothing but call the actions. */
export function buildProgram(
  actions: Actions,
  version: string,
  output: { out(text: string): void },
): Command {
  const program = new Command(PROGRAM);
  // Before the subcommands are made, which take it over. Errors are thrown, and told by our caller.
  program.exitOverride().configureOutput({ writeOut: output.out, writeErr: () => {} });
  program
    .description(
      'TCP tunnels between any two machines over the Tox network: no server, no account, no open port.',
    )
    .usage('[options] | [options] TICKET PORT | COMMAND [options]')
    .version(version, '-V, --version', 'print the version')
    .helpOption('-h, --help', 'show this help')
    .helpCommand(false)
    .enablePositionalOptions()
    .argument('[TICKET]', 'of the listener to connect to, or its Tox ID; without it, this machine listens')
    .argument('[PORT]', 'port, or host:port, that the listener shall reach')
    .addHelpText('after', help.MAIN);
  addOptions(
    program,
    ...offering(),
    ...listenerLimits(),
    ticketFile(),
    ...forwarding(),
    ...network(),
    ...state(),
    ...output_(),
  );
  program.action(
    async (remote: string | undefined, target: string | undefined, flags: ListenFlags & ConnectFlags) => {
      if (remote !== undefined || flags.ticketFile !== undefined) {
        const { expose, allowReverse, allowPeer, denyPeer, qr } = flags;
        if (expose !== undefined)
          throw usage('--expose is for the listener; the connector chooses with PORT or -L');
        if (allowReverse !== undefined)
          throw usage('--allow-reverse is for the listener; the connector asks with -R');
        if (allowPeer !== undefined || denyPeer !== undefined || qr === true)
          throw usage('--allow-peer, --deny-peer and --qr are for the listener');
        // Tickets and Tox IDs have digits; a command mistyped has not.
        if (remote !== undefined && remote !== '-' && !/\d/.test(remote))
          throw usage(`${JSON.stringify(remote)} is neither a command nor a ticket; see ${PROGRAM} --help`);
        return actions.connect(remote, target, flags);
      }
      const stray = connectOption(flags);
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
  addOptions(listen, ...offering(), ...listenerLimits(), ...network(), ...state(), ...output_());
  listen.action(() => actions.listen(merged<ListenFlags>(program, listen)));

  const connect = subcommand(
    program,
    'connect',
    'forward local ports to what a listener can reach',
    help.CONNECT,
  )
    .argument('[TICKET]', 'of the listener, or its Tox ID; - reads it from standard input')
    .argument('[PORT]', 'port, or host:port, that the listener shall reach');
  addOptions(connect, ticketFile(), ...forwarding(), ...network(), ...state(), ...output_());
  connect.action((remote: string | undefined, target: string | undefined) =>
    actions.connect(remote, target, merged<ConnectFlags>(program, connect)),
  );

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

  const ping = subcommand(program, 'ping', 'the round trip to a listener, and by which path', help.PING)
    .argument('[TICKET]', 'of the listener, or its Tox ID; - reads it from standard input')
    .option('-c, --count <N>', 'how many pings, one a second (default: 5)');
  addOptions(ping, ticketFile(), ...sockets(), ...state(), ...output_());
  ping.action((remote: string | undefined) => actions.ping(remote, merged<PingFlags>(program, ping)));

  const doctor = subcommand(program, 'doctor', 'looks for what keeps a tunnel from working', help.DOCTOR)
    .argument('[TICKET]', 'of a listener to look for, or its Tox ID; - reads it from standard input')
    .argument('[PORT]', 'port, or host:port, that the listener shall reach');
  addOptions(doctor, ticketFile(), ...nodeList(), ...binding(), ...output_());
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
    .option('--rotate', 'replace the ticket by another: who came by the old one is out')
    .option('--name <NAME>', 'of the new ticket')
    .option('--expires <TIME>', 'how long it starts connections: 90s, 30m, 2h or 7d (default: always)')
    .option('--uses <N>', 'how many peers it lets in (default: any number)');
  addOptions(ticket, expose(), qr(), stateFolder(), passphrase(), ...output_());
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
  addOptions(rule, stateFolder(), ...output_());
  rule.action((action: string, rules: readonly string[]) =>
    actions.rule(action, rules, merged<AskFlags>(program, rule)),
  );
  return program;
}

/** An option that says: connect. */
function connectOption({ local, dynamic, reverse, stdio, localPort }: ConnectFlags): string | undefined {
  if (local !== undefined) return '-L';
  if (dynamic !== undefined) return '-D';
  if (reverse !== undefined) return '-R';
  if (stdio !== undefined) return '-W';
  return localPort === undefined ? undefined : '-p';
}

function subcommand(program: Command, name: string, description: string, examples: string): Command {
  return program
    .command(name)
    .description(description)
    .helpOption('-h, --help', 'show this help')
    .addHelpText('after', examples);
}

function addOptions(command: Command, ...options: readonly Option[]): void {
  for (const option of options) command.addOption(option);
}

/**
 * The options of a subcommand, with those that stand before its name: `-v id` is `id -v`. One
 * that the subcommand does not have is refused, as it would be after the name.
 */
function merged<Flags>(program: Command, command: Command): Flags {
  const flags = command.opts();
  const known = new Set(command.options.map((option) => option.attributeName()));
  for (const option of program.options) {
    const name = option.attributeName();
    if (program.getOptionValueSource(name) !== 'cli') continue;
    if (!known.has(name)) throw usage(`${command.name()} has no option ${option.long ?? option.flags}`);
    const outer: unknown = program.getOptionValue(name);
    const inner: unknown = command.getOptionValue(name);
    if (Array.isArray(outer)) flags[name] = Array.isArray(inner) ? [...outer, ...inner] : outer;
    else if (typeof outer === 'number' && typeof inner === 'number') flags[name] = outer + inner;
    else if (command.getOptionValueSource(name) !== 'cli') flags[name] = outer;
  }
  // Commander knows the options by their text alone; Flags has what is added beside it.
  return flags as Flags;
}

const collect = (value: string, previous: readonly string[] | undefined): string[] => [
  ...(previous ?? []),
  value,
];

const repeatable = (flags: string, description: string): Option =>
  new Option(flags, description).argParser(collect);

const expose = (): Option =>
  repeatable(
    '--expose <[NAME:][HOST:]PORT>',
    "open this, a port or the path of a socket, to connectors (or to NAME alone), and nothing else; repeatable (default: this machine's loopback)",
  );

const qr = (): Option => new Option('--qr', 'show the ticket as a QR code too');

const offering = (): Option[] => [
  expose(),
  repeatable(
    '--allow-reverse <[NAME:][BIND:]PORT>',
    'let connectors (or NAME alone) open this port here by -R; repeatable (default: none)',
  ),
  repeatable('--allow-peer <[NAME=]KEY>', 'let this peer in by its public key or Tox ID, without a ticket'),
  repeatable('--deny-peer <KEY>', 'keep this peer out, whatever ticket it has; repeatable'),
  qr(),
];

const ticketFile = (): Option =>
  new Option('--ticket-file <FILE>', 'read the ticket from FILE: it does not show in the list of processes');

const forwarding = (): Option[] => [
  repeatable(
    '-L, --local <[BIND:]PORT:HOST:HOSTPORT>',
    'forward a local port; repeatable; port 0 takes a free one; a path may stand for either end',
  ),
  repeatable(
    '-D, --dynamic <[BIND:]PORT>',
    'SOCKS5 and HTTP CONNECT proxy; the far end dials what its clients name; repeatable',
  ),
  repeatable(
    '-R, --reverse <[BIND:]PORT:HOST:HOSTPORT>',
    'have the listener open a port that leads to HOST of this end, where it allows that; repeatable',
  ),
  new Option('--socks-user <NAME>', 'user name that clients of -D must give; with --socks-password-file'),
  new Option('--socks-password-file <FILE>', 'file whose first line is the password to it'),
  new Option('-W, --stdio <HOST:PORT>', 'join stdin and stdout to this target, as for ssh -o ProxyCommand'),
  new Option('-p, --local-port <PORT>', 'local port for the PORT named (default: the same, or a free one)'),
];

const listenerLimits = (): Option[] =>
  LIMIT_FLAGS.map(
    ({ flag, value, help: what, print, limit }) =>
      new Option(`${flag} <${value}>`, `${what} (default: ${print(DEFAULT_LIMITS[limit])})`),
  );

const nodeList = (): Option[] => [
  repeatable('--bootstrap <HOST:PORT:KEY>', 'join by this node instead of the public ones; repeatable'),
  repeatable(
    '--nodes <FILE>',
    'join by the nodes of this file (the form of nodes.tox.chat/json); repeatable',
  ),
];

const binding = (): Option[] => [
  new Option('--no-lan', 'do not look for peers on the local network'),
  new Option('--bind <ADDRESS>', 'numeric address for the Tox sockets (default: all)'),
];

const sockets = (): Option[] => [
  ...nodeList(),
  new Option('--udp-port <N[-M]>', 'UDP port or range (default: 33445-33545, then any)'),
  new Option('--no-udp', 'use TCP relays only'),
  ...binding(),
];

const network = (): Option[] => [
  ...sockets(),
  new Option('--metrics <[BIND:]PORT>', 'serve figures for Prometheus at http://BIND:PORT/metrics'),
  new Option('--patience <SECONDS>', 'how long connections wait for a peer that is away (default: 300)'),
];

const stateFolder = (): Option =>
  new Option('--state <DIR>', "folder of the identity (default: the platform's)");

const passphrase = (): Option =>
  new Option(
    '--passphrase-file <FILE>',
    'encrypt the state file with the passphrase in FILE, and open it with it',
  );

const transfer = (): Option[] => [
  new Option('--export <FILE>', 'write the identity, its secret key and tickets to FILE, or - for stdout'),
  new Option('--import <FILE>', 'take the identity from FILE, or - for stdin; never overwrites one'),
  new Option('--replace', 'with --import: keep the identity that is there in a file beside it'),
  new Option(
    '--new-passphrase-file <FILE>',
    'encrypt the state files with the passphrase in FILE from now on',
  ),
  new Option('--remove-passphrase', 'encrypt the state files no longer'),
];

const state = (): Option[] => [
  stateFolder(),
  passphrase(),
  new Option('--ephemeral', 'use an identity for this run alone, and save nothing'),
];

const output_ = (): Option[] => [
  new Option('--json', 'tell programs what happens: one JSON event a line on stdout'),
  new Option('-v, --verbose', 'tell more; repeatable: -v, -vv, -vvv')
    .default(0, 'errors and events')
    .argParser((_value: string, previous: number) => previous + 1),
  new Option('-q, --quiet', 'tell people errors only'),
];
