import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createIdentity, publicKeyOf } from '../../src/state/identity.js';
import { openIdentity, readIdentity, readSaved, readState } from '../../src/state/identity_file.js';
import { exportState, importState, writeExport } from '../../src/state/identity_transfer.js';
import { changeNames, readNames } from '../../src/state/names_file.js';
import { changePassphrase } from '../../src/state/passphrase_change.js';
import { PlacesFile } from '../../src/state/places_file.js';
import { readSavedNodes, saveNodes } from '../../src/state/saved_nodes.js';
import { writeSealedState } from '../support/cheap_state.js';
import { failsWith } from '../support/fails_with.js';
import { oldState } from '../support/old_state.js';
import { TempFolder } from '../support/temp_folder.js';

const posix = process.platform !== 'win32';
const passphrase = Buffer.from('correct horse battery staple');
const access = { tickets: [{ name: 'default', secret: 'c2VjcmV0' }] };

let temp: TempFolder;
let folder = '';
let file = '';
beforeEach(() => {
  temp = new TempFolder();
  folder = temp.file('state');
  file = join(folder, 'listener.json');
});
afterEach(() => temp.remove());

const open = (secret?: Uint8Array) =>
  openIdentity({ folder, role: 'listener', onBusy: 'fail', passphrase: secret });
const read = (secret?: Uint8Array) => readState({ folder, role: 'listener', passphrase: secret });

async function saved(secret?: Uint8Array) {
  const identity = createIdentity();
  const opened = await open(secret);
  await opened.save(identity, access);
  await opened.release();
  return identity;
}

/** Like {@link saved} with a passphrase, but at the lowest cost of a key. */
async function savedCheaply() {
  const identity = createIdentity();
  await writeSealedState(folder, 'listener', passphrase, { identity, access });
  return identity;
}

interface SealedFile {
  encrypted: Record<string, unknown>;
}

/** Changes the content of the sealed part of the file. */
async function tamper(change: (encrypted: Record<string, unknown>) => object): Promise<string> {
  // Our own file, sealed by the test that calls this.
  const json = JSON.parse(await readFile(file, 'utf8')) as SealedFile;
  const text = JSON.stringify({ ...json, encrypted: { ...json.encrypted, ...change(json.encrypted) } });
  await writeFile(file, text);
  return text;
}

