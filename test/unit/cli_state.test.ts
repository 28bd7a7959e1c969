import assert from 'node:assert/strict';
import { chmod, chown, readFile, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createIdentity, toxIdOf } from '../../src/state/identity.js';
import { openIdentity, readIdentity } from '../../src/state/identity_file.js';
import { writeSealedState } from '../support/cheap_state.js';
import { CliBench } from '../support/cli_bench.js';
import { TempFolder } from '../support/temp_folder.js';

const SECRET = 'opensesame';

let temp: TempFolder;
let folder = '';
let bench: CliBench;
beforeEach(() => {
  temp = new TempFolder();
  folder = temp.file('state');
  bench = benchHere();
});
afterEach(() => temp.remove());

const benchHere = (): CliBench => new CliBench(folder);

const stored = (passphrase?: string) =>
  readIdentity({
    folder,
    role: 'listener',
    passphrase: passphrase === undefined ? undefined : Buffer.from(passphrase),
  });

async function passphraseFile(text: string | Uint8Array = `${SECRET}\n`): Promise<string> {
  const file = temp.file('passphrase');
  await writeFile(file, text, { mode: 0o600 });
  return file;
}

/** An identity that an earlier run sealed with {@link SECRET}, at the lowest cost of a key. */
async function sealedIdentity() {
  const identity = createIdentity();
  const access = { tickets: [], peers: [], denied: [] };
  await writeSealedState(folder, 'listener', Buffer.from(SECRET), { identity, access });
  return identity;
}

async function plainIdentity() {
  const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail' });
  const identity = createIdentity();
  await opened.save(identity, {
    tickets: [],
    peers: [{ name: 'kept', publicKey: 'AB'.repeat(32) }],
    denied: [],
  });
  await opened.release();
  return identity;
}

