import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { build, type Plugin } from 'esbuild';

/** Finds the worker and the wasm by its own place, so it stays a file of its own. */
const OWN_PLACE = 'bridge/package_files';
/** Stands for the path to that file, which depends on the folder of the file that imports it. */
const PLACEHOLDER = `own-place:${OWN_PLACE}`;

/** Programs and modules that the package names. They share what they have in common. */
const ENTRIES = ['index', 'cli/main', 'worker/main', OWN_PLACE];

/**
 * Bundles the sources: a file for each entry, and files for what is loaded later or by several entries. These lie in
 * a folder as deep as those of the sources, so that the paths to package.json stay the same. Dependencies stay
 * outside.
 */
export async function bundleSources(source: string, folder: string): Promise<void> {
  const { outputFiles } = await build({
    entryPoints: ENTRIES.map((entry) => join(source, `${entry}.ts`)),
    outbase: source,
    outdir: folder,
    chunkNames: 'shared/[name]-[hash]',
    bundle: true,
    splitting: true,
    packages: 'external',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    logLevel: 'warning',
    // Names stay, and lines stay short, because Node prints the line of an uncaught error.
    minifyWhitespace: true,
    lineLimit: 120,
    write: false,
    plugins: [keepOwnPlace],
  });
  for (const { path, text } of outputFiles) {
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
