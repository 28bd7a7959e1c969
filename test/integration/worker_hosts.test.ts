/** The worker thread in hosts that Node was started for in some other way than by `node FILE`. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, describe, test } from 'node:test';
import { pathToFileURL } from 'node:url';
import { built } from '../support/build.js';
import { LOOPBACK_HOST } from '../support/loopback.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const folder = new TempFolder();
after(() => folder.remove());

const file = built('index.js');
const library = file === undefined ? new URL('../../src/index.ts', import.meta.url) : pathToFileURL(file);
const runner = file === undefined ? ['--import', import.meta.resolve('tsx')] : [];

/** A program that starts a thread and ends it. */
const PROGRAM = `
import { createBootstrapNode } from ${JSON.stringify(library.href)};
const first = await createBootstrapNode({ bindAddress: '${LOOPBACK_HOST}', lanDiscovery: false, port: 0, tcpPort: 0 });
await first.close();
process.stdout.write('closed\\n');
`;
const CLOSED = { exitCode: 0, stdout: 'closed\n', stderr: '' };

interface Given {
  readonly options?: string;
  readonly input?: string;
}

const run = (args: readonly string[], { options, input }: Given = {}) =>
  runProgram(process.execPath, [...runner, ...args], {
    env: { ...process.env, ...(options !== undefined && { NODE_OPTIONS: options }) },
    ...(input !== undefined && { input }),
  });

function written(name: string, text: string): string {
  writeFileSync(folder.file(name), text);
  return folder.file(name);
}

describe('the worker starts', () => {
  test('from a program that is an argument', async () => {
    assert.deepEqual(await run(['--input-type=module', '-e', PROGRAM]), CLOSED);
  });

  test('from a program on standard input', async () => {
    assert.deepEqual(await run(['--input-type=module', '-'], { input: PROGRAM }), CLOSED);
  });

  test('when NODE_OPTIONS has the type of that program', async () => {
    assert.deepEqual(await run(['-e', PROGRAM], { options: '--input-type=module' }), CLOSED);
  });
});

describe('a preload runs once, in the main thread', () => {
  const program = written('program.mjs', PROGRAM);
  // Changing the folder is impossible in a thread.
  const text = 'process.chdir("/");process.stdout.write("preloaded\\n");';
  const module = pathToFileURL(written('preload.mjs', text)).href;
  const script = written('preload.cjs', text);
  const once = { exitCode: 0, stdout: 'preloaded\nclosed\n', stderr: '' };

  for (const option of [`--import=${module}`, `--require=${script}`]) {
    // Without a build the tests run by tsx, for whose hooks Node makes a thread that runs the scripts again.
    const skip = file === undefined && option.startsWith('--require');
    test(`${option.replace(/=.*/, '')} as an argument`, { skip }, async () => {
      assert.deepEqual(await run([option, program]), once);
    });

    test(`${option.replace(/=.*/, '')} in NODE_OPTIONS`, { skip }, async () => {
      assert.deepEqual(await run([program], { options: option }), once);
    });
  }

  test('even one that starts a worker itself', async () => {
    const preload = pathToFileURL(written('starting.mjs', PROGRAM)).href;
    assert.deepEqual(await run(['--import', preload, program]), { ...CLOSED, stdout: 'closed\nclosed\n' });
  });
});