describe('state file', () => {
  test('the access state stays until it is replaced, even across a restart', async () => {
    const identity = await saved();
    const opened = await open();
    assert.deepEqual(opened.access, access);
    await opened.save(identity);
    assert.deepEqual((await read())?.access, access);
    await opened.save(identity, { tickets: [] });
    await opened.save(identity);
    assert.deepEqual(await read(), { identity, access: { tickets: [] } });
    await opened.save(identity, undefined);
    assert.deepEqual(await read(), { identity, access: undefined });
    await opened.release();
  });

  test('concurrent saves run one after the other, and the last one stays', async () => {
    const opened = await open();
    const identity = createIdentity();
    const wanted = { number: 0 };
    const saves = Array.from({ length: 20 }, (_, number) => {
      wanted.number = number;
      return opened.save(identity, wanted);
    });
    await opened.release();
    await Promise.all(saves);
    assert.deepEqual((await read())?.access, { number: 19 });
    assert.ok(!(await readdir(folder)).includes('listener.json.new'));
  });

  test('a file of version 1 is readable, and rewritten as version 2', async () => {
    const { secretKey } = createIdentity();
    const old = oldState(secretKey);
    await mkdir(folder, { mode: 0o700 });
    await writeFile(file, JSON.stringify(old), { mode: 0o600 });
    const opened = await open();
    assert.deepEqual(opened.identity?.secretKey, secretKey);
    assert.equal(opened.access, undefined);
    await opened.save({ secretKey, nospam: Uint8Array.of(1, 2, 3, 4) }, access);
    await opened.release();
    const now: unknown = JSON.parse(await readFile(file, 'utf8'));
    assert.deepEqual(now, { ...old, version: 2, access });
  });

  test('a state too large to be read back is not written, and the old one stays', async () => {
    const identity = await saved();
    const opened = await open();
    const big = { padding: 'x'.repeat(1024 * 1024) };
    await assert.rejects(opened.save(identity, big), failsWith('ERR_LIMIT', /revoke tickets/));
    await opened.release();
    assert.deepEqual((await read())?.access, access);
  });

  test('anything but a regular file is refused at once, even a named pipe', { skip: !posix }, async () => {
    await mkdir(folder, { mode: 0o700 });
    execFileSync('mkfifo', ['-m', '600', file]);
    await assert.rejects(open(), failsWith('ERR_STATE_INVALID', /it is not a regular file/));
  });

  describe('whatever has the name of one of our files and is no file', { skip: !posix }, () => {
    const KINDS: Readonly<Record<string, (path: string) => Promise<unknown>>> = {
      'a named pipe': async (path) => execFileSync('mkfifo', ['-m', '600', path]),
      'a folder': (path) => mkdir(path, { mode: 0o700 }),
      'a device': (path) => symlink('/dev/zero', path),
      'a dangling link': (path) => symlink('nowhere', path),
    };
    const refused = failsWith(
      'ERR_STATE_INVALID',
      /(?:not a regular file|a link to a file that does not exist).*--state DIR/,
    );
    const list = { url: 'x', updated: 'y', nodes: [] };

    for (const [kind, make] of Object.entries(KINDS)) {
      test(`${kind} is refused, and left as it is`, async () => {
        await mkdir(folder, { mode: 0o700 });
        for (const name of ['listener.json', 'names.json', 'nodes.json', 'listener-places.json'])
          await make(join(folder, name));
        await assert.rejects(open(), refused);
        await assert.rejects(read(), refused);
        await assert.rejects(readNames({ folder }), refused);
        await assert.rejects(
          changeNames({ folder }, () => new Map([['a', 'b']])),
          refused,
        );
        await assert.rejects(readSavedNodes(folder), refused);
        await assert.rejects(saveNodes(folder, list), refused);
        const lines: string[] = [];
        const logger = { level: 'warn', log: (_level: string, line: string) => lines.push(line) } as const;
        const identity = createIdentity();
        const places = await PlacesFile.open({ folder, role: 'listener', logger }, identity);
        places.save(identity, []);
        await places.settled();
        assert.equal(lines.length, 2);
        for (const line of lines)
          assert.match(line, /listener-places\.json: (?:it is not a regular|it is a link)/);
        const left = (await readdir(folder)).filter((name) => !name.includes('lock')).sort();
        assert.deepEqual(left, ['listener-places.json', 'listener.json', 'names.json', 'nodes.json']);
        for (const name of left) assert.ok(!(await lstat(join(folder, name))).isFile(), name);
      });

      test(`${kind} as a lock is refused`, async () => {
        await mkdir(folder, { mode: 0o700 });
        await make(join(folder, 'listener.lock.1'));
        await assert.rejects(open(), refused);
        await assert.rejects(changePassphraseAfter(), refused);
      });
    }

    /** Needs an identity to change. */
    async function changePassphraseAfter(): Promise<unknown> {
      await writeFile(file, '{', { mode: 0o600 });
      return changePassphrase({ folder, from: undefined, to: passphrase });
    }

    test('a release does not write to a named pipe in place of its draft', async () => {
      const opened = await open();
      const [lock = ''] = (await readdir(folder)).filter((name) => name.includes('lock'));
      execFileSync('mkfifo', ['-m', '600', join(folder, `${lock}.free`)]);
      await opened.release();
      await (await open()).release();
    });

    test('a link to a file is read', async () => {
      const identity = await saved();
      await rename(file, temp.file('elsewhere.json'));
      await symlink(temp.file('elsewhere.json'), file);
      assert.deepEqual((await read())?.identity, identity);
    });
  });

  test('a byte order mark that an editor left is skipped', async () => {
    const identity = await saved();
    await writeFile(file, `\ufeff${await readFile(file, 'utf8')}`, { mode: 0o600 });
    assert.deepEqual((await read())?.identity, identity);
    const list = { url: 'x', updated: 'y', nodes: [] };
    await writeFile(
      join(folder, 'nodes.json'),
      `\ufeff${JSON.stringify({ version: 1, kind: 'tox-wasm-tunnel nodes', ...list, nodes: [{ ipv4: '192.0.2.1', port: 1, public_key: 'A'.repeat(64) }] })}`,
    );
    assert.equal((await readSavedNodes(folder))?.url, 'x');
  });

  test('neither an error nor its cause quotes a damaged file', async () => {
    await mkdir(folder, { mode: 0o700 });
    const secret = Buffer.from(createIdentity().secretKey).toString('hex');
    const texts = [
      `{"secretKey": "${secret}" oops`,
      `{"version":2,"kind":"tox-wasm-tunnel identity","role":"listener","secretKey":"${secret}0"}`,
      `{"version":2,"kind":"tox-wasm-tunnel identity","role":"${secret}"}`,
      `{"version":2,"kind":"tox-wasm-tunnel identity","role":"listener","encrypted":{"kdf":"${secret}"}}`,
    ];
    for (const text of texts) {
      await writeFile(file, text, { mode: 0o600 });
      const error: unknown = await open().then(
        () => undefined,
        (refusal: unknown) => refusal,
      );
      let shown = '';
      for (let cause = error; cause instanceof Error; cause = cause.cause) shown += cause.stack;
      assert.match(shown, /listener\.json/);
      for (let at = 0; at + 24 <= secret.length; at++)
        assert.ok(!shown.includes(secret.slice(at, at + 24)), shown);
    }
  });
});

