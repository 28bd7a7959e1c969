/** Interoperability with native toxcore: one network for both implementations. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { createIdentity, publicKeyOf } from '../../src/state/identity.js';
import { CliProcess } from '../support/cli_process.js';
import { LineProcess } from '../support/line_process.js';
import { dialLoopback, freePort } from '../support/loopback.js';
import { buildNativeClient, ToxBootstrapd } from '../support/native_toxcore.js';
import { LOOPBACK, localsOf } from '../support/private_network.js';
import { CC, NATIVE_TOXCORE, skipWithout, TOX_BOOTSTRAPD } from '../support/programs.js';
import { readToEnd } from '../support/socket_bytes.js';
import { Target } from '../support/target.js';
import { TempFolder } from '../support/temp_folder.js';

/** The hello of docs/reference/protocol.md, section 7: versions 2 to 2, frames of 1344 bytes, no features. */
const HELLO = `b70100020002${'c0'.repeat(16)}054000000000`;
/** The start of the welcome that answers it: version 2, and the connector's session UUID repeated. */
const WELCOME = new RegExp(`^lossless B7020002${'C0'.repeat(16)}`);

describe('Debian tox-bootstrapd', { skip: skipWithout(TOX_BOOTSTRAPD) }, () => {
  const folder = new TempFolder();
  const processes: CliProcess[] = [];
  let bootstrapd: ToxBootstrapd;
  let echo: Target;

  before(async () => {
    [bootstrapd, echo] = await Promise.all([ToxBootstrapd.start(folder), Target.echo()]);
  });

  after(async () => {
    await Promise.all(processes.map((process) => process.stop()));
    await Promise.all([bootstrapd.stop(), echo.stop()]);
    folder.remove();
  });

  function start(...args: readonly string[]): CliProcess {
    const common = ['--ephemeral', '--bootstrap', bootstrapd.bootstrap, ...LOOPBACK];
    const process = CliProcess.start([...args, ...common]);
    processes.push(process);
    return process;
  }

  for (const [way, path, ...flags] of [
    ['over UDP', 'udp'],
    ['through its TCP relay alone', 'relay', '--no-udp'],
  ] as const) {
    test(`a tunnel joins the network through it, ${way}`, { timeout: 150_000 }, async () => {
      const listener = start('listen', '--expose', String(echo.port), ...flags);
      const { ticket } = await listener.event('ready');
      const connector = start('connect', String(ticket), '-L', `0:127.0.0.1:${echo.port}`, ...flags);
      await connector.event('peer', (event) => event['status'] === 'online' && event['path'] === path);

      const socket = dialLoopback((await localsOf(connector))[0]?.port ?? 0);
      socket.end(`hello ${way}`);

      assert.equal((await readToEnd(socket)).toString(), `hello ${way}`);
    });
  }
});

/** The native clients, which the listener admits by their keys. */
const IDENTITIES = { udp: createIdentity(), tcp: createIdentity() };

describe('a native toxcore client', { skip: skipWithout(CC, NATIVE_TOXCORE) }, () => {
  const folder = new TempFolder();
  const clients: LineProcess[] = [];
  let program: string;
  let node: CliProcess;
  let listener: CliProcess;
  let toxId: string;
  let nodeArgs: readonly string[];

  before(async () => {
    program = await buildNativeClient(folder);
    const port = await freePort(); // clients look for the relay at the port in the node's line
    const args = ['node', '--port', String(port), '--tcp-port', String(port), '--ephemeral', ...LOOPBACK];
    node = CliProcess.start(args);
    const bootstrap = String((await node.event('node'))['bootstrap']);
    nodeArgs = bootstrap.split(':');
    const allowed = Object.values(IDENTITIES).flatMap(({ secretKey }) => [
      '--allow-peer',
      Buffer.from(publicKeyOf(secretKey)).toString('hex'),
    ]);
    const common = ['--ephemeral', '--bootstrap', bootstrap, ...LOOPBACK];
    listener = CliProcess.start(['listen', ...allowed, ...common]);
    toxId = String((await listener.event('ready'))['toxId']);
  });

  after(async () => {
    await Promise.all(clients.map((client) => client.stop()));
    await Promise.all([listener.stop(), node.stop()]);
    folder.remove();
  });

  function client(...args: readonly string[]): LineProcess {
    const started = new LineProcess(program, args);
    clients.push(started);
    return started;
  }

  for (const [way, path] of [
    ['over UDP', 'udp'],
    ['through its TCP relay alone', 'tcp'],
  ] as const) {
    test(`joins the network through our bootstrap node, ${way}`, { timeout: 120_000 }, async () => {
      const started = client(path, ...nodeArgs);
      // Not udp: toxcore reports that only for a node outside the local network.
      await started.line(/^self (tcp|udp)$/);
    });

    test(`becomes a friend of our listener, which allows its key, and is welcomed, ${way}`, {
      timeout: 120_000,
    }, async () => {
      const secretKey = Buffer.from(IDENTITIES[path].secretKey).toString('hex');
      const started = client(path, ...nodeArgs, secretKey, toxId, HELLO);
      await started.line(new RegExp(`^friend ${path}$`));
      await started.line(WELCOME);
    });
  }
});
