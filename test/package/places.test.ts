/** Where the installed package shall run, on each Node: docs/how-to/node-programs.md says how. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { after, describe, test } from 'node:test';
import {
  installedMain,
  installedPackage,
  permissionFlag,
  type TriedNode,
} from '../support/installed_package.js';
import { LOOPBACK, PrivateNetwork } from '../support/private_network.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const LINE = { exitCode: 0, stdout: 'a line through the tunnel\n' };

const installed = installedPackage();
const modules = join(installed.user, 'node_modules');
const folder = new TempFolder();
after(() => folder.remove());

for (const node of installed.nodes) {
  const permissions = ['--no-warnings', permissionFlag(node), '--allow-worker'];
  const run = (...args: readonly string[]): Promise<Finished> =>
    runProgram(node.execPath, args, { cwd: installed.user });

  describe(`Node ${node.version}`, { concurrency: true }, () => {
    test('a program may read its own folder alone, and start no process', async () => {
      const flags = [...permissions, `--allow-fs-read=${installed.user}`];
      assert.deepEqual(await run(...flags, 'main.mjs'), { ...LINE, stderr: '' });
    });

    test('without the permission for threads the error names it', async () => {
      const flags = ['--no-warnings', permissionFlag(node), `--allow-fs-read=${installed.user}`];
      const { exitCode, stderr } = await run(...flags, 'main.mjs');
      assert.equal(exitCode, 1);
      assert.match(stderr, /--allow-worker|WorkerThreads/);
    });

    test('a tunnel of processes that may read the package, and of its state folder alone the listener', async () => {
      const state = folder.file(`state-${node.version}`);
      mkdirSync(state, { mode: 0o700 });
      const reading = [node.execPath, ...permissions, `--allow-fs-read=${modules}`];
      const keeping = [...reading, `--allow-fs-read=${state}`, `--allow-fs-write=${state}`];
      const main = installedMain(installed);
      const network = await PrivateNetwork.start({ program: [...reading, main] });
      const keepers = network.withProgram([...keeping, main]);
      try {
        const first = await keepers.listen([], '--state', state);
        await network.connect(first.ticket, ['0:127.0.0.1:9']);
        // What the folder is for: who it was, and the socket by which it is asked.
        const asked = await runProgram(keeping[0] ?? '', [
          ...keeping.slice(1),
          main,
          'peers',
          '--json',
          '--state',
          state,
        ]);
        assert.match(asked.stdout, /"status":"online"/);
        await first.listener.stop();
        const second = await keepers.listen([], '--state', state);
        assert.equal(second.ticket, first.ticket);
      } finally {
        await network.stop();
      }
    });

    test('it runs in a worker thread, and makes no code from strings', async () => {
      const finished = await run('--disallow-code-generation-from-strings', 'in_worker.mjs');
      assert.deepEqual(finished, { ...LINE, stderr: '' });
    });

    test('it runs from a file system that cannot be written', { skip: cannotMount() }, async () => {
      const { exitCode, stdout } = await readOnly(node, 'main.mjs');
      assert.deepEqual({ exitCode, stdout }, LINE);
    });
  });
}

test('the command line runs from a file system that cannot be written with --ephemeral, and says so without it', {
  skip: cannotMount(),
}, async () => {
  const main = installedMain(installed);
  const network = await PrivateNetwork.start({ program: [...readOnlyShell(), process.execPath, main] });
  try {
    const { ticket } = await network.listen([]);
    await network.connect(ticket, ['0:127.0.0.1:9']);
  } finally {
    await network.stop();
  }
  const here = { version: process.version, execPath: process.execPath };
  const args = ['listen', '--state', join(installed.user, 'none'), ...LOOPBACK];
  const refused = await readOnly(here, main, ...args);
  assert.equal(refused.exitCode, 1);
  assert.match(refused.stdout, /--ephemeral/);
});

async function readOnly(node: TriedNode, ...args: readonly string[]): Promise<Finished> {
  const [command = '', ...before] = readOnlyShell();
  return await runProgram(command, [...before, node.execPath, ...args], { cwd: installed.user });
}

/**
 * What stands before a command that shall find the system's and the current folder read-only: a
 * namespace of its own, in which they are made so. `exec`, so that signals reach the command.
 */
function readOnlyShell(): string[] {
  const script =
    'mount -o remount,ro,bind / && mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"';
  return ['unshare', '--user', '--map-root-user', '--mount', '--', '/bin/sh', '-c', script, 'sh'];
}

/** False, or the line that says why a read-only file system cannot be made here. */
function cannotMount(): string | false {
  if (process.platform !== 'linux') return 'needs the mount namespaces of Linux';
  try {
    const [command = '', ...before] = readOnlyShell();
    execFileSync(command, [...before, '/bin/sh', '-c', '! touch ./written'], {
      cwd: installed.user,
      stdio: 'ignore',
    });
    return false;
  } catch {
    return 'needs a kernel that lets this user make mount namespaces (unshare --user --mount)';
  }
}
