import { CommanderError } from 'commander';
import { parseAccessState } from '../../src/access/access_state.js';
import { formatTicket, isTicket, parseRemote } from '../../src/access/ticket.js';
import { durationOf, usesOf } from '../../src/cli/commands/ticket.js';
import { readConfig } from '../../src/cli/options/config_file.js';
import { configSections } from '../../src/cli/options/config_options.js';
import { patienceOf, portsOf } from '../../src/cli/options/flags.js';
import { LIMIT_FLAGS, limitsOfFlags } from '../../src/cli/options/limit_flags.js';
import { buildProgram } from '../../src/cli/program.js';
import { Lines, parseAnswer, parseQuestion, questionLine } from '../../src/control/protocol.js';
import { ipBytes, ipText, parseAddress } from '../../src/core/ip.js';
import { parseBootstrapLine, parseNodesFile } from '../../src/network/bootstrap_list.js';
import { formatToxId, makeToxId } from '../../src/network/tox_id.js';
import { printRule, readRule } from '../../src/rules/expose.js';
import { publicKeyOf } from '../../src/state/identity.js';
import { parseStateFile, plainText } from '../../src/state/identity_file.js';
import { parseNamesFile, plainNamesText } from '../../src/state/names_file.js';
import { StateFault } from '../../src/state/state_file.js';
import { SPEC_PIECES } from './fuzz_forward.js';
import { type FuzzTarget, refusing, same, textTarget, type Verdict } from './fuzz_target.js';

const secretKey = new Uint8Array(32).fill(5);
const toxId = makeToxId(publicKeyOf(secretKey), Uint8Array.of(1, 2, 3, 4));
const TICKET = formatTicket({ toxId, secret: new Uint8Array(32).fill(6) });
const KEY = '77'.repeat(32);

const ACCESS = {
  tickets: [{ name: 'default', secret: KEY, expiresAtMs: 5, uses: 2, usedBy: [KEY], rules: ['22'] }],
  peers: [{ name: 'laptop', publicKey: KEY }],
  denied: [KEY],
};
const STATE = plainText('listener', {
  identity: { secretKey, nospam: Uint8Array.of(1, 2, 3, 4) },
  access: ACCESS,
});
const SEALED = JSON.stringify({
  version: 2,
  kind: 'tox-wasm-tunnel identity',
  role: 'listener',
  encrypted: {
    kdf: 'argon2id',
    memoryKiB: 65536,
    passes: 3,
    lanes: 4,
    salt: Buffer.alloc(16).toString('base64'),
    cipher: 'xchacha20-poly1305',
    nonce: Buffer.alloc(24).toString('base64'),
    text: Buffer.alloc(40).toString('base64'),
  },
});
const NAMES = plainNamesText(new Map([['home', TICKET]]));
const CONFIG = JSON.stringify({
  all: { bootstrap: ['192.0.2.1:1:KEY'], 'no-lan': true },
  listen: { expose: [22, 'db:1'], 'max-peers': 3, verbose: 1 },
});
export const JSON_PIECES = [
  '{',
  '}',
  '[',
  ']',
  '"',
  ':',
  ',',
  'null',
  '1e999',
  '-1',
  '"\\u0000"',
  '{"__proto__":{"x":1}}',
];
const OPTION_PIECES = ['0', '9', '-', 'e9', 's', 'm', 'h', 'd', 'K', 'M', 'G', '.', ' ', '99999', '٣'];

function state(text: string): Verdict {
  try {
    const read = parseStateFile(text, 'listener');
    if (read.kind === 'sealed') {
      if (read.sealed.memoryKiB > 256 * 1024) throw new Error('a file may ask for too much memory');
      return 'accepted';
    }
    same('state', parseStateFile(plainText('listener', read.state), 'listener'), read);
    return refusing(['ERR_STATE_INVALID'], () => parseAccessState(read.state.access));
  } catch (error) {
    if (error instanceof StateFault) return 'refused';
    throw error;
  }
}

