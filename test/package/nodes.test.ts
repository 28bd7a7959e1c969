/** The installed command line and library on each Node, without a compiler or anything else. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, symlinkSync } from 'node:fs';
import { createServer, get } from 'node:http';
import { dirname, join } from 'node:path';
import { after, describe, test } from 'node:test';
import { installedMain, installedPackage, type TriedNode } from '../support/installed_package.js';
import { listenOnLoopback } from '../support/loopback.js';
import { PrivateNetwork } from '../support/private_network.js';
import { type Finished, runProgram } from '../support/run_program.js';
import { readToEnd } from '../support/socket_bytes.js';
import { TempFolder } from '../support/temp_folder.js';

const PAGE = 'a page through the installed package';

const QUIETLY = { exitCode: 0, stderr: '' };

const installed = installedPackage();
const VERSION = printedVersion();
const folder = new TempFolder();
after(() => folder.remove());

for (const node of installed.nodes) {
  describe(`Node ${node.version}`, { concurrency: true }, () => {
    test('npx runs the tarball in an empty folder, with only node and a shell', async () => {
      const version = await npx(node, ['--version']);
      assert.deepEqual({ ...version, stdout: version.stdout.trim() }, { ...QUIETLY, stdout: VERSION });
      const help = await npx(node, ['connect', '--help']);
      assert.match(help.stdout, /^Usage: tox-wasm-tunnel connect /);
    });

    test('a page passes through a tunnel between a listener and a connector', async () => {
      const server = createServer((_request, response) => response.end(PAGE));
      const port = await listenOnLoopback(server);
      const network = await PrivateNetwork.start({ program: [node.execPath, installedMain(installed)] });
      try {
        const { locals } = await network.tunnel([port]);
        assert.equal(await fetchPage(locals[0]?.port), PAGE);
      } finally {
        await network.stop();
        server.close();
      }
    });

    test('the library carries a line, and lets the process exit by itself', async () => {
      const finished = await runProgram(node.execPath, ['main.mjs'], { cwd: installed.user });
      assert.deepEqual(finished, { ...QUIETLY, stdout: 'a line through the tunnel\n' });
    });

    test('CommonJS can require the library with the same result', async () => {
      const finished = await runProgram(node.execPath, ['required.cjs'], { cwd: installed.user });
      assert.deepEqual(finished, { ...QUIETLY, stdout: 'a line through the tunnel\n' });
    });
  });
}

test('--help prints what commander would print', async () => {
  const main = installedMain(installed);
  for (const args of [[], ['listen'], ['connect'], ['ticket']]) {
    const ready = await runProgram(process.execPath, [main, ...args, '--help']);
    // The extra words match no precomputed help text.
    const made = await runProgram(process.execPath, [main, ...args, '-v', '-v', '--help']);
    assert.equal(ready.stdout, made.stdout);
    assert.equal(ready.exitCode, 0);
  }
});

async function npx(node: TriedNode, args: readonly string[]): Promise<Finished> {
  const empty = folder.file(`empty-${node.version}`);
  mkdirSync(empty, { recursive: true });
  const words = [installed.npx, '--yes', '--package', installed.tarball, '--', 'tox-wasm-tunnel', ...args];
  return await runProgram(node.execPath, words, {
    cwd: empty,
    env: {
      ...process.env,
      PATH: pathWith(node),
      // A separate folder, so that nothing of an earlier run is found.
      npm_config_cache: folder.file(`cache-${node.version}`),
      npm_config_update_notifier: 'false',
    },
  });
}

/** A folder with only this Node and a shell: what npx itself needs. On Windows nothing changes. */
function pathWith(node: TriedNode): string {
  if (process.platform === 'win32') return `${dirname(node.execPath)};${process.env['PATH']}`;
  const bin = folder.file(`bin-${node.version}`);
  mkdirSync(bin, { recursive: true });
  for (const [name, target] of [
    ['node', node.execPath],
    ['sh', '/bin/sh'],
  ] as const) {
    if (!existsSync(join(bin, name))) symlinkSync(target, join(bin, name));
  }
  return bin;
}

/** The content of package.json. */
function printedVersion(): string {
  const file = join(installed.user, 'node_modules', 'tox-wasm-tunnel', 'package.json');
  // npm has installed it, so it has one.
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

async function fetchPage(port: number | undefined): Promise<string> {
  return await new Promise((resolve, reject) => {
    get({ host: '127.0.0.1', port, agent: false }, (response) => {
      readToEnd(response).then((bytes) => resolve(bytes.toString()), reject);
    }).on('error', reject);
  });
}
