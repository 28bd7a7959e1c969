/**
 * A build of the sources and of the tests: each test file, process and worker thread would compile
 * the sources again, which costs more than most of them do afterwards. `test/run.ts` makes it before the tests.
 * A test file that is run without it uses the sources, so no test sees an old build.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import type { Plugin } from 'esbuild';

/** Names the folder of the build to the test files, and to the programs that they start. */
const VARIABLE = 'TOX_WASM_TUNNEL_TEST_BUILD';

/** In the repository, as deep as dist/, so that package.json and the wasm are found the same way. */
const FOLDER = 'dist-test';

/** Its subfolder for the tests and the sources that they import. */
const TESTS = 'tests';

/** The folders of which that subfolder has a copy. */
const TEST_SOURCES = ['src', 'test', 'bench', 'tools', 'examples'];

const root = fileURLToPath(new URL('../../', import.meta.url));

/** The path of a built file, such as `cli/main.js`; undefined when nothing was built. */
export function built(file: string): string | undefined {
  const folder = process.env[VARIABLE];
  return folder === undefined ? undefined : join(folder, file);
}

/** The built file of a test, or of a program that tests start. @param source its path from the root */
export function builtTest(source: string): string | undefined {
  return built(join(TESTS, source.replace(/\.ts$/, '.js')));
}

/**
 * The argument list that runs a TypeScript program of test/ in a process: built if there is a build, otherwise
 * by tsx.
 */
export function programWords(program: URL): [string, ...string[]] {
  const source = fileURLToPath(program);
  const file = builtTest(relative(root, source));
  return file === undefined
    ? [process.execPath, '--import', import.meta.resolve('tsx'), source]
    : [process.execPath, file];
}

/** The URL of a worker's program in test/: of the built file if there is a build. */
export function workerUrl(program: URL): URL {
  const file = builtTest(relative(root, fileURLToPath(program)));
  if (file === undefined) return program;
  const url = new URL(program.search, pathToFileURL(file));
  // Node 20 drops the query of a worker's own URL.
  return url.search === '' ? url : dataUrl(`import ${JSON.stringify(url.href)}`);
}

function dataUrl(program: string): URL {
  return new URL(`data:text/javascript,${encodeURIComponent(program)}`);
}

/**
 * Files look for others beside themselves. A built test finds there what the test has beside it, and a source what
 * its file in the build of the package has.
 */
const oldPlaces: Plugin = {
  name: 'old places',
  setup({ onLoad }) {
    onLoad({ filter: /\.ts$/ }, ({ path }) => {
      const inSource = relative(join(root, 'src'), path);
      const place = inSource.startsWith('..') ? path : join(root, FOLDER, inSource.replace(/\.ts$/, '.js'));
      const url = JSON.stringify(pathToFileURL(place).href);
      const contents = readFileSync(path, 'utf8')
        .replaceAll('import.meta.url', `(${url} + new URL(import.meta.url).search)`)
        .replaceAll('import.meta.dirname', JSON.stringify(dirname(place)));
      return { contents, loader: 'ts' };
    });
  },
};

/**
 * Brings the build up to date, and passes its folder to the tests. Each source becomes a file, as in `npm run
 * build`, but without types: the compiler needs half a minute for those, and this takes a second.
 */
export async function buildSources(): Promise<void> {
  const { build } = await import('esbuild');
  const source = join(root, 'src');
  const folder = join(root, FOLDER);
  const options = {
    outbase: source,
    outdir: folder,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    write: false,
    logLevel: 'warning',
  } as const;
  const files = await build({
    ...options,
    entryPoints: typeScriptIn(source).filter((path) => !/^cli\b/.test(relative(source, path))),
  });
  // The command line and its worker as a bundle, with the packages that each start loads: a start costs half, and the
  // tests start hundreds. The package has them as files of their own; test/package.ts runs it as it is installed.
  const programs = await build({
    ...options,
    entryPoints: {
      'cli/main': join(source, 'cli/main.ts'),
      'cli/tox-wasm-tunnel-worker': join(source, 'worker/main.ts'),
    },
    bundle: true,
    external: ['hash-wasm', 'libsodium-wrappers'],
    // CommonJS packages require modules of Node.
    banner: {
      js: `import { createRequire as requireOf } from 'node:module'; const require = requireOf(import.meta.url);`,
    },
  });
  const worker = await build({
    ...options,
    entryPoints: [join(source, 'worker/main.ts')],
    outExtension: { '.js': '.mjs' },
    bundle: true,
  });
  const tests = await build({
    ...options,
    outbase: root,
    outdir: join(folder, TESTS),
    entryPoints: TEST_SOURCES.flatMap((name) => typeScriptIn(join(root, name))),
    plugins: [oldPlaces],
    sourcesContent: false,
  });
  const current = new Map(
    [files, programs, worker, tests].flatMap(({ outputFiles }) =>
      outputFiles.map(({ path, contents }) => [path, contents] as const),
    ),
  );
  current.set(join(folder, 'cli/tox.wasm'), readFileSync(join(root, 'wasm/dist/tox.wasm')));
  // The library by its name, for the examples.
  const itself = { name: 'tox-wasm-tunnel', type: 'module', exports: { '.': './index.js' } };
  current.set(join(folder, 'package.json'), Buffer.from(JSON.stringify(itself)));
  for (const [path, contents] of current) {
    if (isSame(path, contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  // Removes only the output of deleted sources: another run may be using the rest.
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !current.has(path)) rmSync(path);
  }
  process.env[VARIABLE] = folder;
}

function typeScriptIn(folder: string): string[] {
  return (
    readdirSync(folder, { recursive: true, encoding: 'utf8' })
      // test/clients has packages of its own, and its own runner.
      .filter((name) => name.endsWith('.ts') && !/^clients[\\/]/.test(name))
      .map((name) => join(folder, name))
  );
}

function isSame(path: string, contents: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(contents);
  } catch {
    return false;
  }
}