describe('passphrase of the command line', () => {
  test('comes from a file, without its line end; the next start needs it', async () => {
    const file = await passphraseFile(`${SECRET}\r\n`);
    const { ended } = await bench.start(/Ctrl-C/, '--passphrase-file', file);
    bench.signal();
    assert.equal(await ended, 0);
    assert.deepEqual(await stored(SECRET), bench.tunnel.identity);
    const second = benchHere();
    assert.equal(await second.run('listen', '--json'), 2);
    assert.equal(second.stdout.events[0]?.code, 'ERR_STATE_SEALED');
    assert.match(String(second.stdout.events[0].message), /PASSPHRASE, or choose another folder/);
    assert.deepEqual(second.calls, [], 'it does not start with another identity');
  });

  test('comes from the environment, and is removed from there', async () => {
    bench.env.set('TOX_WASM_TUNNEL_PASSPHRASE', SECRET);
    assert.equal(await bench.run('id'), 0);
    assert.equal(bench.env.size, 0);
    assert.ok(await stored(SECRET));
  });

  test('--passphrase-file overrides the environment', async () => {
    const identity = await sealedIdentity();
    bench.env.set('TOX_WASM_TUNNEL_PASSPHRASE', 'another');
    assert.equal(await bench.run('id', '--passphrase-file', await passphraseFile()), 0);
    assert.equal(bench.stdout.text, `${toxIdOf(identity)}\n`);
  });

  test('a wrong passphrase gives a one-line error without it', async () => {
    await sealedIdentity();
    const wrong = benchHere();
    wrong.env.set('TOX_WASM_TUNNEL_PASSPHRASE', 'closesesame');
    assert.equal(await wrong.run('id', '-vv'), 2);
    assert.match(wrong.stderr.lines[0] ?? '', /^tox-wasm-tunnel: .*listener\.json: the passphrase is wrong/);
    assert.ok(!wrong.stderr.text.includes('closesesame'));
  });

  test('with a passphrase a plain identity is refused, and id --new-passphrase-file accepts it', async () => {
    const identity = await plainIdentity();
    const file = await passphraseFile();
    for (const command of [
      ['listen', '--quiet'],
      ['id'],
      ['ticket'],
      ['id', '--export', temp.file('out.json')],
    ]) {
      const refused = benchHere();
      assert.equal(await refused.run(...command, '--passphrase-file', file), 2);
      assert.match(
        refused.stderr.text,
        /listener\.json: it is not encrypted although a passphrase is set, .*id --new-passphrase-file FILE/,
      );
      assert.deepEqual(refused.calls, []);
      assert.deepEqual(await stored(), identity, 'left unchanged');
    }
    assert.equal(await bench.run('id', '--passphrase-file', file, '--new-passphrase-file', file), 0);
    assert.deepEqual(await stored(SECRET), identity);
    await assert.rejects(stored());
  });

  test('a secret file that every user can read is told once, also with --quiet', async () => {
    await sealedIdentity();
    const file = await passphraseFile();
    for (const [mode, isTold] of [
      [0o600, false],
      [0o640, false],
      [0o644, true],
      [0o604, true],
      [0o602, true],
    ] as const) {
      await chmod(file, mode);
      const started = benchHere();
      assert.equal(await started.run('id', '--passphrase-file', file, '--quiet'), 0);
      const octal = `0${mode.toString(8)}`;
      const told = `tox-wasm-tunnel: warning: every user of this machine can use ${file}, which holds a secret (mode ${octal}); run: chmod 600 ${file}\n`;
      assert.equal(started.stderr.text, isTold ? told : '');
    }
    bench.platform = 'win32';
    assert.equal(await bench.run('id', '--passphrase-file', file), 0);
    assert.doesNotMatch(bench.stderr.text, /warning/);
  });

  const refusals: ReadonlyArray<readonly [string, string | undefined, readonly string[], RegExp]> = [
    ['an empty file', '\n', [], /passphrase: the passphrase is empty/],
    ['a file too long', 'x'.repeat(5000), [], /more than 4096 bytes/],
    ['a file that is not there', undefined, [], /: cannot be read: there is no such file or folder/],
    ['one for an identity that is not kept', SECRET, ['--ephemeral'], /--passphrase-file and --ephemeral/],
  ];
  for (const [name, text, args, why] of refusals) {
    test(`${name} is rejected before anything starts`, async () => {
      const file = text === undefined ? temp.file('nothing') : await passphraseFile(text);
      assert.equal(await bench.run(...args, '--passphrase-file', file), 2);
      assert.match(bench.stderr.text, why);
      assert.deepEqual(bench.calls, []);
    });
  }
});

