import { Option } from 'commander';
import { DEFAULT_LIMITS } from '../../core/peer_limits.js';
import { repeatable } from './grammar.js';
import { LIMIT_FLAGS } from './limit_flags.js';

export const expose = (): Option =>
  repeatable(
    '--expose <[NAME:][HOST:]PORT>',
    'expose only this port or socket path, to everyone or to NAME; "none" exposes nothing; repeatable (default for listen without rules: all loopback ports)',
  );

export const qr = (): Option => new Option('--qr', 'show the ticket as a QR code too');

export const allowReverse = (): Option =>
  repeatable(
    '--allow-reverse <[NAME:][BIND:]PORT>',
    'let connectors (or NAME alone) open this port here by -R; repeatable (default: none)',
  );

export const offering = (): Option[] => [
  expose(),
  allowReverse(),
  repeatable('--allow-peer <[NAME=]KEY>', 'let this peer in by its public key or Tox ID, without a ticket'),
  repeatable('--deny-peer <KEY>', 'keep this peer out, whatever ticket it has; repeatable'),
  qr(),
];

export const ticketFile = (): Option =>
  new Option('--ticket-file <FILE>', 'read the ticket from FILE: it does not show in the list of processes');

export const forwards = (): Option[] => [
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
  repeatable(
    '--udp-forward <[BIND:]PORT:HOST:HOSTPORT>',
    'forward UDP datagrams; any may get lost, none is sent twice; repeatable',
  ),
];

export const credentials = (): Option[] => [
  new Option('--socks-user <NAME>', 'user name that clients of -D must give; with --socks-password-file'),
  new Option('--socks-password-file <FILE>', 'file whose first line is the password to it'),
];

export const forwarding = (): Option[] => [
  ...forwards(),
  ...credentials(),
  new Option('-W, --stdio <HOST:PORT>', 'join stdin and stdout to this target, as for ssh -o ProxyCommand'),
  new Option('-p, --local-port <PORT>', 'local port for the PORT named (default: the same, or a free one)'),
];

/** Limits of what a peer may ask of a listener, or of a connector. */
export const limits = (of: 'listener' | 'connector'): Option[] =>
  LIMIT_FLAGS.filter((limit) => of === 'listener' || limit.of === undefined).map(
    ({ flag, value, help: what, print, limit }) =>
      new Option(`${flag} <${value}>`, `${what} (default: ${print(DEFAULT_LIMITS[limit])})`),
  );

export const nodeList = (): Option[] => [
  repeatable('--bootstrap <HOST:PORT:KEY>', 'join by this node instead of the public ones; repeatable'),
  repeatable(
    '--nodes <FILE>',
    'join by the nodes of this file (the form of nodes.tox.chat/json); repeatable',
  ),
];

export const binding = (): Option[] => [
  new Option('--no-lan', 'do not look for peers on the local network'),
  new Option('--bind <ADDRESS>', 'numeric address for the Tox sockets (default: all)'),
];

export const proxy = (): Option[] => [
  new Option(
    '--proxy <URL>',
    'reach the network through this proxy alone, without UDP: socks5://[USER@]HOST:PORT or http://…',
  ),
  new Option('--proxy-password-file <FILE>', "file whose first line is the proxy's password"),
];

export const sockets = (): Option[] => [
  ...nodeList(),
  new Option('--udp-port <N[-M]>', 'UDP port or range (default: 33445-33545, then any)'),
  new Option('--no-udp', 'use TCP relays only'),
  ...proxy(),
  ...binding(),
];

export const network = (): Option[] => [
  ...sockets(),
  new Option('--metrics <[BIND:]PORT>', 'serve figures for Prometheus at http://BIND:PORT/metrics'),
  new Option('--patience <SECONDS>', 'how long connections wait for a peer that is away (default: 300)'),
];

export const stateFolder = (): Option =>
  new Option('--state <DIR>', "folder of the identity (default: the platform's)");

export const passphrase = (): Option =>
  new Option(
    '--passphrase-file <FILE>',
    'encrypt the state file with the passphrase in FILE, and open it with it',
  );

export const transfer = (): Option[] => [
  new Option('--export <FILE>', 'write the identity, its secret key and tickets to FILE, or - for stdout'),
  new Option('--import <FILE>', 'take the identity from FILE, or - for stdin; never overwrites one'),
  new Option('--replace', 'with --import: keep the identity that is there in a file beside it'),
  new Option(
    '--new-passphrase-file <FILE>',
    'encrypt the state files with the passphrase in FILE from now on',
  ),
  new Option('--remove-passphrase', 'encrypt the state files no longer'),
];

export const state = (): Option[] => [
  stateFolder(),
  passphrase(),
  new Option('--ephemeral', 'use an identity for this run alone, and save nothing'),
];

export const output_ = (): Option[] => [
  new Option('--config <FILE>', 'take options from FILE (JSON); those that stand here count more'),
  new Option('--json', 'tell programs what happens: one JSON event a line on stdout'),
  new Option('-v, --verbose', 'tell more; repeatable: -v, -vv, -vvv')
    .default(0, 'errors and events')
    .argParser((_value: string, previous: number) => previous + 1),
  new Option('-q, --quiet', 'tell people errors only'),
];
