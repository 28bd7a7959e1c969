import { serviceOfPort } from '../../rules/service_names.js';
import type { CliEvent } from './events.js';
import { humanBytes, humanDuration, printable } from './human.js';

/** An event in words. */
export interface Wording {
  /** Lines without line ends. */
  readonly lines: readonly string[];
  /** How many `-v` show it. */
  readonly verbosity: number;
}

/** Puts an event into words; undefined when people need not see it. */
export function wordingOf(event: CliEvent): Wording | undefined {
  switch (event.event) {
    case 'started':
      return event.command === undefined
        ? { lines: [`Started as ${event.toxId}`], verbosity: 1 }
        : { lines: listening(event.ticket, event.command, openingsOf(event)), verbosity: 0 };
    case 'revoked':
      return line(`Revoked the ticket ${printable(event.name)}; peers that joined with it are disconnected`);
    case 'named': {
      const name = printable(event.name);
      return line(
        `${name} now refers to ${who(event.peer)}: tox-wasm-tunnel ${name} PORT, tox-wasm-tunnel ssh ${name}`,
      );
    }
    case 'unnamed':
      return line(`Removed the name ${printable(event.name)}`);
    case 'identity':
      return { lines: [`Identity file: ${printable(event.file)}`], verbosity: 1 };
    case 'passphrase':
      return { lines: resealed(event.files, event.isEncrypted), verbosity: 0 };
    case 'node':
      return { lines: nodeUp(event.all.slice(1), event.udpPort, event.tcpPort), verbosity: 0 };
    case 'forward': {
      if (event.target === '*') {
        return line(
          `Forwarding ${event.local} as a proxy (SOCKS5, HTTP CONNECT); the listener dials the targets its clients name`,
        );
      }
      const note = event.note === undefined ? '' : ` (${printable(event.note)})`;
      const what = event.protocol === 'udp' ? 'UDP ' : '';
      return line(`Forwarding ${what}${event.local} to ${printable(event.target)} at the listener${note}`);
    }
    case 'ready':
      return line('Joined the Tox network');
    case 'check':
      return line(`${event.ok ? 'good' : 'BAD '}  ${event.check}: ${printable(event.message)}`);
    case 'ping':
      return line(
        event.roundTripMs === undefined
          ? `${event.number}: no answer`
          : `${event.number}: ${event.roundTripMs} ms ${PATHS[event.path ?? 'none']}`,
      );
    case 'pings': {
      const lost = event.sent - event.received;
      const times =
        event.meanMs === undefined
          ? ''
          : `; ${event.leastMs} / ${event.meanMs} / ${event.mostMs} ms (min, mean, max)`;
      return line(`${event.received} of ${event.sent} answered, ${lost} lost${times}`);
    }
    case 'nodes':
      return line(`${event.nodes.length} bootstrap nodes from ${printable(event.from)}`);
    case 'metrics':
      return line(`Serving metrics at ${event.url}`);
    case 'waiting':
      return line(`Waiting: ${printable(event.message)}`);
    case 'peer':
      return line(peerLine(event), event.roundTripMs === undefined ? 0 : 1);
    case 'friend':
    case 'message': {
      const peer = event.peer === undefined ? '' : `${who(event.peer)}: `;
      return line(`${peer}${printable(event.message)} (${event.code})`, isImportant(event.code) ? 0 : 1);
    }
    case 'refused':
      return line(`Refused ${printable(event.target)} (${who(event.peer)}): ${printable(event.message)}`);
    case 'reverse':
      return line(reverseLine(event));
    case 'closed':
      return line(
        `Closed after ${humanDuration(event.durationMs)}: ${humanBytes(event.bytesIn)} in, ${humanBytes(event.bytesOut)} out`,
      );
    case 'changed': {
      const isRule = /^(?:rule|reverse)\./.test(event.what);
      const lasting = !isRule ? '' : event.saved ? ', for later starts too' : ', until the listener stops';
      const note = event.note === undefined ? [] : [printable(event.note)];
      return {
        lines: [
          `Done: ${event.what.replace('.', ' ')} ${event.items.map(printable).join(', ')}${lasting}`,
          ...note,
        ],
        verbosity: 0,
      };
    }
    case 'reloaded':
      return reloaded(event);
    case 'lent':
      return line(
        `Using the connection of connector ${event.pid}, which is already running with this ticket`,
      );
    case 'removed':
      return line(`No longer forwarding ${removedText(event)}`);
    // Their commands print the result on stdout, for scripts too.
    case 'ticket':
    case 'tickets':
    case 'names':
    case 'service':
    case 'status':
    case 'forwards':
    case 'peers':
    case 'rules':
      return undefined;
    // Reporter.error prints errors, and dropped events concern only programs.
    case 'error':
    case 'dropped':
      return undefined;
  }
}

/** A failure goes to the log as an error, which even `--quiet` shows. */
function reloaded({ ok, message, restart }: CliEvent & { event: 'reloaded' }): Wording | undefined {
  if (!ok) return undefined;
  const needed = restart.map(printable).join(', ');
  const more = restart.length === 0 ? [] : [`Changed as well, but only a restart applies it: ${needed}`];
  return { lines: [`Reloaded: ${printable(message)}`, ...more], verbosity: 0 };
}

const line = (text: string, verbosity = 0): Wording => ({ lines: [text], verbosity });

