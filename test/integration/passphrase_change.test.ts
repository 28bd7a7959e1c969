import assert from 'node:assert/strict';
import { mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';
import { createIdentity, type Identity } from '../../src/state/identity.js';
import type { Role } from '../../src/state/identity_file.js';
import { openIdentity, readState } from '../../src/state/identity_file.js';
import { changePassphrase, type PassphraseChange } from '../../src/state/passphrase_change.js';
import { cheapKey, writeSealedState } from '../support/cheap_state.js';
import { CliBench } from '../support/cli_bench.js';
import { failsWith } from '../support/fails_with.js';
import { TempFolder } from '../support/temp_folder.js';

const OLD = Buffer.from('the old one');
const NEW = Buffer.from('the new one');
const ACCESS = { tickets: [{ name: 'default', secret: 'c2VjcmV0' }] };

let temp: TempFolder;
let folder = '';
beforeEach(() => {
  temp = new TempFolder();
  folder = temp.file('state');
});
afterEach(() => temp.remove());

async function saved(role: Role, passphrase?: Uint8Array): Promise<Identity> {
  const identity = createIdentity();
  const access = role === 'listener' ? ACCESS : undefined;
  if (passphrase !== undefined) {
    await writeSealedState(folder, role, passphrase, { identity, access });
    return identity;
  }
  const opened = await openIdentity({ folder, role, onBusy: 'fail' });
  await opened.save(identity, access);
  await opened.release();
  return identity;
}

const state = (role: Role, passphrase?: Uint8Array) => readState({ folder, role, passphrase });
const text = (role: Role) => readFile(join(folder, `${role}.json`), 'utf8');
const filesOf = (...roles: Role[]) => roles.map((role) => join(folder, `${role}.json`));

/** Changes it at the lowest cost of keys; the tests of the product's own cost say so. */
const change = (from: PassphraseChange['from'], to: PassphraseChange['to']) =>
  changePassphrase({ folder, from, to, newKey: cheapKey });

describe('a change of the passphrase', () => {
  test('seals everything in the folder again, and the old one opens nothing', async () => {
    const listener = await saved('listener', OLD);
    const connector = await saved('connector', OLD);
    const files = await change(OLD, NEW);
    assert.deepEqual(files, filesOf('listener', 'connector'));
    assert.deepEqual(await state('listener', NEW), { identity: listener, access: ACCESS });
    assert.deepEqual((await state('connector', NEW))?.identity, connector);
    await assert.rejects(state('listener', OLD), failsWith('ERR_STATE_SEALED', /wrong/));
    await assert.rejects(state('connector', OLD), failsWith('ERR_STATE_SEALED', /wrong/));
    assert.ok(!(await readdir(folder)).some((name) => name.endsWith('.new')), 'no draft is left');
  });

  test('seals plain files, at the full cost of a key', async () => {
    const listener = await saved('listener');
    assert.deepEqual(await changePassphrase({ folder, from: undefined, to: NEW }), filesOf('listener'));
    assert.match(await text('listener'), /"memoryKiB": 65536,\s+"passes": 3,\s+"lanes": 4/);
    assert.deepEqual((await state('listener', NEW))?.identity, listener);
    await assert.rejects(state('listener'), failsWith('ERR_STATE_SEALED', /encrypted/));
  });

  test('to none leaves plain files; repeating it does nothing', async () => {
    const listener = await saved('listener', OLD);
    await saved('node');
    assert.deepEqual(await change(OLD, undefined), filesOf('listener'));
    assert.deepEqual(await state('listener'), { identity: listener, access: ACCESS });
    assert.deepEqual(await change(undefined, undefined), []);
  });

  for (const [name, from] of [
    ['a wrong old passphrase', Buffer.from('a wrong one')],
    ['no old passphrase', undefined],
  ] as const) {
    test(`${name} changes nothing, not even a file that it would open`, async () => {
      // The readable file is read before the unreadable one.
      await saved('listener');
      await saved('connector', OLD);
      const before = [await text('connector'), await text('listener')];
      for (const to of [NEW, undefined]) {
        await assert.rejects(change(from, to), failsWith('ERR_STATE_SEALED', /connector\.json/));
      }
      assert.deepEqual([await text('connector'), await text('listener')], before);
      // The locks were released.
      await (await openIdentity({ folder, role: 'connector', onBusy: 'fail', passphrase: OLD })).release();
    });
  }

  test('continues where it was interrupted between two files', async () => {
    await saved('listener', NEW);
    await saved('connector', OLD);
    const done = await text('listener');
    assert.deepEqual(await change(OLD, NEW), filesOf('connector'));
    assert.equal(await text('listener'), done);
    assert.ok(await state('connector', NEW));
  });

  test('is refused while a listener runs', async () => {
    await saved('listener', OLD);
    const opened = await openIdentity({ folder, role: 'listener', onBusy: 'fail', passphrase: OLD });
    await opened.save(createIdentity());
    const before = await text('listener');
    await assert.rejects(change(OLD, NEW), failsWith('ERR_STATE_BUSY', /stop it first/));
    assert.equal(await text('listener'), before);
    await opened.release();
    assert.equal((await change(OLD, NEW)).length, 1);
  });

  test('leaves a damaged file unchanged, and the others with it', async () => {
    await saved('connector', OLD);
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'node.json'), '{"broken', { mode: 0o600 });
    const before = await text('connector');
    await assert.rejects(change(OLD, NEW), failsWith('ERR_STATE_INVALID', /node/));
    assert.deepEqual([await text('connector'), await text('node')], [before, '{"broken']);
  });

  test('creates no folder', async () => {
    assert.deepEqual(await change(OLD, NEW), []);
    await assert.rejects(readdir(folder), { code: 'ENOENT' });
  });
});

describe('id --new-passphrase-file and --remove-passphrase', () => {
  async function run(...args: string[]) {
    const bench = new CliBench();
    bench.stateFolder = folder;
    bench.env.set('TOX_WASM_TUNNEL_PASSPHRASE', OLD.toString());
    return { code: await bench.run('id', ...args), bench };
  }

  test('change the passphrase, list the files, and remove the passphrase', async () => {
    const identity = await saved('listener', OLD);
    const file = temp.file('new');
    await writeFile(file, `${NEW}\n`);
    const { code, bench } = await run('--new-passphrase-file', file);
    assert.equal(code, 0);
    assert.match(bench.stderr.text, /listener\.json is encrypted with the new passphrase\./);
    assert.deepEqual((await state('listener', NEW))?.identity, identity);

    const back = await run('--remove-passphrase', '--passphrase-file', file, '--json');
    assert.equal(back.code, 0);
    assert.deepEqual(back.bench.stdout.events, [
      { event: 'passphrase', files: filesOf('listener'), isEncrypted: false },
    ]);
    assert.deepEqual((await state('listener'))?.identity, identity);
  });

  test('a wrong old one, an empty new one, and both options at once are refused', async () => {
    await saved('listener', NEW);
    const empty = temp.file('empty');
    await writeFile(empty, '\n');
    for (const [args, why] of [
      [['--remove-passphrase'], /the passphrase is wrong/],
      [['--new-passphrase-file', empty], /the passphrase is empty/],
      [['--remove-passphrase', '--new-passphrase-file', empty], /cannot be combined/],
      [['--remove-passphrase', '--export', '-'], /cannot be combined/],
    ] as const) {
      const { code, bench } = await run(...args);
      assert.equal(code, 2);
      assert.match(bench.stderr.text, why);
    }
    assert.ok(await state('listener', NEW));
  });
});
