import assert from 'node:assert/strict';
import { existsSync, readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { ESLint } from 'eslint';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** Maximum number of files in one folder of src/. */
const MAX_FILES = 25;

/** These need the types of the whole project, which planted files are not part of. */
const TYPED_RULES = [
  'no-floating-promises',
  'no-misused-promises',
  'await-thenable',
  'switch-exhaustiveness-check',
  'no-unnecessary-condition',
  'only-throw-error',
];

const eslint = new ESLint({
  cwd: root,
  overrideConfig: [
    {
      languageOptions: { parserOptions: { projectService: false } },
      rules: Object.fromEntries(TYPED_RULES.map((name) => [`@typescript-eslint/${name}`, 'off'])),
    },
  ],
});

/** The rules that refuse a file with that text. */
async function refusals(file: string, text: string): Promise<string[]> {
  const results = await eslint.lintText(`${text}\n`, { filePath: join(root, file) });
  return results.flatMap(({ messages }) => messages.map(({ ruleId, message }) => ruleId ?? message));
}

const GLOBAL = 'no-restricted-globals';
const PROPERTY = 'no-restricted-properties';
const SYNTAX = 'no-restricted-syntax';
const IMPORT = '@typescript-eslint/no-restricted-imports';

/** A line, the rule that refuses it in src, and a file that may have it. */
const BANNED: readonly (readonly [line: string, rule: string, owner?: string])[] = [
  ['Date.now();', PROPERTY, 'src/worker/run_worker.ts'],
  ['performance.now();', GLOBAL, 'src/core/clock.ts'],
  ['globalThis.performance.now();', PROPERTY, 'src/core/clock.ts'],
  ['process.hrtime();', PROPERTY, 'src/core/clock.ts'],
  ['setTimeout(() => {}, 1);', GLOBAL, 'src/core/clock.ts'],
  ['globalThis.setTimeout(() => {}, 1);', PROPERTY, 'src/core/clock.ts'],
  ['setInterval(() => {}, 1);', GLOBAL, 'src/core/clock.ts'],
  ['AbortSignal.timeout(1);', PROPERTY, 'src/core/clock.ts'],
  ['new Date();', SYNTAX, 'src/cli/process/process_io.ts'],
  [`import { setTimeout } from 'node:timers/promises';`, IMPORT, 'src/core/clock.ts'],
  [`import { performance } from 'node:perf_hooks';`, IMPORT, 'src/core/clock.ts'],
  ['setImmediate(() => {});', GLOBAL, 'src/worker/run_worker.ts'],
  ['Math.random();', PROPERTY, 'src/tunnel/machine.ts'],
  ['crypto.getRandomValues(new Uint8Array(1));', GLOBAL, 'src/tunnel/machine.ts'],
  [`import { randomBytes } from 'node:crypto';`, IMPORT, 'src/tunnel/machine.ts'],
  [`import { connect } from 'node:net';`, IMPORT, 'src/forward/exit/dial.ts'],
  [`import { createSocket } from 'node:dgram';`, IMPORT, 'src/worker/net/open_sockets.ts'],
  [`import { connect } from 'node:tls';`, IMPORT, 'src/forward/stream/undici_connect.ts'],
  [`import { createServer } from 'node:http';`, IMPORT, 'src/cli/service/metrics.ts'],
  [`import { get } from 'node:https';`, IMPORT, 'src/forward/stream/agent.ts'],
  [`import { lookup } from 'node:dns/promises';`, IMPORT, 'src/forward/exit/dial.ts'],
  [`void fetch('http://h');`, GLOBAL, 'src/cli/commands/nodes_download.ts'],
  [`import { spawn } from 'node:child_process';`, IMPORT, 'src/cli/process/process_io.ts'],
  [`await import('node:child_process');`, SYNTAX, 'src/cli/process/process_io.ts'],
  [`console.log('x');`, GLOBAL],
  ['process.exit(1);', PROPERTY, 'src/cli/process/process_io.ts'],
];

/** Folders whose code a ban must reach, so that no later entry of the configuration undoes it. */
const FOLDERS = [
  'core',
  'ring',
  'mux/wire',
  'worker/channel/bundles',
  'worker/net',
  'rules',
  'access',
  'peer',
];

test('the linter refuses the clock, randomness, sockets, programs, console and exits outside the files that own them', async () => {
  for (const [line, rule, owner] of BANNED) {
    for (const folder of FOLDERS)
      assert.deepEqual(await refusals(`src/${folder}/planted.ts`, line), [rule], `${folder}: ${line}`);
    if (owner === undefined) continue;
    assert.ok(existsSync(join(root, owner)), `${owner} does not exist`);
    assert.deepEqual(await refusals(owner, line), [], `${owner}: ${line}`);
    assert.deepEqual(await refusals('test/unit/planted.ts', line), [], `a test: ${line}`);
  }
});

test('the linter accepts socket types and address checks everywhere', async () => {
  for (const line of [
    `import type { Socket } from 'node:net';`,
    `import type { Server } from 'node:http';`,
    `import { isIP, isIPv6 } from 'node:net';`,
    `import { createHash } from 'node:crypto';`,
    'new Date(0);',
  ])
    assert.deepEqual(await refusals('src/rules/planted.ts', line), [], line);
});

test('the linter refuses files without a subject in their name, and files of more than 500 lines', async () => {
  for (const name of [
    'utils',
    'oops_utils',
    'util',
    'test_helpers',
    'helper',
    'common',
    'misc',
    'utils/text',
  ]) {
    assert.deepEqual(await refusals(`src/core/${name}.ts`, ''), [SYNTAX], name);
    assert.deepEqual(await refusals(`test/support/${name}.ts`, ''), [SYNTAX], name);
  }
  for (const name of ['common_options', 'commonly', 'utility']) {
    assert.deepEqual(await refusals(`src/core/${name}.ts`, ''), [], name);
  }
  for (const folder of ['src/core', 'test/support', 'bench', 'tools']) {
    assert.deepEqual(await refusals(`${folder}/planted.ts`, '\n'.repeat(498)), [], folder);
    assert.deepEqual(await refusals(`${folder}/planted.ts`, '\n'.repeat(500)), ['max-lines'], folder);
  }
});

test(`no folder of src holds more than ${MAX_FILES} files`, () => {
  const counts = new Map<string, number>();
  for (const name of readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })) {
    if (name.endsWith('.ts')) counts.set(dirname(name), (counts.get(dirname(name)) ?? 0) + 1);
  }
  assert.deepEqual(
    [...counts].filter(([, count]) => count > MAX_FILES),
    [],
  );
});
