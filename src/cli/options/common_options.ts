import { Option } from 'commander';
import { DEFAULT_LIMITS } from '../../core/peer_limits.js';
import { repeatable } from './grammar.js';
import { LIMIT_FLAGS } from './limit_flags.js';

/** Lists options under a heading of the help. */
const group = (heading: string, options: readonly Option[]): Option[] =>
  options.map((option) => option.helpGroup(`${heading}:`));

/** @param description default: that of `listen` */
export const expose = (
  description = 'let peers reach this port or socket path (with NAME, only that peer or ticket); "none" opens nothing; repeatable (default: all loopback ports)',
): Option => repeatable('--expose <[NAME:][HOST:]PORT>', description);

const hideTicket = (): Option =>
  new Option('--hide-ticket', 'do not print the ticket at the start; `ticket` prints it');

export const qr = (): Option => new Option('--qr', 'show the ticket as a QR code too');

/** @param description default: that of `listen` */
export const allowReverse = (
  description = 'let peers (with NAME, only that one) open this port here with -R; repeatable (default: none)',
): Option => repeatable('--allow-reverse <[NAME:][BIND:]PORT>', description);

const accessOptions = (): Option[] =>
  group('Access', [
    expose(),
    allowReverse(),
    new Option(
      '--need-rule',
      'end with an error, instead of opening the whole loopback, when no rule is given',
    ),
    repeatable('--allow-peer <[NAME=]KEY>', 'accept this public key or Tox ID without a ticket; repeatable'),
    repeatable('--deny-peer <KEY>', 'reject this peer, even with a valid ticket; repeatable'),
    qr(),
    hideTicket(),
  ]);

export const ticketFile = (): Option =>
  new Option('--ticket-file <FILE>', 'read the ticket from FILE, which keeps it out of the process list');

export const forwards = (): Option[] =>
  group('Forwards', [
    repeatable(
      '-L, --local <[BIND:]PORT:HOST:HOSTPORT>',
      'forward a local port; port 0 takes a free one; either end may be a socket path; repeatable',
    ),
    repeatable(
      '-D, --dynamic <[BIND:]PORT>',
      'run a SOCKS5 and HTTP CONNECT proxy; the listener dials the targets that its clients name; repeatable',
    ),
    repeatable(
      '-R, --reverse <[BIND:]PORT:HOST:HOSTPORT>',
      'ask the listener to open a port that leads to HOST on this side; it must allow that; repeatable',
    ),
    repeatable(
      '--udp-forward <[BIND:]PORT:HOST:HOSTPORT>',
      'forward UDP datagrams; like all UDP, they may get lost; repeatable',
    ),
  ]);

export const credentials = (): Option[] =>
  group('Forwards', [
    new Option(
      '--socks-user <NAME>',
      'require this user name from clients of -D; needs --socks-password-file',
    ),
    new Option('--socks-password-file <FILE>', 'require the password in the first line of FILE'),
  ]);

const stdioAndProgram = (): Option[] =>
  group('Forwards', [
    new Option('-W, --stdio <HOST:PORT>', 'connect stdin and stdout to this target, for ssh -o ProxyCommand'),
    new Option('-p, --local-port <PORT>', 'local port for PORT (default: the same port, or a free one)'),
    new Option(
      '--exec <COMMAND>',
      "run COMMAND in the system's shell once the tunnel is up; exit when it ends",
    ),
    new Option('--wait <SECONDS>', 'give up when the tunnel is not up in time (default: wait forever)'),
  ]);

/** Limits of what a peer may ask of a listener, or of a connector. */
const limits = (of: 'listener' | 'connector'): Option[] =>
  group(
    'Limits',
    LIMIT_FLAGS.filter((limit) => of === 'listener' || limit.of === undefined).map(
      ({ flag, value, help: what, print, limit }) =>
        new Option(`${flag} <${value}>`, `${what} (default: ${print(DEFAULT_LIMITS[limit])})`),
    ),
  );

export const nodeList = (): Option[] =>
  group('Network', [
    repeatable('--bootstrap <HOST:PORT:KEY>', 'join through this node, not the public ones; repeatable'),
    repeatable(
      '--nodes <FILE>',
      'join through the nodes in FILE (JSON, as nodes.tox.chat/json has it); repeatable',
    ),
  ]);

export const binding = (): Option[] =>
  group('Network', [
    new Option('--no-lan', 'do not look for peers on the local network'),
    new Option('--bind <ADDRESS>', 'bind the Tox sockets to this numeric address (default: all)'),
  ]);

export const proxy = (): Option[] =>
  group('Network', [
    new Option(
      '--proxy <URL>',
      'reach the network only through this proxy, without UDP: socks5://[USER@]HOST:PORT or http://…',
    ),
    new Option('--proxy-password-file <FILE>', "read the proxy's password from the first line of FILE"),
  ]);

export const sockets = (): Option[] => [
  ...nodeList(),
  ...group('Network', [
    new Option('--udp-port <N[-M]>', 'UDP port or range (default: 33445-33545, then any)'),
    new Option('--no-udp', 'use TCP relays only'),
  ]),
  ...proxy(),
  ...binding(),
];

/** Not `<FILE>`: `-` is not a file, and a service writes to the file instead of reading it. */
const auditLog = (): Option[] =>
  group('General', [
    new Option(
      '--audit-log <LOG>',
      'append a line of JSON to this file for each peer and connection; - is standard output',
    ),
  ]);

const network = (): Option[] => [
  ...sockets(),
  ...group('Network', [
    new Option('--metrics <[BIND:]PORT>', 'serve Prometheus metrics at http://BIND:PORT/metrics'),
    new Option('--patience <SECONDS>', 'how long connections wait for an offline peer (default: 300)'),
  ]),
];

export const stateFolder = (): Option =>
  new Option('--state <DIR>', "state folder (default: the platform's)").helpGroup('State:');

export const passphrase = (): Option =>
  new Option(
    '--passphrase-file <FILE>',
    'encrypt and decrypt the state files with the passphrase in FILE',
  ).helpGroup('State:');

export const state = (): Option[] => [
  stateFolder(),
  passphrase(),
  ...group('State', [new Option('--ephemeral', 'use a new identity for this run, and save nothing')]),
];

export const output = (): Option[] =>
  group('General', [
    new Option('--config <FILE>', 'read options from FILE (JSON); the command line overrides them'),
    new Option('--json', 'print one JSON event per line on stdout'),
    new Option('-v, --verbose', 'print more; repeatable: -v, -vv, -vvv')
      .default(0, 'errors and events')
      .argParser((_value: string, previous: number) => previous + 1),
    new Option('-q, --quiet', 'print errors only'),
  ]);

/** All options of `listen`. */
export const listenOptions = (): Option[] => [
  ...accessOptions(),
  ...limits('listener'),
  ...network(),
  ...state(),
  ...output(),
  ...auditLog(),
];

/** All options of `connect`. */
export const connectOptions = (): Option[] => [
  ticketFile(),
  ...forwards(),
  ...credentials(),
  ...stdioAndProgram(),
  ...limits('connector'),
  ...network(),
  ...state(),
  ...output(),
];
