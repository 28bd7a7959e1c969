import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  lchownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { connect, createServer, type Socket } from 'node:net';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { after, afterEach, beforeEach, describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import * as v from 'valibot';
import { ControlConnection, callDoor, callListener } from '../../src/control/client.js';
import { liveDoors, pipeDoors, pipeName, socketName } from '../../src/control/doors.js';
import { MAX_QUESTION_BYTES } from '../../src/control/protocol.js';
import {
  CONNECTION_TIMEOUT_MS,
  type ControlMethods,
  ControlServer,
  MAX_CONNECTIONS,
  MAX_KEPT_CONNECTIONS,
  method,
} from '../../src/control/server.js';
import { TunnelError, type TunnelErrorCode } from '../../src/core/errors.js';
import { socketAddress } from '../../src/core/socket_file.js';
import { programWords } from '../support/build.js';
import { TempFolder } from '../support/temp_folder.js';
import { VirtualTimers } from '../support/virtual_timers.js';

const SOCKET_NAME = socketName('listener');
const temp = new TempFolder();
after(() => temp.remove());

const [command, ...words] = programWords(new URL('../support/control_program.ts', import.meta.url));
const running = new Set<ChildProcessByStdio<Writable, Readable, null>>();
const servers = new Set<ControlServer>();
const sockets = new Set<Socket>();
let folder = '';
let count = 0;
let timers = new VirtualTimers();

beforeEach(() => {
  folder = temp.file(`state-${count++}`);
  mkdirSync(folder, { mode: 0o700 });
  timers = new VirtualTimers();
});
afterEach(async () => {
  for (const socket of sockets) socket.destroy();
  for (const server of servers) await server.close();
  for (const child of running) child.kill('SIGKILL');
  for (const set of [sockets, servers, running]) set.clear();
});

function program(...args: string[]) {
  const child = spawn(command, [...words, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  running.add(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) };
}

const METHODS: ControlMethods = {
  echo: (params) => params,
  rule: method(v.object({ text: v.string('expected text') }), ({ text }) => text.toUpperCase()),
  denied: () => {
    throw new TunnelError('ERR_TARGET_DENIED', 'not this one');
  },
  broken: () => {
    throw new Error('secret inside');
  },
};

async function serve(methods: ControlMethods = METHODS): Promise<ControlServer> {
  const server = await ControlServer.start({ folder, methods, timers });
  servers.add(server);
  return server;
}

async function dial(): Promise<Socket> {
  const { path, release } = await socketAddress(folder, SOCKET_NAME);
  const socket = connect(path);
  sockets.add(socket);
  socket.on('error', () => {});
  await once(socket, 'connect');
  await release();
  return socket;
}

/** Everything that arrives until the other end closes. */
async function rest(socket: Socket): Promise<string> {
  let text = '';
  socket.setEncoding('utf8').on('data', (more: string) => {
    text += more;
  });
  if (!socket.closed) await once(socket, 'close');
  return text;
}

const failsWith = (code: TunnelErrorCode, why: RegExp) => (error: unknown) => {
  assert.ok(TunnelError.is(error), String(error));
  assert.equal(error.code, code);
  assert.match(error.message, why);
  return true;
};

describe('the control socket', () => {
  test('answers a question from another process', async () => {
    const server = program('serve', folder);
    assert.equal(await server.line(), 'serving');
    const answer = await program('ask', folder, 'double', '{"number":21}').line();
    assert.deepEqual(JSON.parse(answer), { twice: 42, pid: server.child.pid });
    assert.equal(await program('ask', folder, 'double', '{"number":"x"}').line(), 'ERR_USAGE');
  });

  test('is private to its owner, and no other file of its creation remains', async () => {
    const server = await serve();
    assert.equal(statSync(join(folder, SOCKET_NAME)).mode & 0o777, 0o600);
    assert.deepEqual(readdirSync(folder), [SOCKET_NAME]);
    await server.close();
    assert.deepEqual(readdirSync(folder), []);
  });

  test('takes over the socket of a process that was killed', async () => {
    const dead = program('serve', folder);
    assert.equal(await dead.line(), 'serving');
    dead.child.kill('SIGKILL');
    await once(dead.child, 'exit');
    assert.deepEqual(readdirSync(folder), [SOCKET_NAME]);
    await assert.rejects(callListener(folder, 'echo'), failsWith('ERR_CONTROL', /no listener is running/));
    await serve();
    assert.equal(await callListener(folder, 'echo', 'here'), 'here');
  });

  test('is not blocked by what a crash left half done', async () => {
    mkdirSync(join(folder, `${SOCKET_NAME}.new`));
    writeFileSync(join(folder, `${SOCKET_NAME}.new`, 'x'), '');
    await serve();
    assert.deepEqual(readdirSync(folder), [SOCKET_NAME]);
  });

  test('does not take over a socket that still answers', async () => {
    await serve();
    await assert.rejects(serve(), failsWith('ERR_STATE_BUSY', /answers there/));
    assert.equal(await callListener(folder, 'echo', 1), 1);
  });

  test('refuses a file in its place, and keeps the file', async () => {
    writeFileSync(join(folder, SOCKET_NAME), 'mine');
    await assert.rejects(serve(), failsWith('ERR_STATE_IO', /not a socket/));
    assert.equal(readFileSync(join(folder, SOCKET_NAME), 'utf8'), 'mine');
  });

  test('reports a missing folder', async () => {
    folder = join(folder, 'missing');
    await assert.rejects(serve(), failsWith('ERR_STATE_IO', /ENOENT/));
    await assert.rejects(callListener(folder, 'echo'), failsWith('ERR_CONTROL', /no listener is running/));
  });

  test('serves a state folder whose path is too long for a socket', {
    skip: process.platform === 'linux' ? false : 'needs /proc',
  }, async () => {
    folder = join(folder, 'a'.repeat(120), 'b'.repeat(120));
    await assert.rejects(callListener(folder, 'echo'), failsWith('ERR_CONTROL', /no listener is running/));
    mkdirSync(folder, { recursive: true, mode: 0o700 });
    const server = await serve();
    assert.equal(statSync(join(folder, SOCKET_NAME)).mode & 0o777, 0o600);
    assert.equal(await callListener(folder, 'echo', 'far'), 'far');
    await assert.rejects(serve(), failsWith('ERR_STATE_BUSY', /answers there/));
    await server.close();
    assert.deepEqual(readdirSync(folder), []);
  });
});

describe('control sockets of connectors', () => {
  test('several answer at once next to the listener, each by its process number', async () => {
    await serve();
    const both = [program('serve', folder, 'connector'), program('serve', folder, 'connector')];
    for (const { line } of both) assert.equal(await line(), 'serving');
    const pids = both.map(({ child }) => child.pid ?? 0).sort((a, b) => a - b);
    assert.deepEqual(await liveDoors(folder), ['listener', ...pids]);
    for (const door of pids) {
      assert.equal(statSync(join(folder, socketName(door))).mode & 0o777, 0o600);
      assert.deepEqual(await callDoor({ folder, door }, 'double', { number: 4 }), { twice: 8, pid: door });
    }
  });

  test('the socket of a killed connector does not answer, and the next query or start removes it', async () => {
    for (const look of [liveDoors, startNext]) {
      const dead = program('serve', folder, 'connector');
      await dead.line();
      const pid = dead.child.pid ?? 0;
      dead.child.kill('SIGKILL');
      await once(dead.child, 'close');
      assert.ok(readdirSync(folder).includes(socketName(pid)));
      await assert.rejects(
        callDoor({ folder, door: pid }, 'double'),
        failsWith('ERR_CONTROL', new RegExp(`no connector ${pid} is running`)),
      );
      await look(folder);
      assert.ok(!readdirSync(folder).includes(socketName(pid)));
    }
  });

  async function startNext(): Promise<void> {
    servers.add(await ControlServer.start({ folder, methods: METHODS, timers, door: process.pid }));
  }

  test('the socket of a dead listener stays for the next one, and no other file counts as a socket', async () => {
    const dead = program('serve', folder);
    await dead.line();
    dead.child.kill('SIGKILL');
    await once(dead.child, 'close');
    for (const name of ['connector.sock.07', 'connector.sock.7.new', 'connector.sock.x', 'connector.json'])
      writeFileSync(join(folder, name), '');
    assert.deepEqual(await liveDoors(folder), []);
    assert.equal(readdirSync(folder).length, 5);
    assert.deepEqual(await liveDoors(join(folder, 'none')), []);
  });

  test('on Windows they are found among all named pipes by their folder', () => {
    const names = [pipeName(folder, 12), pipeName(folder, 'listener'), pipeName(temp.path, 13), 'other'];
    assert.equal(new Set(names).size, 4);
    for (const name of names.slice(0, 3)) assert.match(name, /^\\\\\.\\pipe\\[\w.-]+$/);
    assert.deepEqual(
      pipeDoors(
        folder,
        names.map((name) => name.slice(name.lastIndexOf('\\') + 1)),
      ),
      ['listener', 12],
    );
  });
});

describe('a connection that a method keeps open', () => {
  /** `hold` keeps the connection open; the events tell which ones were closed. */
  function keeper() {
    const closed: unknown[] = [];
    const methods: ControlMethods = {
      ...METHODS,
      hold: (name, asker) => {
        asker.keep(() => closed.push(name));
        return name;
      },
    };
    return { closed, methods };
  }
  const open = () => ControlConnection.open({ folder, door: 'listener' }, timers);

  test('outlasts silence and busy times, answers on, and its end is noticed', async () => {
    const { closed, methods } = keeper();
    await serve(methods);
    const kept = await open();
    assert.equal(await kept.ask('hold', 'a'), 'a');
    assert.equal(await kept.ask('hold', 'b'), 'b');
    timers.advance(10 * CONNECTION_TIMEOUT_MS);
    for (let count = 0; count < 2 * MAX_CONNECTIONS; count++) await dial();
    assert.equal(await kept.ask('echo', 'still here'), 'still here');
    assert.deepEqual(closed, []);
    kept.close();
    while (closed.length < 2) await turn();
    assert.deepEqual(closed, ['a', 'b']);
  });

  test('is closed with the server, and both ends notice', async () => {
    const { closed, methods } = keeper();
    const server = await serve(methods);
    const kept = await open();
    await kept.ask('hold', 'a');
    await server.close();
    await kept.closed;
    assert.deepEqual(closed, ['a']);
    await assert.rejects(kept.ask('echo', 'x'), failsWith('ERR_CONTROL', /closed the connection/));
  });

  test('counts against a limit of its own', async () => {
    const { methods } = keeper();
    await serve(methods);
    const kept: ControlConnection[] = [];
    for (let count = 0; count < MAX_KEPT_CONNECTIONS; count++) {
      const one = await open();
      kept.push(one);
      await one.ask('hold', count);
    }
    const more = await open();
    await assert.rejects(more.ask('hold', 'more'), failsWith('ERR_LIMIT', /stop one of them first/));
    assert.equal(await more.ask('echo', 'x'), 'x');
    for (const one of [...kept, more]) one.close();
  });
});

describe('questions', () => {
  test('an error of a method reaches the caller, with its code', async () => {
    await serve();
    await assert.rejects(callListener(folder, 'denied'), failsWith('ERR_TARGET_DENIED', /not this one$/));
  });

  test('an internal fault reveals nothing internal', async () => {
    await serve();
    await assert.rejects(callListener(folder, 'broken'), (error: unknown) => {
      assert.ok(TunnelError.is(error));
      assert.equal(error.code, 'ERR_CONTROL');
      assert.doesNotMatch(error.message, /secret/);
      return true;
    });
  });

  test('parameters are checked before the method runs', async () => {
    await serve();
    assert.equal(await callListener(folder, 'rule', { text: 'a' }), 'A');
    await assert.rejects(
      callListener(folder, 'rule', { text: 7 }),
      failsWith('ERR_USAGE', /"text": expected text/),
    );
    await assert.rejects(callListener(folder, 'rule', 7), failsWith('ERR_USAGE', /the parameters/));
  });

  test('an unknown method is reported, even one that every object has', async () => {
    await serve();
    for (const name of ['nothing', 'toString', '__proto__', 'constructor']) {
      await assert.rejects(callListener(folder, name), failsWith('ERR_CONTROL', /does not know/));
    }
  });

  test('several questions on one connection are answered in order', async () => {
    await serve();
    const socket = await dial();
    const line = (params: number) => `${JSON.stringify({ version: 1, method: 'echo', params })}\n`;
    socket.write(line(1) + line(2).slice(0, 9));
    socket.end(line(2).slice(9) + line(3));
    const answers = (await rest(socket)).trim().split('\n');
    assert.deepEqual(
      answers.map((each) => JSON.parse(each).result),
      [1, 2, 3],
    );
  });
});

describe('hostile questions', () => {
  const NONSENSE = [
    '',
    'null',
    '[]',
    '{',
    '{"version":1}',
    '{"version":1,"method":7}',
    '\u0000\uffff',
    '"peers"',
  ];
  for (const line of NONSENSE) {
    test(`${JSON.stringify(line)} is answered with an error, and the next question is served`, async () => {
      await serve();
      const socket = await dial();
      socket.end(`${line}\n`);
      assert.equal(JSON.parse(await rest(socket)).code, 'ERR_CONTROL');
      assert.equal(await callListener(folder, 'echo', 1), 1);
    });
  }

  test('another protocol version is reported as such', async () => {
    await serve();
    const socket = await dial();
    socket.end('{"version":2,"method":"echo"}\n');
    assert.match(JSON.parse(await rest(socket)).message, /version 2/);
  });

  test('an endless line is cut off at the limit', async () => {
    await serve();
    const socket = await dial();
    const text = rest(socket);
    socket.write('x'.repeat(MAX_QUESTION_BYTES));
    socket.write('x');
    assert.equal(JSON.parse(await text).code, 'ERR_LIMIT');
  });

  test('a connection that asks nothing is closed after a while', async () => {
    await serve();
    const socket = await dial();
    socket.write('{"version":1,');
    assert.equal(await callListener(folder, 'echo', 1), 1);
    const closed = once(socket, 'close');
    socket.resume();
    timers.advance(CONNECTION_TIMEOUT_MS);
    await closed;
  });

  test('silent connections make room for a question, the longest silent first', async () => {
    await serve();
    const silent: Socket[] = [];
    for (let each = 0; each < MAX_CONNECTIONS; each++) silent.push(await dial());
    const [first, ...others] = silent;
    assert.ok(first);
    const closed = once(first, 'close');
    first.resume();
    assert.equal(await callListener(folder, 'echo', 2), 2);
    await closed;
    assert.ok(others.every((socket) => !socket.closed));
  });

  test('when all wait for an answer, one more is asked to try again, and one that does not read that delays no end', async () => {
    const asked = new Set<() => void>();
    const server = await serve({
      ...METHODS,
      slow: () => new Promise<void>((resolve) => asked.add(resolve)),
    });
    const waiting: Promise<unknown>[] = [];
    for (let each = 0; each < MAX_CONNECTIONS; each++) {
      const socket = await dial();
      waiting.push(once(socket, 'data'));
      socket.write('{"version":1,"method":"slow","params":1}\n');
    }
    while (asked.size < MAX_CONNECTIONS) await new Promise(setImmediate);
    await assert.rejects(callListener(folder, 'echo'), failsWith('ERR_LIMIT', /try again/));
    await dial();
    for (const answer of asked) answer();
    await Promise.all(waiting);
    assert.equal(await callListener(folder, 'echo', 2), 2);
    // The clock of the server stands still, so no deadline helps.
    await server.close();
  });
});

test('a process is not asked through the folder or the socket of another user, who could answer in its place', {
  skip: process.getuid?.() !== 0 && 'only root can give files away',
}, async () => {
  let asked = 0;
  const server = createServer(() => asked++);
  await once(server.listen(join(folder, SOCKET_NAME)), 'listening');
  const isForeign = failsWith('ERR_STATE_INVALID', /belongs to another user \(uid 12345/);
  lchownSync(join(folder, SOCKET_NAME), 12_345, 12_345);
  await assert.rejects(callListener(folder, 'status'), isForeign);
  lchownSync(join(folder, SOCKET_NAME), 0, 0);
  chownSync(folder, 12_345, 12_345);
  // Where only root can enter, it would be the folder of a system service.
  chmodSync(dirname(folder), 0o755);
  await assert.rejects(callListener(folder, 'status'), isForeign);
  assert.equal(asked, 0);
  server.close();
});
