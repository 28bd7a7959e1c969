import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { Readable } from 'node:stream';
import { after, describe, test } from 'node:test';
import { formatTicket } from '../../src/access/ticket.js';
import { buildProgram } from '../../src/cli/program.js';
import { parseToxId } from '../../src/network/tox_id.js';
import { printForwardSpec } from '../../src/rules/forward_spec.js';
import { helpTexts } from '../../tools/help_texts.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const ID = '56A1ADE4B65B86BCD51CC73E2CD4E542179F47959FE3E0E21B4B0ACDADE51855D34D34D37CB5';
const NODE = '192.0.2.1:33445:7E5668E0EE09E19F320AD47902419331FFEE147BB3606769CFBE921A2A2FD34C';

const TICKET = formatTicket({ toxId: parseToxId(ID), secret: new Uint8Array(32).fill(7) });
const KEY = ID.slice(0, 64);

describe('the command line rejects, in one line, with exit code 2 and before anything starts', () => {
  const bad: ReadonlyArray<readonly [args: readonly string[], why: RegExp]> = [
    [['--nope'], /has no option --nope.*--help/],
    [
      ['lisen'],
      /"lisen" is neither a ticket, nor a name, nor a command; did you mean "listen"\? .*list.*add/,
    ],
    [
      ['connect'],
      /the ticket is missing: give a ticket, a name .*list.*, - to read.*--ticket-file FILE.*TOX_WASM_TUNNEL_TICKET/,
    ],
    [['connect', TICKET.slice(0, -1), '22'], /its last 1 of 123 characters are missing/],
    [['connect', TICKET.replace('0w3', '0w4'), '22'], /mistyped/],
    [[`${TICKET.slice(0, 50)}u${TICKET.slice(51)}`, '22'], /"u" at position 51 never occurs in a ticket/],
    [
      ['connect', '--ticket-file', '/nowhere/ticket', '22'],
      /\/nowhere\/ticket: cannot be read: there is no such file or folder/,
    ],
    [['--ticket-file', '/dev/null', '22'], /\/dev\/null is empty/],
    [['connect', '-', '22'], /standard input is empty/],
    [['connect', TICKET, '22', '--ticket-file', 'x'], /cannot be combined/],
    [[TICKET, '22', '--allow-peer', KEY], /--allow-peer is for the listener/],
    [[TICKET, '22', '--max-peers', '3'], /--max-peers is for the listener/],
    [['connect', TICKET, '22', '--max-dials', '0'], /--max-dials "0" is not a number from 1 to 4096/],
    [['listen', '--allow-peer', 'x'], /64 hexadecimal digits or a Tox ID/],
    [['listen', '--allow-peer', `a b=${KEY}`], /is not a valid name for a peer/],
    [['listen', '--deny-peer', `${ID.slice(0, -1)}6`], /mistyped/],
    [['ticket', 'make'], /ticket has no action "make".*give new, list or revoke/],
    [['ticket', 'new'], /a new ticket needs a name/],
    [['ticket', 'new', '--name', 'localhost'], /choose another name/],
    [['ticket', 'new', '--name', 'ci', '--expires', '2'], /--expires "2" is not a duration.*2h/],
    [['ticket', 'new', '--name', 'ci', '--expires', '0s'], /is not a duration/],
    [['ticket', 'new', '--name', 'ci', '--uses', '0'], /--uses "0" is not a number of peers from 1 to 1000/],
    [['ticket', 'new', '--name', 'ci', '--expose', 'x:'], /--expose "x:": the port must be/],
    [['ticket', '--uses', '1'], /are only for ticket new/],
    [['ticket', 'revoke'], /ticket revoke needs the name/],
    [['ticket', 'list', '--rotate'], /--rotate takes no action/],
    [['ticket', 'list', 'ci'], /ticket list takes no name/],
    [['ticket', 'new', 'ci', '--name', 'ci'], /NAME and --name are the same/],
    [['connect', ID, '22', '23'], /"23" comes after TICKET and PORT; -p 23 chooses the local port/],
    [['connect', ID, '22', 'sh'], /too many arguments: .*put -- before a program to run/],
    [['conect', ID, '22'], /"conect" is neither a ticket, nor a name, nor a command; did you mean "connect"/],
    [['listen', '22'], /listen takes no arguments, so "22" is too much; .*: tox-wasm-tunnel --expose 22\n?$/],
    [['forward'], /forward needs an action: list, add or remove; see tox-wasm-tunnel forward --help\n?$/],
    [['connect', ID], /nothing to forward.*-L 2222:localhost:22/],
    [[ID], /nothing to forward/],
    [['connect', ID.slice(1), '22'], /this has 75 digits/],
    [[`${ID.slice(0, -1)}6`, '22'], /mistyped/],
    [[`${ID.slice(0, -1)}x`, '22'], /"x" at position 76/],
    [[ID, 'ssh'], /ssh/],
    [[ID, '0'], /PORT "0": the port must be/],
    [[ID, '65536'], /65536/],
    [[ID, '22', '-p', '65536'], /-p "65536" is not a port/],
    [[ID, '22', '-p', 'x'], /-p "x" is not a port/],
    [[ID, '-p', '22', '-L', '1:localhost:1'], /-p needs PORT/],
    [['-p', '22'], /-p needs the ticket/],
    [['-L', '1:localhost:1'], /-L needs the ticket/],
    [['connect', ID, '-L', '1:localhost'], /-L "1:localhost": .*\[bind:\]port:host:hostport/],
    [['connect', ID, '-L'], /-L, --local needs \[BIND:\]PORT:HOST:HOSTPORT, as in -L 2222:localhost:22/],
    [[ID, '22', '--expose', '22'], /--expose is for the listener/],
    [['-D', '1080'], /-D needs the ticket/],
    [['-W', 'localhost:22'], /-W needs the ticket/],
    [['connect', '-', '-W', 'localhost:22'], /-W needs standard input.*--ticket-file FILE/],
    [['-', '-W', 'localhost:22'], /-W needs standard input/],
    [[ID, '-D', '65536'], /65536/],
    [[ID, '-D', 'a:1:2'], /too many parts/],
    [['-R', '8080:localhost:80'], /-R needs the ticket/],
    [[ID, '-R', '/run/a.sock:localhost:80'], /at ports only/],
    [[ID, '-R', '0:localhost:80', '-W', 'localhost:22'], /-W cannot be combined with PORT/],
    [[ID, '-L', './a.sock:h:80'], /must be absolute/],
    [[TICKET, '22', '--allow-reverse', '80'], /is for the listener/],
    [['listen', '--allow-reverse', 'x'], /the port must be/],
    [['listen', '--allow-reverse', ' '], /the port must be/],
    [['listen', '--expose', ''], /the port must be/],
    [['listen', '--expose', ' '], /the port must be/],
    [
      ['listen', '--expose', 'none', '--expose', '22'],
      /--expose none cannot be combined with other --expose/,
    ],
    [
      ['ticket', 'new', '--name', 'a', '--expose', '22', '--expose', 'none'],
      /--expose none .*cannot be combined/,
    ],
    [['listen', '--allow-reverse', 'desktop:80'], /neither an address nor the name of a peer or a ticket/],
    [['listen', '--expose', '/run/../a'], /without \. and \.\./],
    [[ID, '-W', 'localhost:0'], /-W "localhost:0" at "0": the target port/],
    [[ID, '22', '-W', 'localhost:22'], /-W cannot be combined with PORT, -L, -D, -R or --udp-forward/],
    [[ID, '-D', '0', '-W', 'localhost:22'], /-W cannot be combined with PORT/],
    [[ID, '-D', '0', '--socks-user', 'joe'], /must be given together/],
    [[ID, '-D', '0', '--socks-password-file', '/dev/null'], /must be given together/],
    [[ID, '22', '--socks-user', 'joe', '--socks-password-file', 'package.json'], /needs a proxy: -D/],
    [[ID, '-D', '0', '--socks-user', 'a:b', '--socks-password-file', 'package.json'], /no colon/],
    [
      [ID, '-D', '0', '--socks-user', 'joe', '--socks-password-file', '/dev/null'],
      /first line of \/dev\/null/,
    ],
    [[ID, '-D', '0', '--socks-user', 'joe', '--socks-password-file', '/nowhere/x'], /cannot be read/],
    [['listen', '--expose', 'x:'], /--expose "x:": the port must be/],
    [['listen', '-L', '1:localhost:1'], /has no option -L/],
    [['-L', '1:localhost:1', 'listen'], /listen has no option --local/],
    [['--expose', '22', 'id'], /id has no option --expose/],
    [['listen', '--bootstrap', '192.0.2.1'], /not a bootstrap node: .*HOST:PORT:KEY/],
    [
      ['listen', '--nodes', '/nowhere/nodes.json'],
      /\/nowhere\/nodes\.json: cannot be read: there is no such file or folder/,
    ],
    [['listen', '--bind', 'eth0'], /--bind "eth0" is not a numeric address/],
    [['listen', '--udp-port', 'x'], /--udp-port "x" is neither/],
    [['listen', '--udp-port', '2-1'], /--udp-port "2-1" is neither/],
    [['listen', '--udp-port', '1-2-3'], /is neither/],
    [['listen', '--udp-port', '1-65536'], /is neither/],
    [['listen', '--udp-port', '1', '--no-udp'], /cannot be combined/],
    [['listen', '--state', 'x', '--ephemeral'], /cannot be combined/],
    [['listen', '-q', '-v'], /cannot be combined/],
    [['-q', 'listen', '-v'], /cannot be combined/],
    [['listen', '--patience', '86401'], /--patience "86401" is not a number of seconds/],
    [[ID, '22', '--patience', '1.5'], /--patience "1\.5"/],
    [['node', '--port', '-1'], /--port "-1" is not a port/],
    [['node', '--tcp-port', '65536'], /--tcp-port "65536" is not a port/],
    [['node', '--no-udp'], /has no option --no-udp/],
    [['listen', '--expose', 'laptop:localhost:22'], /no peer and no ticket is called "laptop".*--allow-peer/],
    [['listen', '--max-peers', '0'], /--max-peers "0" is not a number from 1 to 8192/],
    [['listen', '--max-peers', '8193'], /from 1 to 8192/],
    [['listen', '--max-streams', '4097'], /from 1 to 4096/],
    [['listen', '--max-dials', '1K'], /--max-dials "1K" is not a number/],
    [['listen', '--max-opens-per-second', '-1'], /--max-opens-per-second "-1"/],
    [['listen', '--max-stream-buffer', '1X'], /is not a number of bytes \(K, M and G may follow\)/],
    [['listen', '--max-peer-buffer', '1023K'], /from 1048576 to/],
    [['listen', '--handshake-timeout', '0'], /is not a number of seconds from 1 to 86400/],
    [['listen', '--idle-timeout', '1.5'], /is not a number of seconds from 0/],
    [['listen', '--max-control-frames', '99'], /from 100 to/],
    [['connect', ID, '22', '--max-peers', '1'], /has no option --max-peers/],
    [['peers', 'kick', 'x'], /peers has no action "kick"; give allow, deny or remove/],
    [['peers', 'deny', 'a b'], /PEER "a b" is neither a name nor a public key/],
    [['peers', 'deny', ID], /give its first 64 digits/],
    [['peers', 'remove'], /peers remove needs a peer/],
    [['rule'], /rule needs an action: list, add or remove/],
    [['service'], /service needs an action: install/],
    [['rule', 'add', '70000'], /RULE "70000": the port must be a number from 1 to 65535.*for example 22/],
    [['rule', 'remove', 'laptop:70000'], /RULE "laptop:70000" at "70000"/],
    [['rule', 'rm', 'laptop:10.0.0.0/99:80'], /the prefix length/],
    [['rule', 'add', '--allow-reverse', 'x'], /--allow-reverse "x": the port must be/],
    [['rule', 'add'], /rule add needs a rule.*rule add 8080/],
    [['rule', 'list', '22'], /rule list takes no rules/],
    [['id', '--ephemeral'], /has no option --ephemeral/],
    [['add'], /add needs NAME, as in tox-wasm-tunnel add home TICKET; see/],
    [['add', 'home'], /the ticket is missing/],
    [['add', 'a b', TICKET], /is not a valid name/],
    [['add', 'localhost', TICKET], /choose another name/],
    [['add', 'Listen', TICKET], /"listen" is a command of tox-wasm-tunnel; choose another name/],
    [['add', 'home', 'work'], /not a usable ticket/],
    [['add', 'home', TICKET.slice(0, -1)], /its last 1 of 123 characters are missing/],
    [['add', 'home', TICKET, '--ticket-file', 'x'], /cannot be combined/],
    [['connect', 'home', '22', '--ticket-file', 'x'], /cannot be combined/],
    [['ping', 'home'], /"home" is neither a ticket, nor a name/],
    [['doctor', 'home'], /"home" is neither a ticket, nor a name/],
    [['--exec', 'ls'], /--exec needs the ticket/],
    [['--wait', '5'], /--wait needs the ticket/],
    [['--', 'ls'], /-- PROGRAM needs the ticket/],
    [['connect', ID, '22', '--exec', 'ls', '--', 'ls'], /cannot be combined/],
    [['connect', ID, '22', '--'], /the program after -- is missing/],
    [[ID, '22', '--exec', ' '], /--exec needs a command/],
    [['connect', ID, '22', '23', '--', 'ls'], /too many arguments: "23" comes after/],
    [['connect', ID, '--', 'ls'], /nothing to forward/],
    [[ID, '-W', 'localhost:22', '--', 'ls'], /-W cannot be combined with --exec/],
    [['connect', '-', '22', '--', 'cat'], /the program needs standard input.*--ticket-file FILE/],
    [[ID, '22', '--wait', '0'], /--wait "0" is not a number of seconds from 1 to 86400/],
    [[ID, '22', '--wait', 'x'], /--wait "x" is not a number/],
    [['status', 'now'], /status takes no arguments, so "now" is too much; .*status --help\n?$/],
    [['status', '--ephemeral'], /has no option --ephemeral/],
    [['forward', 'kill'], /forward has no action "kill".*give list, add or remove/],
    [['forward', 'list', '-L', '1:h:1'], /forward list takes no forwards/],
    [['forward', 'add'], /forward add needs a forward: -L 8080/],
    [['forward', 'add', '-L', '8080'], /-L "8080": a forward has/],
    [['forward', 'add', '-R', '/run/a.sock:h:80'], /at ports only/],
    [['forward', 'add', '-D', 'x'], /the port must be/],
    [['forward', 'rm', '-L', 'x'], /-L "x": a forward has/],
    [['forward', 'rm', '-D', '1080', '--socks-user', 'joe'], /only for forward add/],
    [['forward', 'list', '--pid', 'x'], /--pid "x" is not a process ID/],
    [['connect', ID, '22', '--pid', '1'], /has no option --pid/],
  ];
  for (const [args, why] of bad) {
    test(args.map((arg) => arg.replace(ID, 'TOX_ID').replace(TICKET, 'TICKET')).join(' '), async () => {
      const bench = new CliBench();
      assert.equal(await bench.run(...args), 2);
      assert.deepEqual(bench.calls, []);
      assert.equal(bench.stdout.text, '');
      assert.equal(bench.stderr.lines.length, 1, bench.stderr.text);
      assert.match(bench.stderr.text, /^tox-wasm-tunnel: /);
      assert.match(bench.stderr.text, why);

      const json = new CliBench();
      assert.equal(await json.run('--json', ...args), 2);
      // With -W or a program, stdout carries other bytes.
      const isForeign = ['-W', '--exec', '--'].some((word) => args.includes(word));
      const told = isForeign ? json.stderr : json.stdout;
      const other = isForeign ? json.stdout : json.stderr;
      // -v prints for people too.
      if (!args.includes('-v')) assert.equal(other.text, '');
      const [event, ...more] = told.events;
      assert.ok(event !== undefined && more.length === 0);
      assert.equal(event.event, 'error');
      assert.match(String(event.code), /^ERR_[A-Z_]+$/);
      assert.match(String(event.message), why);
    });
  }

  test('-vv shows where an error comes from', async () => {
    const bench = new CliBench();
    assert.equal(await bench.run('listen', '-vv', '--bootstrap', 'x'), 2);
    assert.match(bench.stderr.text, /\n {4}at /);
  });
});

