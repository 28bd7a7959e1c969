import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** Finds the worker and the wasm by its own place, so it stays a file of its own. Bundlers of programs find them in it. */
const OWN_PLACE = 'bridge/package_files';
/** Stands for the path to that file, which depends on the folder of the file that imports it. */
const PLACEHOLDER = `own-place:${OWN_PLACE}`;

/** Programs and modules that the package names. They share what they have in common. */
const ENTRIES = ['index', 'cli/main', OWN_PLACE];
const WORKER = 'worker/main';

/**
 * Bundles the sources: a file for each entry, and files for what is loaded later or by several entries. These lie in
 * a folder as deep as those of the sources, so that the paths to package.json stay the same. Dependencies stay
 * outside, but not those of the worker: its single file runs wherever it is copied to, in a package of any type.
 */
export async function bundleSources(source: string, folder: string): Promise<void> {
  const options = {
    outbase: source,
    outdir: folder,
    bundle: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    // Names stay, and lines stay short, because Node prints the line of an uncaught error.
    minifyWhitespace: true,
    lineLimit: 120,
    write: false,
  } as const;
  const main = await build({
    ...options,
    entryPoints: ENTRIES.map((entry) => join(source, `${entry}.ts`)),
    chunkNames: 'shared/[name]-[hash]',
    splitting: true,
    packages: 'external',
    plugins: [keepOwnPlace, withoutSources],
  });
  const worker = await build({
    ...options,
    entryPoints: [join(source, `${WORKER}.ts`)],
    outExtension: { '.js': '.mjs' },
    mainFields: ['module', 'main'],
  });
  for (const { path, text } of [...main.outputFiles, ...worker.outputFiles]) {
    const to = relative(dirname(path), join(folder, `${OWN_PLACE}.js`)).replaceAll('\\', '/');
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text.replaceAll(PLACEHOLDER, to.startsWith('.') ? to : `./${to}`));
  }
}

const keepOwnPlace: Plugin = {
  name: 'keep-own-place',
  setup({ onResolve }) {
    onResolve({ filter: /\/package_files\.js$/ }, () => ({ path: PLACEHOLDER, external: true }));
  },
};

/** The package has no TypeScript to run, and must not name the compiler: a program's bundler would look for it. */
const withoutSources: Plugin = {
  name: 'without-sources',
  setup({ onLoad }) {
    onLoad({ filter: /\bsource_boot\.ts$/ }, () => ({
      contents: 'export const sourceBoot = () => undefined;',
    }));
  },
};
