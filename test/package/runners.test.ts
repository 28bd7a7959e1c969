/**
 * Test runners with a test that opens and closes a tunnel: the runner ends by itself, so nothing of the library
 * keeps its processes or threads alive. npm gets the runners.
 */
import assert from 'node:assert/strict';
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { installedPackage } from '../support/installed_package.js';
import { NpmTools } from '../support/npm_tools.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const installed = installedPackage();
const folder = new TempFolder();
after(() => folder.remove());
const tools = new NpmTools(folder);

/** How long the test in the runner may take, in milliseconds. */
const LIMIT_MS = 60_000;
const LINE = "'a line through the tunnel'";

/** Without it, Jest has no ES modules, and neither import() nor require() of this package works in it. */
const JEST_FLAG = '--experimental-vm-modules';

/** Node sets the variable in its own tests, whose children would then print another format. */
const { NODE_TEST_CONTEXT: _, ...OUTSIDE } = process.env;

/** Writes a test file next to a copy of the installed package. Returns their folder, which is new for each name. */
function project(tool: string, name: string, file: string, text: string): string {
  const to = join(tool, name);
  cpSync(installed.user, to, { recursive: true });
  writeFileSync(join(to, file), text);
  return to;
}

describe('a test runner ends by itself', () => {
  before(() => tools.install(['vitest@3'], ['jest@30']));

  for (const pool of ['threads', 'forks']) {
    test(`vitest, with its pool of ${pool}`, async (context) => {
      const tool = tools.folderOf('vitest@3', context);
      if (tool === undefined) return;
      const cwd = project(
        tool,
        pool,
        'line.test.mjs',
        `import { expect, test } from 'vitest';
        import { roundTrip } from './round_trip.mjs';
        test('a line', async () => expect(await roundTrip()).toBe(${LINE}), ${LIMIT_MS});`,
      );
      const main = join(tool, 'node_modules/vitest/vitest.mjs');
      const args = [main, 'run', `--pool=${pool}`, 'line.test.mjs'];
      const { exitCode, stdout, stderr } = await runProgram(process.execPath, args, { cwd });
      assert.equal(exitCode, 0, stdout + stderr);
      assert.match(stdout, /1 passed/);
      // Vitest says so when it had to end a thread or a process that hung.
      assert.doesNotMatch(stdout + stderr, /close timed out|hanging|did not exit/i);
    });
  }

  test('jest, with ES modules imported', async (context) => {
    const tool = tools.folderOf('jest@30', context);
    if (tool === undefined) return;
    const cwd = project(
      tool,
      'imported',
      'imported.test.cjs',
      `test('a line', async () => {
        const { roundTrip } = await import('./round_trip.mjs');
        expect(await roundTrip()).toBe(${LINE});
      }, ${LIMIT_MS});`,
    );
    await jest(process.execPath, tool, cwd, 'imported.test.cjs');
  });

  test('jest, with the package required', async (context) => {
    const node = installed.nodes.find(({ version }) => canRequireInJest(version));
    if (node === undefined) {
      context.skip('needs Node 24.9 or newer: an older one has no require() of ES modules for Jest');
      return;
    }
    const tool = tools.folderOf('jest@30', context);
    if (tool === undefined) return;
    const cwd = project(
      tool,
      'required',
      'required.test.cjs',
      `const { createBootstrapNode } = require('tox-wasm-tunnel');
      const { roundTrip } = require('./round_trip.mjs');
      test('a line', async () => {
        expect(typeof createBootstrapNode).toBe('function');
        expect(await roundTrip()).toBe(${LINE});
      }, ${LIMIT_MS});`,
    );
    await jest(node.execPath, tool, cwd, 'required.test.cjs');
  });

  for (const { version, execPath } of installed.nodes) {
    test(`node --test of Node ${version}`, async () => {
      const to = folder.file(`node ${version}`);
      cpSync(installed.user, to, { recursive: true });
      writeFileSync(
        join(to, 'line.test.mjs'),
        `import assert from 'node:assert/strict';
        import { test } from 'node:test';
        import { roundTrip } from './round_trip.mjs';
        test('a line', async () => assert.equal(await roundTrip(), ${LINE}));`,
      );
      const finished = await runProgram(execPath, ['--test', 'line.test.mjs'], { cwd: to, env: OUTSIDE });
      assert.equal(finished.exitCode, 0, finished.stdout + finished.stderr);
      assert.match(finished.stdout, /pass 1\b/);
    });
  }
});

/** Jest requires ES modules by a call that Node has since 24.9. */
function canRequireInJest(version: string): boolean {
  const [major = 0, minor = 0] = version.slice(1).split('.').map(Number);
  return major > 24 || (major === 24 && minor >= 9);
}

async function jest(node: string, tool: string, cwd: string, file: string): Promise<void> {
  const main = join(tool, 'node_modules/jest/bin/jest.js');
  const args = [JEST_FLAG, main, '--rootDir', '.', '--testMatch', `**/${file}`];
  const { exitCode, stdout, stderr } = await runProgram(node, args, { cwd });
  assert.equal(exitCode, 0, stdout + stderr);
  assert.match(stderr, /Tests: +1 passed, 1 total/);
  assert.doesNotMatch(stderr, /did not exit|failed to exit gracefully|open handles/i);
}