describe('id --export and --import', () => {
  test('an identity moves to another folder through a file, with its tickets', async () => {
    const identity = await plainIdentity();
    const out = temp.file('backup.json');
    assert.equal(await bench.run('id', '--export', out), 0);
    assert.match(
      bench.stderr.text,
      /Exported to .*backup\.json, NOT encrypted: keep it as safe as a password/,
    );
    assert.equal(bench.stdout.text, `${toxIdOf(identity)}\n`);
    folder = temp.file('elsewhere');
    const there = benchHere();
    assert.equal(await there.run('id', '--import', out), 0);
    assert.equal(there.stdout.text, bench.stdout.text);
    assert.deepEqual(await stored(), identity);
  });

  test('an identity moves through pipes, encrypted on the way', async () => {
    const identity = await sealedIdentity();
    bench.env.set('TOX_WASM_TUNNEL_PASSPHRASE', SECRET);
    assert.equal(await bench.run('id', '--export', '-'), 0);
    assert.equal(bench.stderr.text, '');
    assert.match(bench.stdout.text, /"encrypted"/);
    folder = temp.file('elsewhere');
    const there = benchHere();
    there.stdin = Readable.from([Buffer.from(bench.stdout.text)]);
    there.env.set('TOX_WASM_TUNNEL_PASSPHRASE', SECRET);
    assert.equal(await there.run('id', '--import', '-'), 0);
    assert.deepEqual(await stored(SECRET), identity);
  });

  test('an import overwrites nothing; --replace prints where the old identity is', async () => {
    const mine = await plainIdentity();
    const out = temp.file('backup.json');
    await bench.run('id', '--export', out);
    assert.equal(await benchHere().run('id', '--import', out), 2);
    const replacing = benchHere();
    assert.equal(await replacing.run('id', '--import', out, '--replace'), 0);
    assert.match(replacing.stderr.text, /The previous identity is in .*listener\.json\.old\.1/);
    assert.deepEqual(await stored(), mine);
  });

  test('an export does not overwrite a file', async () => {
    await plainIdentity();
    const out = temp.file('backup.json');
    await writeFile(out, 'precious');
    assert.equal(await bench.run('id', '--export', out), 1);
    assert.match(bench.stderr.text, /backup\.json: it exists already and was left unchanged/);
    assert.equal(await readFile(out, 'utf8'), 'precious');
  });

  const wrong: ReadonlyArray<readonly [readonly string[], RegExp]> = [
    [['--export', 'a', '--import', 'b'], /--export and --import cannot be combined/],
    [['--replace'], /--replace needs --import/],
    [['--export', '-', '--json'], /--json prints no secrets/],
    [['--export', '-'], /there is no identity to export/],
    [['--import', '/nowhere/at/all'], /: cannot be read: there is no such file or folder/],
  ];
  for (const [args, why] of wrong) {
    test(`id ${args.join(' ')} is rejected`, async () => {
      assert.equal(await bench.run('id', ...args), 2);
      assert.match(bench.stderr.text + bench.stdout.text, why);
      await assert.rejects(chmod(folder, 0o700), { code: 'ENOENT' }, 'no folder was created');
    });
  }
});

describe('the state of another user', { skip: process.geteuid?.() === 0 ? false : 'needs root' }, () => {
  const NOBODY = 65534;

  test('is refused: its owner may know the ticket in it', async () => {
    await plainIdentity();
    await chown(folder, NOBODY, NOBODY);
    // Its parent is open: with a closed one of root, as systemd has, it would be a service's.
    await chmod(dirname(folder), 0o755);
    for (const args of [['id'], ['ticket'], ['listen', '--expose', '22'], ['list'], ['nodes']]) {
      const here = benchHere();
      const code = await here.run(...args, '--state', folder);
      if (args[0] !== 'nodes') assert.equal(code, 2, args.join(' '));
      assert.match(
        here.stderr.text,
        /belongs to another user \(uid 65534, .*sudo -H.*--state DIR.*chown -R 0 /,
        args.join(' '),
      );
      assert.deepEqual(here.calls, []);
    }
    assert.equal((await stat(folder)).uid, NOBODY);
  });

  test('is refused as a file in our own folder', async () => {
    await plainIdentity();
    const file = join(folder, 'listener.json');
    await chown(file, NOBODY, NOBODY);
    assert.equal(await bench.run('ticket', '--state', folder), 2);
    assert.match(bench.stderr.text, /listener\.json: it belongs to another user/);
    await chown(file, 0, 0);
    await chown(folder, 0, 0);
    assert.equal(await benchHere().run('ticket', '--state', folder), 0);
  });

  test('is used when it is the folder of a service, which only root can reach', async () => {
    await plainIdentity();
    await chown(folder, NOBODY, NOBODY);
    await chown(join(folder, 'listener.json'), NOBODY, NOBODY);
    await chmod(dirname(folder), 0o700);
    assert.equal(await bench.run('id', '--state', folder), 0, bench.stderr.text);
  });
});

test('a folder into which others may put files is closed before its files are read', async () => {
  await plainIdentity();
  await chmod(folder, 0o777);
  assert.equal(await bench.run('id', '--state', folder), 0);
  assert.equal((await stat(folder)).mode & 0o777, 0o700);
  await writeFile(join(folder, 'notes'), '');
  await chmod(folder, 0o777);
  assert.equal(await benchHere().run('id', '--state', folder), 2);
});
