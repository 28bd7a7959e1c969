import assert from 'node:assert/strict';
import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createIdentity } from '../../src/state/identity.js';
import type { Role } from '../../src/state/identity_file.js';
import { openIdentity, readIdentity } from '../../src/state/identity_file.js';
import { claim, takeRoleLock } from '../../src/state/role_lock.js';
import { programWords } from '../support/build.js';
import { failsWith } from '../support/fails_with.js';
import { oldState } from '../support/old_state.js';

const posix = process.platform !== 'win32';
const root = posix && process.getuid?.() === 0;

let folder = '';
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'identity-')), 'state');
});
afterEach(async () => {
  for (const child of running) child.kill('SIGKILL');
  running.clear();
  await rm(join(folder, '..'), { recursive: true, force: true });
});

type Child = ChildProcessByStdio<Writable, Readable, null>;
const running = new Set<Child>();

/** A process as described in support/identity_program.ts, and the lines that it prints. */
function program(what: string, role: Role): { child: Child; line(): Promise<string> } {
  const [command, ...words] = programWords(new URL('../support/identity_program.ts', import.meta.url));
  const child = spawn(command, [...words, what, folder, role], {
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  running.add(child);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  return { child, line: async () => String((await lines.next()).value) };
}

async function killed(child: Child): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}

async function ended(child: Child): Promise<void> {
  const gone = once(child, 'exit');
  child.stdin.end();
  await gone;
}

const open = (role: Role = 'listener', onBusy: 'fail' | 'ephemeral' = 'fail') =>
  openIdentity({ folder, role, onBusy });

describe('identity file', () => {
  test('the first start has no identity; the next start finds the saved one', async () => {
    const first = await open();
    assert.equal(first.identity, undefined);
    assert.equal(first.ephemeral, false);
    const identity = createIdentity();
    await first.save(identity);
    await first.release();
    await first.release();
    const second = await open();
    assert.deepEqual(second.identity, identity);
    assert.deepEqual(await readIdentity({ folder, role: 'listener' }), identity);
    await second.release();
  });

  test('the folder and every file in it are private to their owner', { skip: !posix }, async () => {
    const opened = await open();
    await opened.save(createIdentity());
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    for (const name of await readdir(folder)) {
      assert.equal((await stat(join(folder, name))).mode & 0o777, 0o600, name);
    }
    await opened.release();
  });

  test('a start without a save leaves no identity behind', async () => {
    await (await open()).release();
    assert.equal(await readIdentity({ folder, role: 'listener' }), undefined);
    assert.deepEqual(
      (await readdir(folder)).filter((name) => name.endsWith('.json')),
      [],
    );
  });

  test('reading from a missing folder finds nothing and creates nothing', async () => {
    assert.equal(await readIdentity({ folder, role: 'listener' }), undefined);
    await assert.rejects(stat(folder));
  });

  test('each role has its own identity, and the roles run side by side', async () => {
    const roles: readonly Role[] = ['listener', 'connector', 'node'];
    const opened = [];
    for (const role of roles) {
      const each = await open(role);
      await each.save({
        secretKey: createIdentity().secretKey,
        nospam: Uint8Array.of(1, 2, 3, roles.indexOf(role)),
      });
      opened.push(each);
    }
    for (const [at, role] of roles.entries()) {
      assert.equal((await readIdentity({ folder, role }))?.nospam[3], at);
    }
    for (const each of opened) await each.release();
  });

  test('the saved file is the documented JSON', async () => {
    const opened = await open('node');
    const secretKey = Uint8Array.from(
      Buffer.from('5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb', 'hex'),
    );
    await opened.save({ secretKey, nospam: Uint8Array.of(0, 0, 0, 0xff) });
    await opened.release();
    assert.deepEqual(JSON.parse(await readFile(join(folder, 'node.json'), 'utf8')), {
      version: 2,
      kind: 'tox-wasm-tunnel identity',
      role: 'node',
      secretKey: '5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb',
      publicKey: 'de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f',
      nospam: '000000ff',
    });
  });

  test('an identity of the wrong size is not saved', async () => {
    const opened = await open();
    await assert.rejects(
      opened.save({ secretKey: new Uint8Array(31), nospam: new Uint8Array(4) }),
      RangeError,
    );
    await assert.rejects(
      opened.save({ secretKey: new Uint8Array(32), nospam: new Uint8Array(3) }),
      RangeError,
    );
    assert.equal(await readIdentity({ folder, role: 'listener' }), undefined);
    await opened.release();
    await assert.rejects(opened.save(createIdentity()), failsWith('ERR_CLOSED', /listener was released/));
  });

  const { secretKey } = createIdentity();
  const good = oldState(secretKey);
  const text = (changes: object): string => JSON.stringify({ ...good, ...changes });
  const bad: ReadonlyArray<readonly [name: string, text: string, why: RegExp]> = [
    ['an empty file', '', /listener\.json: it is empty/],
    ['a blank file', ' \n', /it is empty/],
    ['a truncated file', JSON.stringify(good).slice(0, 80), /it is not JSON/],
    ['other JSON', '{"name":"x"}', /not a tox-wasm-tunnel identity/],
    ['a list', '[]', /not a tox-wasm-tunnel identity/],
    ['a file of another program', text({ kind: 'tox save' }), /not a tox-wasm-tunnel identity/],
    [
      'a file of a later version',
      text({ version: 3 }),
      /it has version 3, but this program reads version 2 and older ones/,
    ],
    ['a file of another role', text({ role: 'node' }), /identity of a "node", not of a listener/],
    ['a file without a secret key', text({ secretKey: undefined }), /"secretKey" is wrong: it is missing/],
    ['a file with a short secret key', text({ secretKey: '00' }), /"secretKey" is wrong: expected 64 hex/],
    [
      'a file with a key that is not hexadecimal',
      text({ secretKey: 'x'.repeat(64) }),
      /"secretKey" is wrong: expected 64 hex/,
    ],
    ['a file with a key that is not text', text({ secretKey: 5 }), /"secretKey" is wrong: expected hex/],
    ['a file with a long nospam', text({ nospam: '0102030405' }), /"nospam" is wrong: expected 8 hex/],
    ['a file with a different secret key', text({ secretKey: oldState().secretKey }), /do not match/],
    [
      'a file that is far too large',
      text({ padding: 'x'.repeat(1024 * 1024) }),
      /more than the \d+ that we read/,
    ],
  ];
  for (const [name, contents, why] of bad) {
    test(`${name} is refused with a remedy, and left unchanged`, async () => {
      await mkdir(folder, { mode: 0o700 });
      const file = join(folder, 'listener.json');
      await writeFile(file, contents, { mode: 0o600 });
      for (let round = 0; round < 2; round++) {
        await assert.rejects(open(), failsWith('ERR_STATE_INVALID', why));
        await assert.rejects(open(), failsWith('ERR_STATE_INVALID', /move it away .*--state DIR/));
      }
      assert.equal(await readFile(file, 'utf8'), contents);
    });
  }

  test('every prefix of a valid file is refused', async () => {
    await mkdir(folder, { mode: 0o700 });
    const file = join(folder, 'listener.json');
    await writeFile(file, text({}), { mode: 0o600 });
    assert.deepEqual((await readIdentity({ folder, role: 'listener' }))?.secretKey, secretKey);
    for (let length = 0; length < text({}).length; length += 7) {
      await writeFile(file, text({}).slice(0, length));
      await assert.rejects(readIdentity({ folder, role: 'listener' }), failsWith('ERR_STATE_INVALID', /./));
    }
  });

  test('a file that others may read is refused with the command that fixes it', {
    skip: !posix,
  }, async () => {
    const opened = await open();
    await opened.save(createIdentity());
    await opened.release();
    for (const mode of [0o644, 0o640, 0o602]) {
      await chmod(join(folder, 'listener.json'), mode);
      await assert.rejects(open(), failsWith('ERR_STATE_INVALID', /chmod 600 .*listener\.json/));
    }
    await chmod(join(folder, 'listener.json'), 0o600);
    await (await open()).release();
  });

  test('a folder that cannot be created is reported', async () => {
    await writeFile(folder, 'a file');
    await assert.rejects(open(), failsWith('ERR_STATE_IO', /state: .*--state DIR/));
    await assert.rejects(readIdentity({ folder, role: 'listener' }), failsWith('ERR_STATE_IO', /state/));
  });

  test('a folder without write permission is reported', { skip: !posix || root }, async () => {
    await mkdir(folder, { mode: 0o500 });
    await assert.rejects(open(), failsWith('ERR_STATE_IO', /EACCES/));
  });

  test('leftovers of a rewrite that crashed are harmless', async () => {
    await mkdir(folder, { mode: 0o700 });
    await writeFile(join(folder, 'listener.json.new'), 'half of', { mode: 0o644 });
    const opened = await open();
    assert.equal(opened.identity, undefined);
    await opened.save(createIdentity());
    assert.ok(!(await readdir(folder)).includes('listener.json.new'));
    if (posix) assert.equal((await stat(join(folder, 'listener.json'))).mode & 0o777, 0o600);
    await opened.release();
  });

  test('a reader always finds a complete identity during rewrites', async () => {
    const opened = await open();
    await opened.save(createIdentity());
    let saves = 0;
    const writing = (async () => {
      for (; saves < 40; saves++) await opened.save(createIdentity());
    })();
    while (saves < 40) {
      const reads = Array.from({ length: 4 }, () => readIdentity({ folder, role: 'listener' }));
      for (const identity of await Promise.all(reads)) assert.ok(identity);
    }
    await writing;
    await opened.release();
  });
});

describe('an identity and two processes', () => {
  test('the second process is refused with the number of the first, and admitted once the first has exited', async () => {
    const { child, line } = program('open', 'listener');
    assert.equal(await line(), 'held');
    await assert.rejects(
      open(),
      failsWith('ERR_STATE_BUSY', new RegExp(`process ${child.pid} .*--state DIR`)),
    );
    await ended(child);
    const opened = await open();
    assert.ok(opened.identity);
    await opened.release();
  });

  test('a second connector runs without the identity, and changes nothing', async () => {
    const { child, line } = program('ephemeral', 'connector');
    assert.equal(await line(), 'held');
    const before = await readFile(join(folder, 'connector.json'), 'utf8');
    const opened = await open('connector', 'ephemeral');
    assert.equal(opened.ephemeral, true);
    assert.equal(opened.identity, undefined);
    await opened.save(createIdentity());
    await opened.release();
    assert.equal(await readFile(join(folder, 'connector.json'), 'utf8'), before);
    await assert.rejects(open('connector'), failsWith('ERR_STATE_BUSY', new RegExp(`process ${child.pid} `)));
    await ended(child);
  });

  test('the lock of a dead process is inherited, even when many processes compete for it', {
    timeout: 60_000,
  }, async () => {
    const dead = program('open', 'listener');
    assert.equal(await dead.line(), 'held');
    await killed(dead.child);
    const starters = Array.from({ length: 5 }, () => program('race', 'listener'));
    for (const { line } of starters) assert.equal(await line(), 'ready');
    for (const { child } of starters) child.stdin.write('go\n');
    const answers = await Promise.all(starters.map(({ line }) => line()));
    assert.equal(answers.filter((answer) => answer === 'held').length, 1, answers.join('\n'));
    const winner = starters[answers.indexOf('held')];
    for (const answer of answers.filter((each) => each !== 'held')) {
      assert.match(answer, new RegExp(`process ${winner?.child.pid} `));
    }
  });

  test('one process cannot open it twice, but can open it again after a release', async () => {
    const first = await open();
    await assert.rejects(open(), failsWith('ERR_STATE_BUSY', new RegExp(`process ${process.pid} `)));
    await first.release();
    await (await open()).release();
  });
});

describe('role lock', () => {
  beforeEach(async () => {
    await mkdir(folder, { mode: 0o700 });
  });

  const take = () => takeRoleLock(folder, 'x');
  const write = (number: number, changes: object = {}): Promise<void> =>
    writeFile(
      join(folder, `x.lock.${number}`),
      JSON.stringify({
        state: 'held',
        pid: process.pid,
        host: hostname(),
        started: '',
        token: 'another',
        ...changes,
      }),
    );
  /** The lock files, without the sockets of their holders. */
  const locks = async (): Promise<string[]> =>
    (await readdir(folder)).filter((name) => !name.includes('.beacon.'));
  const held = async (): Promise<string[]> => {
    const answer = await take();
    assert.equal(answer.kind, 'held');
    return locks();
  };

  test('one of many concurrent processes gets the lock, and one file remains', async () => {
    for (let round = 0; round < 20; round++) {
      const answers = await Promise.all(Array.from({ length: 8 }, take));
      const winners = answers.filter((answer) => answer.kind === 'held');
      assert.equal(winners.length, 1);
      assert.deepEqual(await locks(), [`x.lock.${round + 1}`]);
      for (const winner of winners) await winner.lock.release();
    }
  });

  test('a process number of ours that another process had before holds nothing', async () => {
    await write(7);
    assert.deepEqual(await held(), ['x.lock.8']);
  });

  test('a running process that started at another time is not the holder', {
    skip: process.platform !== 'linux',
  }, async () => {
    await write(7, { pid: process.ppid, started: 'another boot/12' });
    assert.deepEqual(await held(), ['x.lock.8']);
  });

  test('a running process that does not report its start time is the holder', async () => {
    await write(7, { pid: process.ppid });
    const answer = await take();
    assert.deepEqual(answer, {
      kind: 'busy',
      holder: { pid: process.ppid, file: join(folder, 'x.lock.7'), isBrief: false },
    });
  });

  test('a holder on another machine cannot be checked, so the user learns which file it is', async () => {
    await write(7, { host: 'elsewhere' });
    const file = join(folder, 'x.lock.7');
    assert.deepEqual(await take(), {
      kind: 'busy',
      holder: { pid: process.pid, file, isBrief: false, host: 'elsewhere' },
    });
    await writeFile(join(folder, 'listener.lock.1'), await readFile(file));
    await assert.rejects(
      open(),
      failsWith('ERR_STATE_BUSY', /on "elsewhere" \(if that machine is gone, delete .*listener\.lock\.1\)/),
    );
  });

  test('a slow process that others have overtaken fails to get the lock and leaves no file', async () => {
    await write(9, { pid: process.ppid });
    const mark = { pid: process.pid, host: hostname(), started: '', token: 'slow' };
    assert.equal(await claim(folder, 'x.lock.', 8, mark), false);
    assert.equal(await claim(folder, 'x.lock.', 9, mark), false);
    assert.deepEqual(await locks(), ['x.lock.9']);
    assert.equal(await claim(folder, 'x.lock.', 10, mark), true);
  });

  test('only the lock file with the highest number counts, and lower ones are removed', async () => {
    await write(3, { pid: process.ppid });
    await write(9);
    await writeFile(join(folder, 'x.lock.3.17.draft'), '');
    await writeFile(join(folder, 'x.lock.y'), '');
    await writeFile(join(folder, 'x.json'), '');
    await writeFile(join(folder, 'xx.lock.1'), '');
    assert.deepEqual((await held()).sort(), ['x.json', 'x.lock.10', 'x.lock.y', 'xx.lock.1']);
  });

  test('a file still being written counts as held, and an old unreadable one as dead', async () => {
    const file = join(folder, 'x.lock.7');
    await writeFile(file, '{"state":"he');
    assert.deepEqual(await take(), { kind: 'busy', holder: { pid: 0, file, isBrief: true } });
    const { utimes } = await import('node:fs/promises');
    await utimes(file, 1, 1);
    assert.deepEqual(await held(), ['x.lock.8']);
  });

  test('a release after the folder has disappeared is not an error', async () => {
    const answer = await take();
    assert.ok(answer.kind === 'held');
    await rm(folder, { recursive: true });
    await answer.lock.release();
  });

  test('a second release does not touch the next holder', async () => {
    const first = await take();
    assert.ok(first.kind === 'held');
    await first.lock.release();
    const second = await take();
    assert.equal(second.kind, 'held');
    await first.lock.release();
    assert.equal((await take()).kind, 'busy');
    assert.deepEqual(await locks(), ['x.lock.2']);
  });
});