describe('state folder', { skip: !posix }, () => {
  test('a folder that is open to others but holds only our files is made private', async () => {
    await mkdir(folder, { mode: 0o755 });
    await saved();
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    await chmod(folder, 0o770);
    await (await open()).release();
    assert.equal((await stat(folder)).mode & 0o777, 0o700, 'with nothing but our files in it');
  });

  test('a folder that others were let into while a process runs is made private', async () => {
    const running = await open();
    await chmod(folder, 0o755);
    // Finds the lock and the beacon of the process, and is refused for no other reason.
    await assert.rejects(open(), failsWith('ERR_STATE_BUSY', /runs as the listener/));
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    await running.release();
  });

  test('a folder that is open to others and holds other files is refused, and left unchanged', async () => {
    await mkdir(folder, { mode: 0o755 });
    await writeFile(join(folder, 'thesis.txt'), 'precious');
    await assert.rejects(open(), failsWith('ERR_STATE_INVALID', /mode 0755.*--state DIR.*chmod 700/));
    assert.equal((await stat(folder)).mode & 0o777, 0o755);
    assert.deepEqual(await readdir(folder), ['thesis.txt']);
    await chmod(folder, 0o700);
    await (await open()).release();
  });

  test('a folder that was open to others and holds a link with one of our names is refused, and the link is not followed', async () => {
    const precious = join(folder, '..', 'precious');
    await writeFile(precious, 'mine');
    for (const plant of [symlink, link]) {
      await mkdir(folder, { mode: 0o777 });
      await chmod(folder, 0o777);
      // This file is written when the lock is released.
      await plant(precious, join(folder, 'listener.lock.1.free'));
      await assert.rejects(open(), failsWith('ERR_STATE_INVALID', /files that are not ours/));
      assert.equal(await readFile(precious, 'utf8'), 'mine');
      await rm(folder, { recursive: true });
    }
  });

  test('a folder that was open to others and holds files of another user is refused', {
    skip: process.getuid?.() !== 0 && 'only root can give files away',
  }, async () => {
    await mkdir(folder, { mode: 0o755 });
    await writeFile(file, '{}', { mode: 0o600 });
    await chown(file, 12_345, 12_345);
    await assert.rejects(open(), failsWith('ERR_STATE_INVALID', /files that are not ours/));
  });
});

