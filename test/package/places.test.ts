/**
 * The environments in which the installed package must run, on each Node, as docs/how-to/node-programs.md describes
 * them.
 */
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
    test('a program may be limited to reading its own folder, and starts no process', async () => {
      const flags = [...permissions, `--allow-fs-read=${installed.user}`];
      assert.deepEqual(await run(...flags, 'main.mjs'), { ...LINE, stderr: '' });
    });

    test('without the permission for threads, the error names it', async () => {
      const flags = ['--no-warnings', permissionFlag(node), `--allow-fs-read=${installed.user}`];
      const { exitCode, stderr } = await run(...flags, 'main.mjs');
      assert.equal(exitCode, 1);
      assert.match(stderr, /--allow-worker|WorkerThreads/);
    });

    test('a tunnel of processes that may read only the package, and the listener its state folder', async () => {
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
        // The files of the listener in that folder: its identity, and its control socket.
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

    test('it runs in a worker thread, without code generated from strings', async () => {
      const finished = await run('--disallow-code-generation-from-strings', 'in_worker.mjs');
      assert.deepEqual(finished, { ...LINE, stderr: '' });
    });

    test('a program that is an argument, beside preloads that a thread could not run, keeps to the permissions', async () => {
      const reading = `--allow-fs-read=${installed.user}`;
      const preloads = ['--import=./preload.mjs', '--require=./preload.cjs'];
      const program = ['--input-type=module', '--eval', "import './main.mjs';"];
      assert.deepEqual(await run(...permissions, reading, ...preloads, ...program), { ...LINE, stderr: '' });
    });

    test('it runs from a read-only file system', { skip: cannotMount() }, async () => {
      const { exitCode, stdout } = await readOnly(node, 'main.mjs');
      assert.deepEqual({ exitCode, stdout }, LINE);
    });
  });
}

test('from a read-only file system the command line runs with --ephemeral, and without it says what to do', {
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
 * The command prefix that makes the system's folders and the current folder read-only: a private mount
 * namespace. It uses `exec`, so that signals reach the command.
 */
function readOnlyShell(): string[] {
  const script =
    'mount -o remount,ro,bind / && mount --bind . . && mount -o remount,ro,bind . && cd "$PWD" && exec "$@"';
  return ['unshare', '--user', '--map-root-user', '--mount', '--', '/bin/sh', '-c', script, 'sh'];
}

/** False, or a message that says why a read-only file system cannot be created here. */
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
