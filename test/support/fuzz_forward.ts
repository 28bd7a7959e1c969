import { readHost } from '../../src/core/host.js';
import { parseAddress } from '../../src/core/ip.js';
import { MAX_SOCKET_PATH_BYTES } from '../../src/core/socket_file.js';
import { ReverseForward } from '../../src/forward/reverse/reverse_forward.js';
import { Offers } from '../../src/forward/stream/offers.js';
import type { MuxStream, StreamHandlers } from '../../src/mux/stream/stream_api.js';
import { MAX_TEXT_BYTES } from '../../src/mux/wire/codec.js';
import { decodeTarget, encodeTarget } from '../../src/mux/wire/target.js';
import { printHostPort, readSocketPath } from '../../src/rules/endpoint.js';
import { parseExposeSpec } from '../../src/rules/expose.js';
import {
  parseDynamicSpec,
  parseLocalSpec,
  parseReverseSpec,
  parseTarget,
  printBind,
  printForwardSpec,
} from '../../src/rules/forward_spec.js';
import { opensReverse, parseReverseRule } from '../../src/rules/reverse_rule.js';
import {
  bytesTarget,
  type FuzzTarget,
  refusing,
  same,
  textTarget,
  unhex,
  type Verdict,
} from './fuzz_target.js';
import { VirtualTimers } from './virtual_timers.js';

/** Words of forwards and rules, and some that belong to neither. */
export const SPEC_PIECES = [
  ...[':', '[', ']', '*', ',', '-', '/', '0', '65535', '65536', '::', '0x7f', '127.1', '%eth0', '.'],
  ...['/run/a.sock', '\\\\.\\pipe\\', '\\', '//', '/../', 'laptop:', 'localhost'],
];

const LOOPBACK = parseAddress('127.0.0.1')!;
const EVERYWHERE = parseAddress('0.0.0.0')!;

/** Picks a grammar by the length of the input, since the grammars share their words. */
function forward(text: string): Verdict {
  return refusing(['ERR_SPEC_INVALID'], () => {
    switch (text.length % 3) {
      case 0: {
        const read = parseTarget(text);
        same('target', parseTarget(printHostPort(read)), read);
        return;
      }
      case 1: {
        const bind = parseDynamicSpec(text);
        same('bind', parseDynamicSpec(printBind(bind)), bind);
        return;
      }
      default: {
        const spec = parseLocalSpec(text);
        same('forward', parseLocalSpec(printForwardSpec(spec)), spec);
      }
    }
  });
}

function reverseForward(text: string): Verdict {
  return refusing(['ERR_SPEC_INVALID'], () => {
    const spec = parseReverseSpec(text);
    same('reverse forward', parseReverseSpec(printForwardSpec(spec)), spec);
    // The other end accepts this text as an address, so the parsed forward can be requested.
    encodeTarget({ kind: 'listen', ...spec.bind });
  });
}

function reverseRule(text: string): Verdict {
  return refusing(['ERR_SPEC_INVALID', 'ERR_USAGE'], () => {
    const rule = parseReverseRule(text, (name) => name === 'laptop');
    const { from, to } = rule.ports;
    if (!(0 <= from && from <= to && to <= 0xffff)) throw new Error(`ports ${from} to ${to}`);
    if (rule.name !== undefined && rule.name !== 'laptop')
      throw new Error(`a rule for the ticket ${rule.name}`);
    if (opensReverse(rule, LOOPBACK, to + 1) || opensReverse(rule, LOOPBACK, from - 1))
      throw new Error('a rule opens a port that it does not name');
    if (rule.bind === 'loopback' && opensReverse(rule, EVERYWHERE, from))
      throw new Error('a rule for the loopback opens every address');
  });
}

function socketPath(text: string): Verdict {
  const read = readSocketPath(text);
  if (typeof read === 'string') return 'refused';
  const { path } = read;
  same('path', readSocketPath(path), read);
  // Rules cannot express a path with colons or brackets; any other path means the same in a rule.
  refusing(['ERR_SPEC_INVALID'], () => same('rule', parseExposeSpec(path), read));
  if (Buffer.byteLength(path) > (path.startsWith('/') ? MAX_SOCKET_PATH_BYTES : MAX_TEXT_BYTES))
    throw new Error('an overlong path');
  if (path.startsWith('/') ? /\/(\/|\.{0,2}(\/|$))/.test(path) : !/^\\\\\.\\pipe\\[^\\/]+$/.test(path))
    throw new Error(`a path with two spellings: ${JSON.stringify(path)}`);
  return 'accepted';
}

/** A name that a peer asks for leads to an offer only when it is the name of that offer. */
function offer(text: string): Verdict {
  const colon = text.lastIndexOf(':');
  const [host, port] = [text.slice(0, colon), Number(text.slice(colon + 1))];
  const ours = new Offers([{ host: 'web.ours', port: 80 }]);
  const found = ours.find({ host, port });
  const read = readHost(host);
  const isOurs = typeof read !== 'string' && read.kind === 'name' && read.name === 'web.ours' && port === 80;
  if ((found !== undefined) !== isOurs) throw new Error('a name that is not offered was found');
  return refusing(['ERR_ADDRESS_INVALID'], () => {
    const [rule] = new Offers([{ host, port }]).rules;
    if (rule?.host.kind !== 'name') throw new Error('an offer without a name');
    same('offer', new Offers([{ host: rule.host.name, port }]).rules, [rule]);
  });
}