describe('state file with a passphrase', () => {
  test('it holds no plain secret, and only the passphrase opens it', async () => {
    const identity = await saved(passphrase);
    const text = await readFile(file, 'utf8');
    assert.match(text, /"memoryKiB": 65536,\s+"passes": 3,\s+"lanes": 4/);
    for (const encoding of ['hex', 'base64'] as const) {
      assert.ok(!text.includes(Buffer.from(identity.secretKey).toString(encoding)));
      assert.ok(!text.includes(Buffer.from(publicKeyOf(identity.secretKey)).toString(encoding)));
      assert.ok(!text.includes(passphrase.toString(encoding)));
    }
    assert.ok(!text.includes('secret'));
    assert.deepEqual(await read(passphrase), { identity, access });
    await assert.rejects(read(), failsWith('ERR_STATE_SEALED', /it is encrypted; .*--passphrase-file/));
    const wrong = Buffer.from('correct horse battery stapl');
    await assert.rejects(open(wrong), failsWith('ERR_STATE_SEALED', /passphrase is wrong/));
    assert.equal(await readFile(file, 'utf8'), text, 'left unchanged');
    const opened = await open(passphrase);
    await opened.save(identity, {});
    await opened.release();
    assert.deepEqual(await read(passphrase), { identity, access: {} });
  });

  test('every save has a new nonce', async () => {
    await savedCheaply();
    const opened = await open(passphrase);
    const seen = new Set<unknown>();
    for (let save = 0; save < 5; save++) {
      await opened.save(createIdentity());
      const { encrypted } = JSON.parse(await readFile(file, 'utf8')) as SealedFile; // our own file
      seen.add(encrypted['nonce']).add(encrypted['text']);
    }
    await opened.release();
    assert.equal(seen.size, 10);
  });

  test('with a passphrase a plain file is refused, unless the caller accepts it', async () => {
    const identity = await saved();
    await assert.rejects(open(passphrase), failsWith('ERR_STATE_SEALED', /it is not encrypted although/));
    await assert.rejects(read(passphrase), failsWith('ERR_STATE_SEALED', /--new-passphrase-file FILE/));
    assert.deepEqual(await read(), { identity, access }, 'left unchanged');
    const accepted = await readSaved({ folder, role: 'listener', passphrase, acceptsPlain: true });
    assert.deepEqual(accepted, { state: { identity, access }, key: undefined });
  });

  test('a file that demands more memory or time than ours is refused before it gets any', async () => {
    await savedCheaply();
    const greedy: ReadonlyArray<readonly [object, RegExp]> = [
      [
        { memoryKiB: 100 * 1024 * 1024 },
        /"encrypted.memoryKiB" is wrong: expected a whole number from 8 to 262144/,
      ],
      [{ memoryKiB: 1e300 }, /memoryKiB/],
      [{ memoryKiB: -1 }, /memoryKiB/],
      [{ memoryKiB: 65_536.5 }, /memoryKiB/],
      [{ memoryKiB: '65536' }, /memoryKiB/],
      [{ passes: 4_000_000_000 }, /"encrypted.passes" is wrong/],
      [{ passes: 0 }, /passes/],
      [{ lanes: 17 }, /lanes/],
      [{ lanes: 16, memoryKiB: 127 }, /too little memory/],
      [{ kdf: 'none' }, /expected "argon2id"/],
      [{ cipher: 'none' }, /expected "xchacha20-poly1305"/],
      [{ salt: '' }, /salt/],
      [{ salt: undefined }, /"encrypted.salt" is wrong: it is missing/],
      [{ nonce: 'AAAA' }, /nonce/],
      [{ text: '!!!!' }, /text/],
      [{ text: '' }, /text/],
    ];
    const good = await readFile(file, 'utf8');
    for (const [change, why] of greedy) {
      await writeFile(file, good);
      const bad = await tamper(() => change);
      await assert.rejects(open(passphrase), failsWith('ERR_STATE_INVALID', why));
      assert.equal(await readFile(file, 'utf8'), bad);
    }
  });

  test('a change to any part of it is detected', async () => {
    await savedCheaply();
    const good = await readFile(file, 'utf8');
    const flipped = (value: unknown): string => {
      const bytes = Buffer.from(String(value), 'base64');
      bytes[bytes.length - 1]! ^= 1;
      return bytes.toString('base64');
    };
    const changes: ReadonlyArray<(sealed: Record<string, unknown>) => object> = [
      ({ text }) => ({ text: flipped(text) }),
      ({ nonce }) => ({ nonce: flipped(nonce) }),
      ({ salt }) => ({ salt: flipped(salt) }),
      () => ({ passes: 2 }),
      () => ({ memoryKiB: 16 }),
    ];
    for (const change of changes) {
      await writeFile(file, good);
      await tamper(change);
      await assert.rejects(read(passphrase), failsWith('ERR_STATE_SEALED', /wrong, or the file is damaged/));
    }
    await writeFile(join(folder, 'node.json'), good.replace('"listener"', '"node"'), { mode: 0o600 });
    await assert.rejects(
      readIdentity({ folder, role: 'node', passphrase }),
      failsWith('ERR_STATE_SEALED', /wrong/),
      'a file sealed for one role opens for no other',
    );
  });
});

