/**
 * Builds the command line for the tests that start it, file by file as `npm run build` does, but
 * without the types: the compiler needs half a minute for those and this takes a second.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { build } from 'esbuild';

/** The folder in the repository, as deep as dist/, so that package.json and the wasm are found the same way. */
const FOLDER = 'dist-test';

/** Brings the build up to date with the sources; returns the path of the command line's main file. */
export async function buildCli(root: string): Promise<string> {
  const source = join(root, 'src');
  const folder = join(root, FOLDER);
  const { outputFiles } = await build({
    entryPoints: readdirSync(source, { recursive: true, encoding: 'utf8' })
      .filter((name) => name.endsWith('.ts'))
      .map((name) => join(source, name)),
    outbase: source,
    outdir: folder,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    sourcemap: 'linked',
    write: false,
    logLevel: 'warning',
  });
  const built = new Set<string>();
  for (const { path, contents } of outputFiles) {
    built.add(path);
    if (isSame(path, contents)) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, contents);
  }
  // What is left of sources that have gone. Unchanged files stay: another run may be using them.
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    if (entry.isFile() && !built.has(path)) rmSync(path);
  }
  return join(folder, 'cli', 'main.js');
}

function isSame(path: string, contents: Uint8Array): boolean {
  try {
    return readFileSync(path).equals(contents);
  } catch {
    return false;
  }
}