function names(text: string): Verdict {
  try {
    const read = parseNamesFile(text);
    if (read.kind === 'plain') same('names', parseNamesFile(plainNamesText(read.names)), read);
    return 'accepted';
  } catch (error) {
    if (error instanceof StateFault) return 'refused';
    throw error;
  }
}

const SECTIONS = configSections(await buildProgram());

function config(text: string): Verdict {
  return refusing(['ERR_USAGE'], () => {
    for (const [command, settings] of readConfig(text, 'config.json', SECTIONS)) {
      if (!SECTIONS.has(command)) throw new Error(`an unknown command: ${command}`);
      for (const { value } of settings) {
        if (!['string', 'boolean', 'number', 'undefined', 'object'].includes(typeof value))
          throw new Error('a value without an option');
      }
    }
  });
}

async function commandLine(text: string): Promise<Verdict> {
  const args = text.split(' ');
  let calls = 0;
  const program = await buildProgram({
    args,
    onCall: async () => {
      calls++;
    },
  });
  try {
    await program.parseAsync(args, { from: 'user' });
  } catch (error) {
    if (error instanceof CommanderError) return 'refused';
    return refusing(['ERR_USAGE'], () => {
      throw error;
    });
  }
  return calls > 0 ? 'accepted' : 'refused';
}

function control(text: string): Verdict {
  const bytes = Buffer.from(text);
  const cut = bytes.length >> 1;
  const lines = new Lines(256);
  const found = [lines.push(bytes.subarray(0, cut)), lines.push(bytes.subarray(cut))].flatMap(
    (each) => each ?? [],
  );
  let verdict: Verdict = 'refused';
  for (const line of found.slice(0, 4)) {
    const read = refusing(['ERR_CONTROL'], () => {
      const question = parseQuestion(line);
      same('question', parseQuestion(questionLine(question)), question);
    });
    if (read === 'accepted') verdict = read;
  }
  return verdict;
}

/** Numbers, times and sizes: each option reads a whole number in its range, or rejects the text. */
function optionValue(text: string): Verdict {
  const numbers: number[] = [];
  const verdicts = [
    refusing(['ERR_USAGE'], () => numbers.push(durationOf(text))),
    refusing(['ERR_USAGE'], () => numbers.push(usesOf(text))),
    refusing(['ERR_USAGE'], () => numbers.push(patienceOf({ patience: text }).patienceMs ?? -1)),
    refusing(['ERR_USAGE'], () => {
      const { from, to } = portsOf(text, '--udp-port');
      if (from > to || to > 65_535) throw new Error(`ports ${from} to ${to}`);
      numbers.push(from, to);
    }),
    ...LIMIT_FLAGS.map(({ name }) =>
      refusing(['ERR_USAGE'], () =>
        numbers.push(...Object.values(limitsOfFlags({ [name]: text }).limits ?? {})),
      ),
    ),
  ];
  const bad = numbers.find((each) => !Number.isSafeInteger(each) || each < 0);
  if (bad !== undefined) throw new Error(`an invalid value: ${bad}`);
  return verdicts.includes('accepted') ? 'accepted' : 'refused';
}

/** Two readers of addresses: the rules must see the address that the sockets get. */
function addressReaders(text: string): Verdict {
  const [socket, rule] = [ipBytes(text), parseAddress(text)];
  if (rule === undefined) return socket === undefined ? 'refused' : 'accepted';
  same('address', parseAddress(rule.text), rule);
  if (socket === undefined) throw new Error('an address that no socket accepts');
  // The rules see an IPv4-mapped IPv6 address as the IPv4 address.
  same('bytes', socket.subarray(socket.length - rule.bytes.length), rule.bytes);
  same('socket', ipBytes(ipText(socket)), socket);
  return 'accepted';
}