describe('export and import', () => {
  const place = (secret?: Uint8Array) => ({ folder, role: 'listener', passphrase: secret }) as const;
  const take = (text: string, replace = false, secret?: Uint8Array) =>
    importState({ ...place(secret), text, origin: 'backup.json', replace });

  test('an export imports completely, with its tickets', async () => {
    const identity = await saved();
    const exported = await exportState(place());
    assert.ok(exported);
    assert.equal(exported.isSealed, false);
    temp.remove();
    temp = new TempFolder();
    folder = temp.file('elsewhere');
    file = join(folder, 'listener.json');
    assert.deepEqual(await take(exported.text), { identity, kept: undefined });
    assert.deepEqual(await read(), { identity, access });
    if (posix) assert.equal((await stat(file)).mode & 0o777, 0o600);
  });

  test('with a passphrase the export is sealed, and the import opens and seals it', async () => {
    const identity = await savedCheaply();
    const exported = await exportState(place(passphrase));
    assert.ok(exported);
    assert.equal(exported.isSealed, true);
    await assert.rejects(
      take(exported.text, true),
      failsWith('ERR_STATE_SEALED', /backup\.json: it is encrypted/),
    );
    assert.deepEqual((await take(exported.text, true, passphrase)).identity, identity);
    await assert.rejects(read(), failsWith('ERR_STATE_SEALED', /encrypted/));
    assert.deepEqual(await read(passphrase), { identity, access });
  });

  test('an existing identity is not overwritten; when replaced, it is kept', async () => {
    const mine = await saved();
    const before = await readFile(file, 'utf8');
    const exported = await exportState(place());
    assert.ok(exported);
    await assert.rejects(
      take(exported.text),
      failsWith('ERR_STATE_EXISTS', /left unchanged; with --replace/),
    );
    assert.equal(await readFile(file, 'utf8'), before);
    assert.deepEqual(await take(exported.text, true), { identity: mine, kept: `${file}.old.1` });
    await writeFile(file, 'damaged');
    assert.equal((await take(exported.text, true)).kept, `${file}.old.2`);
    assert.equal(await readFile(`${file}.old.1`, 'utf8'), before);
    assert.equal(await readFile(`${file}.old.2`, 'utf8'), 'damaged');
  });

  test('an invalid text changes nothing, and an identity that a listener uses is not replaced', async () => {
    await saved();
    const before = await readFile(file, 'utf8');
    await assert.rejects(take('{', true), failsWith('ERR_STATE_INVALID', /backup\.json: it is not JSON/));
    const opened = await open();
    await assert.rejects(take(before, true), failsWith('ERR_STATE_BUSY', /process/));
    await opened.release();
    assert.deepEqual(
      (await readdir(folder)).filter((name) => !name.includes('lock')),
      ['listener.json'],
    );
  });

  test('an export never overwrites a file', async () => {
    const out = temp.file('out.json');
    await writeExport(out, 'one');
    await assert.rejects(writeExport(out, 'two'), failsWith('ERR_STATE_IO', /out\.json: it exists already/));
    assert.equal(await readFile(out, 'utf8'), 'one');
    if (posix) assert.equal((await stat(out)).mode & 0o777, 0o600);
    await link(out, temp.file('hard'));
    await assert.rejects(writeExport(temp.file('hard'), 'two'), failsWith('ERR_STATE_IO', /exists already/));
    assert.equal(await exportState(place()), undefined);
  });
});
