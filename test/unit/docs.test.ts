import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { after, describe, test } from 'node:test';
import { TempFolder } from '../support/temp_folder.js';

const folder = new TempFolder();
after(() => folder.remove());

const root = resolve(import.meta.dirname, '../..');

/** Folders whose files are not ours, or are built. */
const SKIPPED = new Set(['node_modules', '.git', 'dist', 'dist-test', 'build', 'api', 'coverage']);

const files = filesIn(root).map((file) => relative(root, file).replaceAll('\\', '/'));
const pages = files.filter((file) => file.endsWith('.md') && !file.startsWith('wasm/sources/'));
const manifest = JSON.parse(read('package.json')) as { readonly files: readonly string[] };

/** What npm packs: `files`, which may be folders or end in `*.EXTENSION`. */
const packed = files.filter((file) => manifest.files.some((entry) => covers(entry, file)));

for (const page of pages) {
  test(`every link in ${page} leads somewhere`, () => {
    const broken = linksIn(page).filter((link) => !resolves(page, link));
    assert.deepEqual(broken, []);
  });
}

test('every link in a packed page leads to a packed file', () => {
  const broken = pages
    .filter((page) => packed.includes(page))
    .flatMap((page) => linksIn(page).map((link) => ({ page, link, target: targetOf(page, link) })))
    .filter(({ target }) => !packed.some((file) => file === target || file.startsWith(`${target}/`)))
    .map(({ page, link }) => `${page}: ${link}`);
  assert.deepEqual(broken, []);
});

test('every page of docs/ that a source, a test or a tool names exists', () => {
  const broken = files
    .filter((file) => /^(src|test|tools|bench|demo|examples|wasm)\/.*\.(ts|c|h|sh)$/.test(file))
    .filter((file) => !file.startsWith('wasm/sources/'))
    .flatMap((file) => [...read(file).matchAll(/docs\/[a-z/_-]+\.md/g)].map(([page]) => ({ file, page })))
    .filter(({ page }) => !existsSync(join(root, page)))
    .map(({ file, page }) => `${file}: ${page}`);
  assert.deepEqual(broken, []);
});

const snippets = pages
  .filter((page) => packed.includes(page))
  .flatMap((page) =>
    [...read(page).matchAll(/^```js\n(.*?)^```$/gms)].map(([, code = ''], at) => ({ page, code, at })),
  );

test('the README has a program', () => {
  assert.ok(snippets.some(({ page }) => page === 'README.md'));
});

for (const { page, code, at } of snippets) {
  // What newer versions of Node add to the language does not parse here.
  test(`JavaScript snippet ${at + 1} of ${page} parses with the Node that runs this`, () => {
    const isModule = /^import /m.test(code) || /^(?!.*require\().*\bawait\b/m.test(code);
    const program = isModule ? code : `(async () => {\n${code}\n});`;
    const file = folder.file(`snippet${at}.${isModule ? 'mjs' : 'cjs'}`);
    writeFileSync(file, program);
    const { status, stderr } = spawnSync(process.execPath, ['--check', file], { encoding: 'utf8' });
    assert.equal(status, 0, stderr);
  });
}

test('every source file that a page names is there', () => {
  const sources = files.filter((file) => /\.(ts|c|sh)$/.test(file));
  const isThere = (name: string): boolean =>
    sources.some((file) => file === name || file.endsWith(`/${name}`));
  const broken = pages
    // The history names files as they were, and pages of vendor/ name files of other projects.
    .filter((page) => !/^(CHANGELOG\.md|bench\/HISTORY\.md|vendor\/)/.test(page))
    .flatMap((page) => {
      return [...withoutCode(page).matchAll(/`([a-z_/]+\.(?:ts|c|sh))`/g)].map(([, name = '']) => ({
        page,
        name,
      }));
    })
    .filter(({ name }) => !isThere(name))
    .map(({ page, name }) => `${page}: ${name}`);
  assert.deepEqual(broken, []);
});

test('prose wraps at 100 columns, and no paragraph has more than 8 lines', () => {
  const broken = pages
    .filter((page) => !page.startsWith('vendor/'))
    .flatMap((page) =>
      paragraphsIn(page)
        .filter((lines) => lines.length > 8 || lines.some((line) => line.length > 100))
        .map(([first = '']) => `${page}: ${first}`),
    );
  assert.deepEqual(broken, []);
});

describe('docs/troubleshooting.md', () => {
  test('quotes messages that the program prints', () => {
    // Texts that are joined from several literals are read as one.
    const sources = files
      .filter((file) => file.startsWith('src/'))
      .map((file) => read(file).replaceAll(/['`] \+\s*['`]/g, ''))
      .join('\n');
    const quoted = [...read('docs/troubleshooting.md').matchAll(/^```\n(.*?)^```/gms)].flatMap(
      ([, lines = '']) => lines.trim().split('\n'),
    );
    assert.ok(quoted.length > 10);
    assert.deepEqual(
      quoted.filter((line) => !sources.includes(line)),
      [],
    );
  });
});

/** Paragraphs and items of lists: without code, tables, headings and images. */
function paragraphsIn(page: string): string[][] {
  const paragraphs: string[][] = [[]];
  for (const line of withoutCode(page).split('\n')) {
    const isProse = line.trim() !== '' && !/^\s*(?:\||#|!\[|<)/.test(line);
    if (!isProse || /^\s*(?:[-*]|\d+\.) /.test(line)) paragraphs.push([]);
    if (isProse) paragraphs.at(-1)?.push(line);
  }
  return paragraphs;
}

/** Targets of the relative links of a page, in text and not in code. */
function linksIn(page: string): string[] {
  const text = withoutCode(page).replaceAll(/`[^`\n]*`/g, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)|(?:src|srcset)="([^"]+)"/g)]
    .map(([, link, source]) => link ?? source ?? '')
    .filter((link) => !/^[a-z]+:/.test(link));
}

function targetOf(page: string, link: string): string {
  const [path = ''] = link.split('#');
  return path === '' ? page : relative(root, resolve(root, dirname(page), path)).replaceAll('\\', '/');
}

function resolves(page: string, link: string): boolean {
  const target = targetOf(page, link);
  if (!existsSync(join(root, target))) return false;
  const [, anchor] = link.split('#');
  return anchor === undefined || anchorsOf(target).has(anchor);
}

/** The anchors that Markdown renderers give the headings of a page. */
function anchorsOf(page: string): Set<string> {
  return new Set(
    [...withoutCode(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

function covers(entry: string, file: string): boolean {
  if (file === entry || file.startsWith(`${entry}/`)) return true;
  const [folder, extension] = entry.split('*');
  return extension !== undefined && dirname(file) === dirname(`${folder}x`) && file.endsWith(extension);
}

/** The text of a page without its blocks of code. */
function withoutCode(page: string): string {
  return read(page).replaceAll(/^```.*?^```/gms, '');
}

function read(file: string): string {
  return readFileSync(join(root, file), 'utf8');
}

function filesIn(folder: string): string[] {
  return readdirSync(folder).flatMap((name) => {
    const path = join(folder, name);
    if (!statSync(path).isDirectory()) return [path];
    return SKIPPED.has(name) ? [] : filesIn(path);
  });
}
