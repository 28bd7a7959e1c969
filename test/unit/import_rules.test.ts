import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, posix } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TempFolder } from '../support/temp_folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** For each folder of src/: a file that it must not import, and one that it may. */
const FOLDERS: Readonly<Record<string, { refused: string; allowed: string }>> = {
  '.': { refused: 'worker/tox_worker', allowed: 'tunnel/listener' },
  core: { refused: 'mux/wire/reasons', allowed: 'core/errors' },
  ring: { refused: 'bridge/contract', allowed: 'core/limits' },
  control: { refused: 'cli/command', allowed: 'core/errors' },
  network: { refused: 'state/saved_nodes', allowed: 'core/errors' },
  rules: { refused: 'access/policy', allowed: 'mux/wire/target' },
  access: { refused: 'state/identity_file', allowed: 'rules/rule_book' },
  state: { refused: 'access/policy', allowed: 'network/tox_id' },
  'mux/wire': { refused: 'mux/stream/stream', allowed: 'core/limits' },
  'mux/schedule': { refused: 'mux/session/session', allowed: 'core/limits' },
  'mux/datagram': { refused: 'mux/stream/stream', allowed: 'mux/wire/frame' },
  'mux/stream': { refused: 'mux/session/session', allowed: 'mux/datagram/datagrams' },
  'mux/session': { refused: 'ring/ring_writer', allowed: 'mux/stream/stream' },
  forward: { refused: 'forward/entry/local', allowed: 'mux/stream/stream_api' },
  'forward/entry': { refused: 'forward/exit/dial', allowed: 'forward/proxy/proxy_client' },
  'forward/exit': { refused: 'mux/session/session', allowed: 'forward/pipe' },
  'forward/proxy': { refused: 'forward/entry/local', allowed: 'forward/pipe' },
  'forward/reverse': { refused: 'forward/entry/local', allowed: 'rules/forward_spec' },
  'forward/stream': { refused: 'forward/entry/local', allowed: 'forward/serve_log' },
  bridge: { refused: 'worker/tox_worker', allowed: 'ring/main_rings' },
  worker: { refused: 'bridge/tox_node', allowed: 'bridge/contract' },
  'worker/channel': { refused: 'worker/channel_set', allowed: 'worker/channel/recovery/loss_recovery' },
  'worker/channel/bundles': {
    refused: 'worker/channel/recovery/loss_recovery',
    allowed: 'worker/channel/packet',
  },
  'worker/channel/recovery': {
    refused: 'worker/channel/sender',
    allowed: 'worker/channel/bundles/outgoing_bundles',
  },
  'worker/channel/congestion': {
    refused: 'worker/channel/recovery/loss_recovery',
    allowed: 'worker/channel/xorshift',
  },
  'worker/net': { refused: 'worker/tox/tox', allowed: 'core/ip' },
  'worker/tox': { refused: 'worker/friends', allowed: 'worker/net/network' },
  peer: { refused: 'tunnel/listener', allowed: 'mux/session/session' },
  tunnel: { refused: 'ring/main_rings', allowed: 'peer/listener_peer' },
  cli: { refused: 'bridge/tox_node', allowed: 'index' },
  'cli/commands': { refused: 'cli/program', allowed: 'cli/service/serve' },
  'cli/options': { refused: 'cli/commands/listen', allowed: 'cli/process/io' },
  'cli/output': { refused: 'cli/service/serve', allowed: 'index' },
  'cli/process': { refused: 'cli/output/reporter', allowed: 'index' },
  'cli/service': { refused: 'cli/commands/listen', allowed: 'cli/options/flags' },
};

/** Folders whose callers hand in sockets and files. */
const WITHOUT_IO = [
  '.',
  'rules',
  'access',
  'mux/wire',
  'mux/schedule',
  'mux/datagram',
  'mux/stream',
  'mux/session',
  'worker/channel',
  'worker/channel/bundles',
  'worker/channel/recovery',
  'worker/channel/congestion',
];

interface Diagnostic {
  readonly category: string;
  readonly location: { readonly path: string };
}

test('every folder of src has a row in this table', () => {
  const files = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' });
  const folders = files.filter((name) => name.endsWith('.ts')).map((name) => dirname(name));
  assert.deepEqual(
    [...new Set(folders.map((name) => name.replaceAll('\\', '/')))].sort(),
    Object.keys(FOLDERS).sort(),
  );
});

test('the linter refuses a forbidden import in each folder, and passes an allowed one', async (t) => {
  const temp = new TempFolder();
  t.after(() => temp.remove());
  const copy = temp.path;
  copyFileSync(join(root, 'biome.json'), join(copy, 'biome.json'));
  const expected: string[] = [];
  const plant = (folder: string, name: string, line: string, isRefused: boolean): void => {
    const file = posix.join('src', folder, `${name}.ts`);
    mkdirSync(join(copy, dirname(file)), { recursive: true });
    writeFileSync(join(copy, file), `${line}\n`);
    if (isRefused) expected.push(file);
  };
  for (const [folder, { refused, allowed }] of Object.entries(FOLDERS)) {
    for (const target of [refused, allowed]) {
      assert.ok(existsSync(join(root, 'src', `${target}.ts`)), `src/${target}.ts does not exist`);
    }
    plant(folder, 'planted_static', `import '${specifier(folder, refused)}';`, true);
    plant(folder, 'planted_type', `export type * from '${specifier(folder, refused)}';`, true);
    plant(folder, 'planted_dynamic', `await import('${specifier(folder, refused)}');`, true);
    plant(folder, 'planted_allowed', `import '${specifier(folder, allowed)}';`, false);
  }
  for (const folder of WITHOUT_IO) plant(folder, 'planted_io', `import 'node:dgram';`, true);
  assert.deepEqual(await refusedFiles(copy), expected.sort());
});

test('the linter refuses an import cycle, even one of types only', async (t) => {
  const temp = new TempFolder();
  t.after(() => temp.remove());
  copyFileSync(join(root, 'biome.json'), join(temp.path, 'biome.json'));
  const folder = join(temp.path, 'src', 'core');
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'one.ts'), `import type { Two } from './two.js';\nexport type One = Two | 1;\n`);
  writeFileSync(join(folder, 'two.ts'), `import type { One } from './one.js';\nexport type Two = One | 2;\n`);
  assert.deepEqual(await refusedFiles(temp.path, 'suspicious/noImportCycles'), [
    'src/core/one.ts',
    'src/core/two.ts',
  ]);
});

function specifier(folder: string, target: string): string {
  const path = posix.relative(folder, `${target}.js`);
  return path.startsWith('.') ? path : `./${path}`;
}

/** The files below `folder` that a rule of the linter refuses. */
async function refusedFiles(folder: string, rule = 'style/noRestrictedImports'): Promise<string[]> {
  const program = createRequire(import.meta.url).resolve('@biomejs/biome/bin/biome');
  const args = ['lint', `--only=${rule}`, '--reporter=json', '--max-diagnostics=none', '.'];
  const output = await new Promise<string>((resolve) => {
    // It exits with 1 when it refuses something.
    execFile(process.execPath, [program, ...args], { cwd: folder, maxBuffer: 1 << 26 }, (_, stdout) =>
      resolve(stdout),
    );
  });
  const { diagnostics } = JSON.parse(output) as { diagnostics: Diagnostic[] };
  for (const { category } of diagnostics) assert.equal(category, `lint/${rule}`);
  return [...new Set(diagnostics.map(({ location }) => location.path.replaceAll('\\', '/')))].sort();
}