/** The targets for input from users, files and other programs on this machine. */
export function textTargets(): FuzzTarget[] {
  const known = (name: string): boolean => name === 'laptop';
  return [
    textTarget(
      'ticket',
      2,
      [TICKET, `> ${TICKET.slice(0, 60)}\n> ${TICKET.slice(60)}`, formatToxId(toxId)],
      [' ', '\n> ', '-', 'l', 'O', 'u', '“'],
      (text) =>
        refusing(['ERR_TICKET_INVALID', 'ERR_ADDRESS_INVALID'], () => {
          const remote = parseRemote(text);
          if (isTicket(remote)) same('a ticket that nobody made', formatTicket(remote), TICKET);
        }),
    ),
    textTarget('state file', 0.3, [STATE, SEALED], JSON_PIECES, state),
    textTarget('names file', 0.5, [NAMES, NAMES.replace('"names": [', '"encrypted": [')], JSON_PIECES, names),
    textTarget('config file', 0.2, [CONFIG], ['"no-udp":', '"all":', '-', ...JSON_PIECES], config),
    textTarget('access state', 1, [JSON.stringify(ACCESS)], JSON_PIECES, (text) =>
      refusing(['ERR_STATE_INVALID'], () => {
        let json: unknown;
        try {
          json = JSON.parse(text);
        } catch {
          json = null;
        }
        parseAccessState(json);
      }),
    ),
    textTarget(
      'rule',
      2,
      [
        '22',
        '8000-8010,443',
        'db.lan:5432',
        '53/udp',
        'laptop:db.lan:22/tcp',
        '10.0.0.0/24:80',
        '[2001:db8::]/32:*',
        '*:*',
        'laptop:10.0.0.0/8:80',
        'laptop:22',
        'laptop:web:80',
        '/run/app.sock',
        'laptop:\\\\.\\pipe\\app',
      ],
      SPEC_PIECES,
      (text) =>
        refusing(['ERR_SPEC_INVALID', 'ERR_USAGE'], () => {
          const { rule } = readRule(text, known);
          same('rule', readRule(printRule(rule), known).rule, rule);
        }),
    ),
    textTarget(
      'bootstrap node',
      1,
      [`192.0.2.1:33445:${KEY}`, `[2001:db8::1]:33445:${KEY}`],
      SPEC_PIECES,
      (text) =>
        refusing(['ERR_BOOTSTRAP_INVALID'], () => {
          parseBootstrapLine(text);
        }),
    ),
    textTarget(
      'node list',
      0.5,
      [`{"nodes":[{"ipv4":"192.0.2.1","ipv6":"-","port":33445,"tcp_ports":[443],"public_key":"${KEY}"}]}`],
      JSON_PIECES,
      (text) =>
        refusing(['ERR_NODES_INVALID', 'ERR_BOOTSTRAP_INVALID'], () => {
          parseNodesFile(text, 'nodes.json');
        }),
    ),
    textTarget(
      'control line',
      1,
      [
        '{"version":1,"method":"peers"}\n',
        '{"version":1,"method":"rule.add","params":{"rule":"22"}}\n{"version":1}\n',
      ],
      ['\n', ...JSON_PIECES],
      control,
    ),
    textTarget(
      'control answer',
      1,
      ['{"version":1,"ok":true,"result":[]}', '{"version":1,"ok":false,"code":"ERR_USAGE","message":"no"}'],
      JSON_PIECES,
      (text) =>
        refusing(['ERR_CONTROL', 'ERR_USAGE'], () => {
          parseAnswer(text.replaceAll('\n', ' '));
        }),
    ),
    textTarget(
      'option value',
      0.2,
      ['90s', '7d', '16M', '512K', '33445-33545', '5'],
      OPTION_PIECES,
      optionValue,
    ),
    textTarget(
      'ip text',
      1,
      ['10.0.0.1', '::ffff:10.0.0.1', '2001:db8::1', 'fe80::1%eth0', '::', '1:2:3:4:5:6:1.2.3.4'],
      SPEC_PIECES,
      addressReaders,
    ),
    textTarget(
      'command line',
      0.02,
      [
        'listen --expose 22 -vv',
        'TOX_ID 22 -p 2222',
        'connect X -L 1:a:2 --json',
        'node --port 1',
        'id --export -',
      ],
      [' ', '--', '-', '=', ' --help', ' -v', ' --state x', ' --no-lan'],
      commandLine,
    ),
  ];
}