describe('the effect of the options', () => {
  const start = async (...args: string[]) => {
    const bench = new CliBench();
    const { ended } = await bench.start(/Listening|Forwarding|Bootstrap node/, '--ephemeral', ...args);
    bench.signal();
    assert.equal(await ended, 0);
    const [call] = bench.calls;
    assert.ok(call);
    return { ...call, bench };
  };

  test('without options, uses the public nodes and sets nothing else', async () => {
    const { what, options } = await start();
    assert.equal(what, 'listen');
    assert.ok((options.bootstrap?.length ?? 0) >= 15);
    assert.deepEqual(Object.keys(options).sort(), [
      ...['access', 'allowPeers', 'allowReverse', 'bootstrap', 'denyPeers', 'expose', 'logger', 'signal'],
    ]);
    assert.deepEqual([options.expose, options.allowPeers, options.denyPeers], ['loopback', [], []]);
  });

  test('each limit has its option', async () => {
    const { options } = await start(
      ...['--max-peers', '3', '--max-streams', '9', '--max-opens-per-second', '7', '--max-dials', '2'],
      ...['--max-reverse-ports', '0', '--udp-idle', '600'],
      ...['--max-stream-buffer', '512K', '--max-peer-buffer', '2m', '--handshake-timeout', '5'],
      ...['--idle-timeout', '0', '--max-control-frames', '1000'],
    );
    assert.deepEqual(options.limits, {
      maxPeers: 3,
      maxStreams: 9,
      maxOpensPerSecond: 7,
      maxDials: 2,
      maxReversePorts: 0,
      maxStreamBufferBytes: 512 * 1024,
      maxPeerBufferBytes: 2 * 1024 * 1024,
      handshakeTimeoutMs: 5_000,
      idleTimeoutMs: 0,
      udpIdleMs: 600_000,
      maxControlFramesPerSecond: 1000,
    });
  });

  test('a connector has limits for the requests of its listener', async () => {
    for (const command of [['connect'], []]) {
      const { what, options } = await start(
        ...[...command, TICKET, '22'],
        ...['--max-streams', '9', '--max-opens-per-second', '7', '--max-dials', '2', '--udp-idle', '7'],
        ...['--max-stream-buffer', '512K', '--max-peer-buffer', '2m', '--max-control-frames', '1000'],
      );
      assert.equal(what, 'connect');
      assert.deepEqual(options.limits, {
        maxStreams: 9,
        maxOpensPerSecond: 7,
        maxDials: 2,
        maxStreamBufferBytes: 512 * 1024,
        maxPeerBufferBytes: 2 * 1024 * 1024,
        maxControlFramesPerSecond: 1000,
        udpIdleMs: 7_000,
      });
    }
  });

  test('named nodes replace the public ones', async () => {
    const file = new URL('../support/nodes.json', import.meta.url).pathname;
    const { options } = await start(
      '--bootstrap',
      NODE,
      'listen',
      '--bootstrap',
      NODE.replace('.1:', '.2:'),
      '--nodes',
      file,
    );
    assert.deepEqual(
      options.bootstrap?.map(({ host, port }) => `${host} ${port}`),
      ['192.0.2.1 33445', '192.0.2.2 33445', '198.51.100.7 443', '2001:db8::7 443'],
    );
  });

  test('a bootstrap node has no public nodes unless they are given', async () => {
    assert.deepEqual((await start('node')).options.bootstrap, []);
    assert.equal((await start('node', '--bootstrap', NODE)).options.bootstrap?.length, 1);
  });

  test('network options reach the library', async () => {
    const { options } = await start('listen', '--bind', '192.0.2.9', '--no-lan', '--udp-port', '4000-4010');
    assert.equal(options.bindAddress, '192.0.2.9');
    assert.equal(options.lanDiscovery, false);
    assert.equal(options.udp, undefined);
    assert.deepEqual(options.udpPorts, { from: 4000, to: 4010 });
    assert.equal((await start('--patience', '90')).options.patienceMs, 90_000);
    const single = await start('--udp-port', '0');
    assert.deepEqual(single.options.udpPorts, { from: 0, to: 0 });
    const relay = await start(ID, '22', '--no-udp');
    assert.equal(relay.options.udp, false);
    assert.equal(relay.options.udpPorts, undefined);
    const node = await start('node', '--port', '5000', '--tcp-port', '0');
    assert.deepEqual([node.options.port, node.options.tcpPort], [5000, 0]);
    assert.deepEqual(Object.keys((await start('node')).options).sort(), ['bootstrap', 'logger', 'signal']);
  });

  test('an option may come before the command, and repeated ones add up', async () => {
    const { bench } = await start('-v', 'listen', '-vv', '--expose', '22');
    const [call] = bench.calls;
    bench.stderr.text = '';
    call?.options.logger?.log('trace', 'a trace');
    assert.equal(bench.stderr.text, 'trace: a trace\n');
  });

  test('the short form equals connect', async () => {
    for (const words of [
      [ID.toLowerCase(), '22'],
      ['connect', ID, '22'],
    ]) {
      const { what, options, bench } = await start(...words);
      assert.equal(what, 'connect');
      assert.equal(
        Buffer.from((options.remote as { bytes: Uint8Array }).bytes).toString('hex'),
        ID.toLowerCase(),
      );
      assert.deepEqual(bench.tunnel.forwards.map(printForwardSpec), ['22:localhost:22']);
    }
  });
});