const listener = unhex('00112233445546778899aabbccddeeff');
const TARGETS = (
  [
    { kind: 'tcp', host: 'localhost', port: 22 },
    { kind: 'udp', host: 'dns.lan', port: 53 },
    { kind: 'path', path: '/run/x y.sock' },
    { kind: 'path', path: '\\\\.\\pipe\\app' },
    { kind: 'listen', host: '::1', port: 0 },
    { kind: 'accepted', listener, host: '10.0.0.7', port: 40_000 },
  ] as const
).map(encodeTarget);

/** The body of OPEN, without the frame around it. */
function wireTarget(bytes: Uint8Array): Verdict {
  return refusing(['ERR_FRAME_INVALID'], () => {
    const read = decodeTarget(bytes, 0);
    if (read !== undefined) same('target', encodeTarget(read), bytes);
  });
}

/** Parses the other end's answer about a port that it opened for us, in one piece and in two. */
function reverseAnswer(bytes: Uint8Array): Verdict {
  const cut = bytes.length >> 1;
  const whole = openedPort([bytes]);
  const inPieces = openedPort([bytes.subarray(0, cut), bytes.subarray(cut)]);
  // Bytes that follow the port in a separate piece are a separate answer.
  if (bytes.length <= 2) same('port', whole, inPieces);
  if (whole === undefined) return 'refused';
  if (!(whole > 0 && whole <= 0xffff)) throw new Error(`port ${whole}`);
  return 'accepted';
}

function openedPort(pieces: readonly Uint8Array[]): number | undefined {
  const forwards = new ReverseForward({
    spec: { bind: { host: '127.0.0.1', port: 0 }, target: { host: 'localhost', port: 22 } },
    timers: new VirtualTimers(),
  });
  let handlers: StreamHandlers = {};
  let resets = 0;
  let consumedBytes = 0;
  const stream: MuxStream = {
    id: '00112233-4455-4677-8899-aabbccddeeff',
    backlogBytes: 0,
    isCrowded: false,
    isClosed: false,
    write: () => true,
    sendDatagram: () => true,
    end: () => {},
    reset: () => resets++,
    consumed: (count) => {
      consumedBytes += count;
    },
  };
  forwards.setSession({
    open: (_target, theirs) => {
      handlers = theirs;
      return stream;
    },
  });
  for (const piece of pieces) handlers.onData?.(piece);
  const port = forwards.remote?.port;
  const bytes = pieces.reduce((sum, piece) => sum + piece.length, 0);
  if (consumedBytes !== bytes) throw new Error(`consumed ${consumedBytes} of ${bytes} bytes`);
  if (port !== undefined && resets > 0) throw new Error('a port on a stream that was given up');
  forwards.close();
  return port;
}

/** The targets for forwards that users and the other end request. */
export function forwardTargets(): FuzzTarget[] {
  return [
    textTarget(
      'forward',
      2,
      [
        ...[
          '8080:localhost:80',
          '22',
          'db.lan:5432',
          '0.0.0.0:1:[::1]:2',
          '[::1]:0:db:5432',
          '127.0.0.1:1080',
        ],
        ...['8080:/run/app.sock', '/tmp/db.sock:db:5432', '/tmp/a.sock:\\\\.\\pipe\\app', '0:/run/app.sock'],
      ],
      SPEC_PIECES,
      forward,
    ),
    textTarget(
      'reverse forward',
      1,
      [
        '8080:localhost:3000',
        '0.0.0.0:0:db.lan:5432',
        '[::1]:80:/run/app.sock',
        'localhost:1:\\\\.\\pipe\\app',
      ],
      SPEC_PIECES,
      reverseForward,
    ),
    textTarget(
      'reverse rule',
      1,
      ['8080', '8000-8099', '0', '*', '0.0.0.0:80', '*:8080', 'laptop:8080', 'laptop:[::1]:1-2'],
      SPEC_PIECES,
      reverseRule,
    ),
    textTarget(
      'socket path',
      1,
      ['/run/app.sock', '/run/a b/ü.sock', '\\\\.\\pipe\\app', '\\\\.\\PIPE\\App', `/${'x'.repeat(100)}`],
      [...SPEC_PIECES, '/.', '/..', '\u0000', 'é', ' '],
      socketPath,
    ),
    textTarget(
      'offer',
      0.5,
      ['web.ours:80', 'Web.Ours.:80', 'shell:1', 'localhost:80', '[::1]:1'],
      SPEC_PIECES,
      offer,
    ),
    bytesTarget('target', 2, TARGETS, 300, wireTarget),
    bytesTarget('reverse answer', 0.5, [unhex('1f90'), unhex('0000'), unhex('ffff00')], 16, reverseAnswer),
  ];
}