/** The first digits of a public key; the whole key is too long to read. */
const who = (publicKey: string): string => `peer ${printable(publicKey.slice(0, 8))}`;

/** Failures. */
const isImportant = (code: number): boolean => code === 102 || code > 201;

const PATHS = { udp: 'directly (UDP)', relay: 'through a relay (TCP)', none: 'by no path yet' } as const;

function peerLine(event: CliEvent & { event: 'peer' }): string {
  if (event.status === 'offline') {
    const after = event.onlineMs === undefined ? '' : ` after ${humanDuration(event.onlineMs)}`;
    return `${capital(who(event.peer))} went offline${after}`;
  }
  const path = PATHS[event.path];
  const roundTrip = event.roundTripMs === undefined ? '' : `, round trip ${event.roundTripMs} ms`;
  return `${capital(who(event.peer))} is online, ${path}${roundTrip}`;
}

function reverseLine({ status, listen, target, peer }: CliEvent & { event: 'reverse' }): string {
  const at = printable(listen);
  if (target === undefined) {
    const owner = `for ${who(peer)}`;
    return status === 'open' ? `Listening on ${at} ${owner}` : `No longer listening on ${at} ${owner}`;
  }
  if (status === 'asked')
    return `Forwarding ${at} at the listener to ${printable(target)} here, if the listener allows it`;
  return status === 'open'
    ? `The listener listens on ${at}; its connections go to ${printable(target)} here`
    : `The listener no longer listens on ${at}`;
}

function removedText({ kind, local, target }: CliEvent & { event: 'removed' }): string {
  const place = `${kind === 'udp' ? 'UDP ' : ''}${printable(local)}`;
  if (kind === 'dynamic') return `${place} as a proxy`;
  return kind === 'reverse'
    ? `${place} at the listener to ${printable(target)} here`
    : `${place} to ${printable(target)} at the listener`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** How many of the ports that answer are listed. */
const LISTED_PORTS = 20;

function answeringLine(ports: readonly number[]): string {
  if (ports.length === 0) return 'No TCP port that this machine can list answers there now.';
  const listed = ports.slice(0, LISTED_PORTS).map((port) => {
    const service = serviceOfPort(port);
    return service === undefined ? `${port}` : `${port} (${service})`;
  });
  const more = ports.length > LISTED_PORTS ? ` and ${ports.length - LISTED_PORTS} more` : '';
  return `TCP ports there that answer now: ${listed.join(', ')}${more}`;
}

function openingsOf({
  isDefault = false,
  answering = [],
  expose = [],
  allowReverse = [],
  saved = [],
}: CliEvent & { event: 'started' }) {
  if (isDefault)
    return [
      "OPEN to every ticket holder: ALL TCP and UDP ports of this machine's loopback (127.0.0.1 and ::1),",
      'including every database, debugger and admin page that trusts local connections.',
      answeringLine(answering),
      'To open less:',
      '  --expose 22      only port 22',
      '  --expose none    only what the rules of tickets and peers open',
    ];
  const listed = (rules: readonly string[]) => rules.map(printable).join(', ');
  return [
    `Peers may reach: ${expose.length === 0 ? 'nothing' : listed(expose)}`,
    ...(saved.length === 0 ? [] : [`Saved earlier with rule add --save: ${listed(saved)}`]),
    ...(allowReverse.length === 0 ? [] : [`Peers may open with -R on this machine: ${listed(allowReverse)}`]),
  ];
}

function listening(ticket: string | undefined, command: string, openings: readonly string[]): string[] {
  return [
    ...(ticket === undefined
      ? ['Listening. The command `ticket` prints the ticket, which lets its holder in.']
      : ['Listening. Keep this ticket secret; it lets its holder in:', '', `  ${ticket}`]),
    '',
    'On the other machine, run:',
    '',
    `  ${printable(command)}`,
    '',
    'To keep the ticket off command lines there, save it once: npx tox-wasm-tunnel add home -',
    '',
    ...openings,
    'Stop with Ctrl-C.',
  ];
}

function resealed(files: readonly string[], isEncrypted: boolean): string[] {
  if (files.length === 0) return ['Nothing to do: the state files are already that way.'];
  const now = isEncrypted
    ? 'is encrypted with the new passphrase'
    : 'is NOT encrypted any more: keep it as safe as a password';
  return [
    ...files.map((file) => `${printable(file)} ${now}.`),
    ...(isEncrypted ? ['Exports, copies and free disk blocks still hold the old content.'] : []),
  ];
}

function nodeUp(others: readonly string[], udpPort: number, tcpPort: number): string[] {
  const relay = tcpPort === 0 ? 'no TCP relay' : `TCP relay on port ${tcpPort}`;
  return [
    `Bootstrap node on UDP port ${udpPort}, ${relay}. Others join with --bootstrap HOST:PORT:KEY.`,
    ...(tcpPort === 0 || tcpPort === udpPort
      ? []
      : [
          'HOST:PORT:KEY names only the UDP port, so nodes without UDP cannot find the relay. Leave out --tcp-port, or give both ports the same number.',
        ]),
    ...(others.length === 0
      ? []
      : ['The same node under its other addresses:', ...others.map((other) => `  ${other}`)]),
    'Stop with Ctrl-C.',
  ];
}
