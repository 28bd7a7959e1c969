/**
 * The declarations as compilers of users read them: every exported name, with TypeScript old and new, in ES modules and
 * CommonJS, and with the libraries checked too. npm gets the compilers.
 */
import assert from 'node:assert/strict';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { installedPackage } from '../support/installed_package.js';
import { NpmTools } from '../support/npm_tools.js';
import { runProgram } from '../support/run_program.js';
import { TempFolder } from '../support/temp_folder.js';

const { user } = installedPackage();
const folder = new TempFolder();
after(() => folder.remove());
const tools = new NpmTools(folder);

/** The oldest that has all that the declarations use, the last of version 5, and the newest. */
const COMPILERS = [
  { typescript: 'typescript@5.4', nodeTypes: '@types/node@20', requiresModules: false },
  { typescript: 'typescript@5.9', nodeTypes: '@types/node@22', requiresModules: true },
  { typescript: 'typescript@7', nodeTypes: '@types/node@24', requiresModules: true },
] as const;

/** How long a compiler may take, in milliseconds: a few seconds on an idle machine. */
const LIMIT_MS = 300_000;

/** What each program does with what it has imported. Overloads and generics show only in use. */
const USE = `
  await using first = await createBootstrapNode({ port: 0 });
  const listener = await listen({ expose: ['22'] });
  listener.on('error', (error) => { const code: string = error.code; void code; });
  const tunnel = await connect({ remote: listener.ticket });
  tunnel.once('peer', (change) => { const key: string = change.publicKey; void key; });
  const stream = tunnel.dial({ host: 'localhost', port: 1 });
  stream.on('data', (chunk: Buffer) => { void chunk.length; });
  await tunnel.close();
  return first.publicKey;
`;

describe('the types', () => {
  before(() => tools.install(...COMPILERS.map((used) => [used.typescript, used.nodeTypes] as const)));

  for (const { typescript, requiresModules } of COMPILERS) {
    test(`${typescript} takes every exported name, in ES modules and in CommonJS`, async (context) => {
      const tool = tools.folderOf(typescript, context);
      if (tool === undefined) return;
      cpSync(join(user, 'node_modules'), join(tool, 'node_modules'), { recursive: true });
      const body = `export async function program(): Promise<string> {${USE}}\n`;
      const values = "import { connect, createBootstrapNode, listen } from 'tox-wasm-tunnel';\n";
      const every = exportedNames(user).map((name, at) => `${name} as E${at}`);
      const all = (from: string) => `import type { ${every.join(', ')} } from ${from};\n`;
      const module = `${all("'tox-wasm-tunnel'")}${values}${body}`;
      writeFileSync(join(tool, 'module.mts'), module);
      writeFileSync(join(tool, 'bundled.ts'), module);
      writeFileSync(join(tool, 'required.cts'), `${values}${body}`);
      // Works in every version. With older ones, the static import of an ES module is refused in CommonJS.
      const imported = USE.replace(
        '\n',
        "\n const { connect, createBootstrapNode, listen } = await import('tox-wasm-tunnel');\n",
      );
      writeFileSync(
        join(tool, 'imported.cts'),
        `${all("'tox-wasm-tunnel' with { 'resolution-mode': 'import' }")}export async function program(): Promise<string> {${imported}}\n`,
      );
      const anywhere = ['module.mts', 'imported.cts'];
      await compiled(tool, ['node16', 'node16'], anywhere);
      await compiled(
        tool,
        ['nodenext', 'nodenext'],
        requiresModules ? [...anywhere, 'required.cts'] : anywhere,
      );
      await compiled(tool, ['esnext', 'bundler'], ['bundled.ts']);
    });
  }
});

/** Asserts that these files compile, and that the compiler finds no fault in the declarations either. */
async function compiled(
  tool: string,
  [module, resolution]: readonly [string, string],
  files: readonly string[],
): Promise<void> {
  const options = [
    '--noEmit',
    '--strict',
    '--skipLibCheck',
    'false',
    '--types',
    'node',
    '--target',
    'es2022',
  ];
  const finished = await runProgram(
    process.execPath,
    [
      join(tool, 'node_modules/typescript/bin/tsc'),
      ...options,
      ...['--lib', 'es2022,esnext.disposable', '--module', module, '--moduleResolution', resolution],
      ...files,
    ],
    { cwd: tool, limitMs: LIMIT_MS },
  );
  assert.deepEqual(finished, { exitCode: 0, stdout: '', stderr: '' }, `module ${module}`);
}

/** The names that the package's index exports, values and types. */
function exportedNames(from: string): string[] {
  const text = readFileSync(join(from, 'node_modules/tox-wasm-tunnel/dist/index.d.ts'), 'utf8');
  const listed = [...text.matchAll(/^export (?:type )?\{([^}]*)\}/gm)].flatMap(([, names = '']) =>
    names.split(',').map((name) => name.replace(/\btype\b/, '').trim()),
  );
  const declared = [...text.matchAll(/^export declare function (\w+)/gm)].map(([, name = '']) => name);
  const names = [...listed, ...declared].filter((name) => name !== '');
  assert.ok(names.length > 100, `found only ${names.length}`);
  return names;
}
