import type { CliEvent } from './events.js';
import { humanBytes, humanDuration, printable } from './human.js';

/** An event for people. */
export interface Wording {
  /** Lines without their ends. */
  readonly lines: readonly string[];
  /** Shown from this many `-v` on. */
  readonly verbosity: number;
}

/** How an event is told to people; undefined when they need not know. */
export function wordingOf(event: CliEvent): Wording | undefined {
  switch (event.event) {
    case 'started':
      return event.command === undefined
        ? { lines: [`Started as ${event.toxId}`], verbosity: 1 }
        : { lines: listening(event.ticket ?? '', event.command, openingsOf(event)), verbosity: 0 };
    case 'ticket':
    case 'tickets':
      // On stdout, for scripts too.
      return undefined;
    case 'revoked':
      return line(`Revoked the ticket ${printable(event.name)}: peers that joined with it are disconnected`);
    case 'named':
      return line(
        `${printable(event.name)} stands for ${who(event.peer)} now: tox-wasm-tunnel ${printable(event.name)} PORT, tox-wasm-tunnel ssh ${printable(event.name)}`,
      );
    case 'unnamed':
      return line(`Forgot ${printable(event.name)}`);
    case 'identity':
      return { lines: [`Identity file: ${printable(event.file)}`], verbosity: 1 };
    case 'passphrase':
      return { lines: resealed(event.files, event.isEncrypted), verbosity: 0 };
    case 'node':
      return { lines: nodeUp(event.all.slice(1), event.udpPort, event.tcpPort), verbosity: 0 };
    case 'forward': {
      if (event.target === '*') {
        return line(
          `Forwarding ${event.local} as a proxy (SOCKS5, HTTP CONNECT): the far end dials what clients name`,
        );
      }
      const note = event.note === undefined ? '' : ` (${printable(event.note)})`;
      const what = event.protocol === 'udp' ? 'UDP ' : '';
      return line(`Forwarding ${what}${event.local} to ${printable(event.target)} of the far end${note}`);
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
          : `; ${event.leastMs} / ${event.meanMs} / ${event.mostMs} ms (least, mean, most)`;
      return line(`${event.received} of ${event.sent} answered, ${lost} lost${times}`);
    }
    case 'nodes':
      return line(`${event.nodes.length} bootstrap nodes, ${printable(event.from)}`);
    case 'metrics':
      return line(`Metrics at ${event.url}`);
    case 'waiting':
      return line(`Waiting: ${printable(event.message)}`);
    case 'peer':
      return line(peerLine(event), event.roundTripMs === undefined ? 0 : 1);
    case 'friend':
    case 'message': {
      const peer = event.peer === undefined ? '' : `${who(event.peer)}: `;
      return line(`${peer}${printable(event.message)} (${event.code})`, isNews(event.code) ? 0 : 1);
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
      const note = event.note === undefined ? [] : [printable(event.note)];
      return {
        lines: [`Done: ${event.what} ${event.items.map(printable).join(', ')}`, ...note],
        verbosity: 0,
      };
    }
    case 'removed':
      return line(`No longer forwarding ${removedText(event)}`);
    case 'names':
    case 'service':
    case 'status':
    case 'forwards':
    case 'peers':
    case 'rules':
      // What was asked for stands on stdout.
      return undefined;
    case 'error':
    case 'dropped':
      // Errors have a way of their own, and people have scrolled past what was left out.
      return undefined;
  }
}

const line = (text: string, verbosity = 0): Wording => ({ lines: [text], verbosity });

/** A public key is too long to read: its first digits. */
const who = (publicKey: string): string => `peer ${printable(publicKey.slice(0, 8))}`;

/** Of the codes about friends and messages: failures, and a request that waits for an answer. */
const isNews = (code: number): boolean => code === 102 || code === 104 || code > 201;

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
    return status === 'open' ? `Listening at ${at} ${owner}` : `No longer listening at ${at} ${owner}`;
  }
  if (status === 'asked')
    return `Forwarding ${at} of the far end to ${printable(target)} here, if it allows that`;
  return status === 'open'
    ? `The far end listens at ${at}, forwarding to ${printable(target)} here`
    : `The far end no longer listens at ${at}`;
}

function removedText({ kind, local, target }: CliEvent & { event: 'removed' }): string {
  const place = `${kind === 'udp' ? 'UDP ' : ''}${printable(local)}`;
  if (kind === 'dynamic') return `${place} as a proxy`;
  return kind === 'reverse'
    ? `${place} of the far end to ${printable(target)} here`
    : `${place} to ${printable(target)} of the far end`;
}

const capital = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

function openingsOf({ isDefault = false, expose = [], allowReverse = [] }: CliEvent & { event: 'started' }) {
  if (isDefault)
    return [
      "OPEN to every ticket holder: ALL TCP and UDP ports of this machine's loopback (127.0.0.1 and ::1),",
      'with every database, debugger and admin page that trusts local connections. To open less:',
      '  --expose 22      port 22 and nothing else',
      '  --expose none    nothing but what rules of tickets and peers open',
    ];
  const listed = (rules: readonly string[]) => rules.map(printable).join(', ');
  return [
    `May be reached: ${expose.length === 0 ? 'nothing' : listed(expose)}`,
    ...(allowReverse.length === 0 ? [] : [`May be opened on this machine by -R: ${listed(allowReverse)}`]),
  ];
}

function listening(ticket: string, command: string, openings: readonly string[]): string[] {
  return [
    'Listening. This ticket lets others in; it is a secret:',
    '',
    `  ${ticket}`,
    '',
    'On the other machine, run:',
    '',
    `  ${printable(command)}`,
    '',
    ...openings,
    'Stop with Ctrl-C.',
  ];
}

function resealed(files: readonly string[], isEncrypted: boolean): string[] {
  if (files.length === 0) return ['Nothing to do: no state file here is otherwise.'];
  const now = isEncrypted
    ? 'is encrypted with the new passphrase'
    : 'is NOT encrypted any more: keep it as safe as a password';
  return [
    ...files.map((file) => `${printable(file)} ${now}.`),
    ...(isEncrypted ? ['Exports and copies, and free blocks of the disk, still have what they had.'] : []),
  ];
}

function nodeUp(others: readonly string[], udpPort: number, tcpPort: number): string[] {
  const relay = tcpPort === 0 ? 'no TCP relay' : `TCP relay on port ${tcpPort}`;
  return [
    `Bootstrap node on UDP port ${udpPort}, ${relay}. Others join with --bootstrap and its HOST:PORT:KEY.`,
    ...(tcpPort === 0 || tcpPort === udpPort
      ? []
      : [
          'Who has no UDP cannot find the relay by that: it names one port. Leave out --tcp-port, or use the same number.',
        ]),
    ...(others.length === 0
      ? []
      : ['The same node under its other addresses:', ...others.map((other) => `  ${other}`)]),
    'Stop with Ctrl-C.',
  ];
}
