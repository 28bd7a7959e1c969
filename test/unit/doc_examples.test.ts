/** The examples in docstrings and in the pages about the library, compiled as a reader's program would be. */
import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { describe, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

const root = fileURLToPath(new URL('../../', import.meta.url));
const read = (path: string): string => readFileSync(`${root}${path}`, 'utf8');

/** What the examples take for granted. */
const PRELUDE = `
import type { IncomingMessage, Server } from 'node:http';
import type { Connector, Identity, Listener, Logger, TunnelNode } from 'tox-wasm-tunnel';
import * as all from 'tox-wasm-tunnel';
declare global {
  const tunnel: Connector;
  const listener: Listener;
  const node: TunnelNode;
  const identity: Identity;
  const logger: Logger;
  const saved: string;
  const query: Uint8Array;
  const server: Server;
  const http: typeof import('node:http');
  const https: typeof import('node:https');
  const http2: typeof import('node:http2');
  const tls: typeof import('node:tls');
  const pg: typeof import('pg');
  const undici: typeof import('undici');
  const ws: typeof import('ws');
  const on: typeof import('node:events').on;
  const readFile: typeof import('node:fs/promises').readFile;
  const writeFile: typeof import('node:fs/promises').writeFile;
  function save(text: string): void;
  // The reader's variables, which are set.
  const environment: Record<string, string>;
  NAMES
}
export {};
`;

interface Example {
  readonly from: string;
  readonly code: string;
}

function sources(folder: string): string[] {
  return readdirSync(`${root}${folder}`, { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory()) return sources(path);
    return path.endsWith('.ts') ? [path] : [];
  });
}

/** The fenced code of a docstring or a page. */
function examplesIn(path: string, fence: RegExp, prefix: RegExp): Example[] {
  const found = [...read(path).matchAll(fence)];
  return found.map(({ 1: code = '' }, at) => ({
    from: `${path}, example ${at + 1}`,
    code: code.replaceAll(prefix, '').replaceAll('process.env.', 'environment.'),
  }));
}

const IN_DOCSTRING = /@example\n\s*\* ```ts\n([\s\S]*?)\s*\* ```/g;
const IN_PAGE = /^```js\n([\s\S]*?)^```/gm;
const PAGES = ['docs/reference/library.md', 'docs/tutorial/use-the-library.md', 'README.md'];

const names = (read('src/index.ts').match(/^export \{[^}]*\}|^export function \w+/gm) ?? [])
  .flatMap((text) =>
    text.startsWith('export function')
      ? [text.slice('export function '.length)]
      : text.slice(text.indexOf('{') + 1, -1).split(','),
  )
  .map((name) => name.trim())
  .filter((name) => name !== '' && !name.startsWith('type '));

describe('the examples of the library', () => {
  test('every exported function, class and value has one', () => {
    const text = sources('src').map(read).join('\n');
    const missing = names.filter((name) => !hasExample(text, name));
    assert.deepEqual(missing, []);
  });

  test('compile', () => {
    const examples = [
      ...sources('src').flatMap((path) => examplesIn(path, IN_DOCSTRING, /^\s*\* ?/gm)),
      ...PAGES.flatMap((path) => examplesIn(path, IN_PAGE, /^$/g)),
    ];
    assert.ok(examples.length > 50, `only ${examples.length}`);
    const globals = names.map((name) => `const ${name}: typeof all.${name};`).join('\n  ');
    const folder = `${root}test/`;
    const files = new Map([[`${folder}zz_prelude.ts`, PRELUDE.replace('NAMES', globals)]]);
    for (const [at, { code }] of examples.entries())
      files.set(`${folder}zz_example_${at}.ts`, `${code}\nexport {};\n`);
    const { options } = ts.parseJsonConfigFileContent(
      ts.readConfigFile(`${root}tsconfig.json`, ts.sys.readFile).config,
      ts.sys,
      root,
    );
    const settings = {
      ...options,
      noUnusedLocals: false,
      noPropertyAccessFromIndexSignature: false,
      exactOptionalPropertyTypes: false,
      noUncheckedIndexedAccess: false,
      incremental: false,
    };
    const host = ts.createCompilerHost(settings);
    const getSourceFile = host.getSourceFile.bind(host);
    host.getSourceFile = (name, version, ...rest) => {
      const own = files.get(name);
      return own === undefined
        ? getSourceFile(name, version, ...rest)
        : ts.createSourceFile(name, own, version, true);
    };
    const { fileExists } = host;
    host.fileExists = (name) => files.has(name) || fileExists.call(host, name);
    const program = ts.createProgram([...files.keys()], settings, host);
    const wrong = [...files.keys()].flatMap((name, at) => {
      const file = program.getSourceFile(name);
      assert.ok(file !== undefined);
      return [...program.getSyntacticDiagnostics(file), ...program.getSemanticDiagnostics(file)].map(
        ({ messageText }) =>
          `${examples[at - 1]?.from ?? 'prelude'}: ${ts.flattenDiagnosticMessageText(messageText, ' ')}`,
      );
    });
    // The page shows what a mistyped option does.
    const [mistyped, ...others] = wrong.sort(
      (one, other) => Number(isMistyped(other)) - Number(isMistyped(one)),
    );
    assert.deepEqual(others, []);
    assert.ok(mistyped !== undefined && isMistyped(mistyped), mistyped);
  });
});

const isMistyped = (line: string): boolean => line.includes("'exposed' does not exist");

/** Whether the docstring right before a declaration has an example. */
function hasExample(text: string, name: string): boolean {
  const declared = text.matchAll(new RegExp(`^export (?:async )?(?:function|const|class) ${name}\\b`, 'gm'));
  return [...declared].some(({ index }) => {
    const before = text.slice(0, index).trimEnd();
    return before.endsWith('*/') && before.slice(before.lastIndexOf('/**')).includes('@example');
  });
}