const HELP = await helpTexts();

describe('help', () => {
  test('the overview names every command and fits on one screen', () => {
    const lines = HELP['--help']?.trimEnd().split('\n') ?? [];
    assert.ok(lines.length <= 28, String(lines.length));
    for (const line of lines) assert.ok(line.length <= 80, line);
    for (const asked of Object.keys(HELP)) {
      const [name = ''] = asked.split(' ');
      if (name !== '--help')
        assert.ok(
          lines.some((line) => line.slice(9).startsWith(`${name} `)),
          name,
        );
    }
  });

  test('every command prints its help on stdout and exits with 0', async () => {
    for (const command of [
      ['listen'],
      ['connect'],
      ['node'],
      ['id'],
      ['ticket'],
      ['peers'],
      ['rule'],
      ['status'],
      ['forward'],
    ]) {
      for (const flag of ['--help', '-h']) {
        const bench = new CliBench();
        assert.equal(await bench.run(...command, flag), 0);
        assert.match(bench.stdout.text, /Usage: tox-wasm-tunnel/);
        assert.match(bench.stdout.text, /Examples:/);
        assert.equal(bench.stderr.text, '');
      }
    }
  });

  test('-h after other letters shows the same help', async () => {
    const outputs = await Promise.all(
      [['--help'], ['-vh'], ['-vqh']].map(async (args) => {
        const bench = new CliBench();
        assert.equal(await bench.run(...args), 0);
        return bench.stdout.text;
      }),
    );
    assert.match(outputs[0] ?? '', /^ *Tunnels +listen /m);
    assert.equal(new Set(outputs).size, 1);
  });

  test('no line is longer than 100 columns, and options stay within 80', async () => {
    for (const [asked, text] of Object.entries(HELP)) {
      const [options = '', examples = ''] = text.split('\nExamples:');
      for (const [part, columns] of [
        [options, 80],
        [examples, 100],
      ] as const)
        for (const line of part.split('\n')) {
          const isUsage = line.startsWith('Usage:');
          assert.ok(line.length <= (isUsage ? 100 : columns), `${asked}: ${line.length} columns: ${line}`);
        }
    }
  });

  test('--version prints the version of package.json', async () => {
    const bench = new CliBench();
    assert.equal(await bench.run('--version'), 0);
    const manifest: unknown = JSON.parse(
      await readFile(new URL('../../package.json', import.meta.url), 'utf8'),
    );
    assert.ok(typeof manifest === 'object' && manifest !== null && 'version' in manifest);
    assert.equal(bench.stdout.text, `${manifest.version}\n`);
  });

  const folder = new TempFolder();
  after(() => folder.remove());
  const ticketFile = folder.file('ticket');
  writeFileSync(ticketFile, `> ${TICKET.slice(0, 70)}\n> ${TICKET.slice(70)}\n`);

  /** Commands that the test runs until they print something; for the others it only parses the arguments. */
  const RUN = new Set([
    '',
    'listen',
    'connect',
    'ping',
    'doctor',
    'node',
    'peers',
    'rule',
    TICKET,
    '--expose',
  ]);
  const examples = Object.values(HELP)
    .flatMap((text) => text.split('\n'))
    .flatMap((line) => /^ {2}\$ tox-wasm-tunnel((?: \S+)*)/.exec(line)?.[1] ?? []);
  test('there are examples', () => assert.ok(examples.length >= 15, String(examples.length)));
  for (const example of examples) {
    const words = example
      .replace(/ [|<>].*/, '')
      .replace('TICKET', TICKET)
      .split(' ')
      .filter(Boolean)
      .map((word) => (word === 'FILE' ? ticketFile : word));
    test(`the example ${JSON.stringify(example.trim())} is valid`, async () => {
      const bench = new CliBench();
      bench.stdin = Readable.from([Buffer.from(TICKET)]);
      if (!RUN.has(words[0] ?? '')) {
        let calls = 0;
        const program = await buildProgram({
          args: words,
          onCall: async () => {
            calls++;
          },
        });
        await program.parseAsync(words, { from: 'user' });
        return assert.equal(calls, 1);
      }
      if (words[0] !== undefined && ['peers', 'rule', 'status', 'forward'].includes(words[0])) {
        assert.equal(await bench.run(...words), 1);
        const who = { status: 'nothing', forward: 'no connector' }[words[0]] ?? 'no listener';
        assert.match(
          bench.stdout.text + bench.stderr.text,
          new RegExp(`${who} is running with the state folder`),
        );
        return;
      }
      const { ended } = await bench.start(
        /Listening|Forwarding|Bootstrap node|Looking |"event":"started"/,
        ...(words[0] === 'doctor' ? [] : ['--ephemeral']),
        ...words,
      );
      bench.signal();
      // Stopping before the program ran is a failure.
      const isProgram = words.includes('--exec') || words.includes('--');
      assert.equal(await ended, isProgram ? 130 : 0);
    });
  }
});
