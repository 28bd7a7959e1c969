import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { defaultStateFolder, type FolderHints, userUnitFolder } from '../../src/cli/process/folders.js';
import { run } from '../../src/cli/run.js';
import { TunnelError } from '../../src/core/errors.js';
import { CliBench } from '../support/cli_bench.js';
import { failsWith } from '../support/fails_with.js';

const posix = process.platform !== 'win32';
const hints = (env: FolderHints['env'], home?: string, platform: NodeJS.Platform = 'linux'): FolderHints => ({
  platform,
  env,
  homeOfUser: () => home,
});

describe('the folders of a user', { skip: !posix }, () => {
  for (const [env, state, units] of [
    [{ HOME: '/h' }, '/h/.local/share/tox-wasm-tunnel', '/h/.config/systemd/user'],
    [{ HOME: '/h', XDG_DATA_HOME: '/d', XDG_CONFIG_HOME: '/c' }, '/d/tox-wasm-tunnel', '/c/systemd/user'],
    [{}, '/u/.local/share/tox-wasm-tunnel', '/u/.config/systemd/user'],
    [{ HOME: '' }, '/u/.local/share/tox-wasm-tunnel', '/u/.config/systemd/user'],
    [{ HOME: 'x' }, '/u/.local/share/tox-wasm-tunnel', '/u/.config/systemd/user'],
    [
      { HOME: '/h', XDG_DATA_HOME: '', XDG_CONFIG_HOME: '' },
      '/h/.local/share/tox-wasm-tunnel',
      '/h/.config/systemd/user',
    ],
    [
      { HOME: '/h', XDG_DATA_HOME: './d', XDG_CONFIG_HOME: 'c' },
      '/h/.local/share/tox-wasm-tunnel',
      '/h/.config/systemd/user',
    ],
  ] as const) {
    test(`with ${JSON.stringify(env)} are absolute: ${state}`, () => {
      assert.equal(defaultStateFolder(hints(env, '/u')), state);
      assert.equal(userUnitFolder(hints(env, '/u')), units);
    });
  }

  test('are those of the platform', () => {
    const mac = hints({ HOME: '/h', XDG_DATA_HOME: '/d' }, '/u', 'darwin');
    assert.equal(defaultStateFolder(mac), '/h/Library/Application Support/tox-wasm-tunnel');
    const windows = hints({ LOCALAPPDATA: '/l' }, '/u', 'win32');
    assert.equal(defaultStateFolder(windows), '/l/tox-wasm-tunnel/Data');
    const bare = hints({ LOCALAPPDATA: '' }, '/u', 'win32');
    assert.equal(defaultStateFolder(bare), '/u/AppData/Local/tox-wasm-tunnel/Data');
  });

  test('a user without a home folder is told to name one', () => {
    for (const env of [{}, { HOME: '' }, { HOME: 'here' }]) {
      const none = failsWith('ERR_USAGE', /no home folder.*--state DIR/);
      assert.throws(() => defaultStateFolder(hints(env)), none);
      assert.throws(() => userUnitFolder(hints(env)), failsWith('ERR_USAGE', /XDG_CONFIG_HOME/));
    }
    assert.equal(defaultStateFolder(hints({ XDG_DATA_HOME: '/d' })), '/d/tox-wasm-tunnel');
  });
});

describe('a user without a home folder', () => {
  /** A command line whose default folder does not exist. */
  const homeless = (bench: CliBench) => ({
    ...bench.io,
    stateFolder: async () => {
      throw new TunnelError('ERR_USAGE', 'no home folder; name the state folder with --state DIR');
    },
  });

  test('listens with --ephemeral, without a word about folders', async () => {
    const bench = new CliBench();
    const ended = run(['listen', '--ephemeral'], homeless(bench));
    await bench.shown(/Stop with/);
    bench.signal('SIGTERM');
    assert.equal(await ended, 0);
    assert.doesNotMatch(bench.stderr.text, /folder/);
  });

  test('gets one line from other commands, which names --state', async () => {
    for (const command of ['listen', 'id', 'ticket', 'status', 'list']) {
      const bench = new CliBench();
      assert.equal(await run([command, '--json'], homeless(bench)), 2);
      assert.equal(bench.stdout.lines.length, 1, bench.stdout.text);
      assert.match(bench.stdout.text, /--state DIR/);
      assert.deepEqual(bench.calls, []);
    }
  });
});
