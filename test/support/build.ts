/**
 * A build of the sources for tests that start processes and worker threads: each of those would
 * compile the sources again, which costs more than most of them do afterwards. `test/run.ts` makes
 * it before the tests. A test file that is run without it uses the sources, so no test sees an old build.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';

/** Names the folder of the build to the test files, and to the programs that they start. */
const VARIABLE = 'TOX_WASM_TUNNEL_TEST_BUILD';

/** In the repository, as deep as dist/, so that package.json and the wasm are found the same way. */
const FOLDER = 'dist-test';

/** The path of a built file, such as `cli/main.js`; undefined when nothing was built. */
export function built(file: string): string | undefined {
  const folder = process.env[VARIABLE];
  return folder === undefined ? undefined : join(folder, file);
}

/** The option of the library that makes it start the built worker; empty when nothing was built. */
export function builtWorker(): { readonly files?: { readonly worker: URL } } {
  const worker = built('worker/main.js');
  return worker === undefined ? {} : { files: { worker: pathToFileURL(worker) } };
}

/**
 * Brings the build up to date, and passes its folder to the tests. Each source becomes a file, as in `npm run
 * build`, but without types: the compiler needs half a minute for those, and this takes a second.
 */
export async function buildSources(root: string): Promise<void> {
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
    entryPoints: readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts') && !/^cli\b/.test(name))
      .map((name) => join(source, name)),
  });
  // The command line and its worker as a bundle: a start costs half, and the tests start hundreds.
  const programs = await build({
    ...options,
    entryPoints: {
      'cli/main': join(source, 'cli/main.ts'),
      'cli/tox-wasm-tunnel-worker': join(source, 'worker/main.ts'),
    },
    bundle: true,
    packages: 'external',
  });
  const current = new Map(
    [...files.outputFiles, ...programs.outputFiles].map(({ path, contents }) => [path, contents]),
  );
  current.set(join(folder, 'cli/tox.wasm'), readFileSync(join(root, 'wasm/dist/tox.wasm')));
  // The library by its name, for programs that tsx runs with this configuration.
  const configuration = { compilerOptions: { paths: { 'tox-wasm-tunnel': ['./index.js'] } } };
  current.set(join(folder, 'tsconfig.json'), Buffer.from(JSON.stringify(configuration)));
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

function isSame(path: string, contents: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(contents);
  } catch {
    return false;
  }
}
