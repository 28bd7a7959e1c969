import assert from 'node:assert/strict';
import { chmod, mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { changeNames, lockNames, readNames } from '../../src/state/names_file.js';
import { changePassphrase } from '../../src/state/passphrase_change.js';
import { cheapKey, writeSealedNames } from '../support/cheap_state.js';
import { failsWith } from '../support/fails_with.js';
import { hastyTimers } from '../support/hasty_timers.js';
import { TempFolder } from '../support/temp_folder.js';

const OLD = Buffer.from('the old one');
const NEW = Buffer.from('the new one');

let temp: TempFolder;
let folder = '';
beforeEach(() => {
  temp = new TempFolder();
  folder = temp.file('state');
});
afterEach(() => temp.remove());

const add = (name: string, remote: string, passphrase?: Uint8Array) =>
  changeNames({ folder, passphrase, timers: hastyTimers() }, (names) => new Map([...names, [name, remote]]));
const names = async (passphrase?: Uint8Array) => Object.fromEntries(await readNames({ folder, passphrase }));
const file = () => join(folder, 'names.json');
const text = () => readFile(file(), 'utf8');

async function write(content: string, mode = 0o600): Promise<void> {
  await mkdir(folder, { mode: 0o700 });
  await writeFile(file(), content, { mode });
}

describe('the names file', () => {
  test('a missing folder has no names, and reading does not create it', async () => {
    assert.deepEqual(await names(), {});
    await assert.rejects(stat(folder), { code: 'ENOENT' });
  });

  test('keeps added names in order, and private to the owner', async () => {
    await add('home', 'ticket 1');
    await add('work', 'ticket 2');
    assert.deepEqual(Object.entries(await names()), [
      ['home', 'ticket 1'],
      ['work', 'ticket 2'],
    ]);
    assert.equal((await stat(file())).mode & 0o777, 0o600);
    assert.equal((await stat(folder)).mode & 0o777, 0o700);
    assert.ok(!(await readdir(folder)).some((name) => name.endsWith('.new')), 'no draft is left');
  });

  test('with a passphrase nothing in it is readable, and a plain file is refused until it is accepted', async () => {
    await add('home', 'ticket 1');
    await assert.rejects(names(OLD), failsWith('ERR_STATE_SEALED', /not encrypted although/));
    await assert.rejects(
      add('work', 'ticket 2', OLD),
      failsWith('ERR_STATE_SEALED', /--new-passphrase-file/),
    );
    await changePassphrase({ folder, from: OLD, to: OLD, newKey: cheapKey });
    await add('work', 'ticket 2', OLD);
    assert.doesNotMatch(await text(), /home|work|ticket/);
    assert.deepEqual(await names(OLD), { home: 'ticket 1', work: 'ticket 2' });
    await assert.rejects(names(), failsWith('ERR_STATE_SEALED', /encrypted; give its passphrase/));
    await assert.rejects(names(NEW), failsWith('ERR_STATE_SEALED', /passphrase is wrong/));
    await assert.rejects(add('third', 'ticket 3'), failsWith('ERR_STATE_SEALED', /encrypted/));
  });

  test('a change of the passphrase seals it again, or stops sealing it', async () => {
    await writeSealedNames(folder, OLD, new Map([['home', 'ticket 1']]));
    assert.deepEqual(await changePassphrase({ folder, from: OLD, to: NEW, newKey: cheapKey }), [file()]);
    assert.deepEqual(await names(NEW), { home: 'ticket 1' });
    await assert.rejects(
      changePassphrase({ folder, from: OLD, to: undefined }),
      failsWith('ERR_STATE_SEALED', /wrong/),
    );
    assert.deepEqual(await changePassphrase({ folder, from: NEW, to: undefined }), [file()]);
    assert.deepEqual(await changePassphrase({ folder, from: undefined, to: undefined }), []);
    assert.deepEqual(await names(), { home: 'ticket 1' });
  });

  test('a change without effect writes nothing', async () => {
    await add('home', 'ticket 1');
    const { ino } = await stat(file());
    await changeNames({ folder }, (same) => same);
    assert.equal((await stat(file())).ino, ino);
  });

  test('a failed change leaves the file unchanged, and lets the next one in', async () => {
    await add('home', 'ticket 1');
    await assert.rejects(
      changeNames({ folder }, () => {
        throw new Error('no');
      }),
      /no/,
    );
    await add('work', 'ticket 2');
    assert.deepEqual(Object.keys(await names()), ['home', 'work']);
  });

  test('two processes cannot change it at once: the second learns which process has it', async () => {
    await add('home', 'ticket 1');
    const lock = await lockNames(folder);
    await assert.rejects(
      add('work', 'ticket 2'),
      failsWith('ERR_STATE_BUSY', new RegExp(`process ${process.pid} is changing the names.*try again`)),
    );
    assert.deepEqual(Object.keys(await names()), ['home'], 'reading is possible all the same');
    await lock.release();
    await add('work', 'ticket 2');
  });

  test('more than fits is refused, and the existing names stay', async () => {
    await add('home', 'ticket 1');
    await assert.rejects(add('work', 'x'.repeat(1024 * 1024)), failsWith('ERR_LIMIT', /remove some/));
    assert.deepEqual(Object.keys(await names()), ['home']);
  });

  const head = '"version":1,"kind":"tox-wasm-tunnel names"';
  const foreign: ReadonlyArray<readonly [what: string, content: string, why: RegExp]> = [
    ['an empty file', '', /it is empty/],
    ['other text than JSON', 'precious', /it is not JSON/],
    ['an identity', '{"version":2,"kind":"tox-wasm-tunnel identity"}', /not a list of tox-wasm-tunnel names/],
    ['a later version', '{"version":2,"kind":"tox-wasm-tunnel names"}', /version 2.*reads version 1/],
    ['no names', `{${head}}`, /"names" is wrong: it is missing/],
    ['names of another shape', `{${head},"names":{"home":"x"}}`, /"names" is wrong: expected a list/],
    ['a name without a ticket', `{${head},"names":[{"name":"precious"}]}`, /"names" is wrong/],
    [
      'a repeated name',
      `{${head},"names":[{"name":"a","remote":"x"},{"name":"a","remote":"y"}]}`,
      /a name twice/,
    ],
    ['a damaged seal', `{${head},"encrypted":{"kdf":"argon2id"}}`, /"encrypted.memoryKiB" is wrong/],
  ];
  for (const [what, content, why] of foreign) {
    test(`${what} is refused, left unchanged, and not quoted`, async () => {
      await write(content);
      for (const attempt of [names(), add('home', 'ticket 1')]) {
        await assert.rejects(attempt, (error: Error) => {
          assert.ok(failsWith('ERR_STATE_INVALID', why)(error));
          assert.doesNotMatch(error.message, /precious/);
          assert.match(error.message, /left unchanged: move it away/);
          return true;
        });
      }
      assert.equal(await text(), content);
    });
  }

  test('a file that others may read is refused', async () => {
    await add('home', 'ticket 1');
    await chmod(file(), 0o644);
    await assert.rejects(
      names(),
      failsWith('ERR_STATE_INVALID', /other users of this machine may read or write it/),
    );
  });
});
