import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import { pathToFileURL } from 'node:url';

/** The files that a Tox node reads at its start, in case they are not in their default places. */
export interface PackageFiles {
  /** The program of the worker thread: `tox-wasm-tunnel/worker`, or a bundler's version of it. */
  readonly worker?: URL;
  /** `tox-wasm-tunnel/tox.wasm`. */
  readonly wasm?: URL;
}

/** Where this code is, and where it refers to the two files. */
export interface CodePlace {
  /** The file that contains this code: a file of the package, or a bundle. */
  readonly own: URL;
  /** Undefined in a bundle in CommonJS. */
  readonly files?: Required<PackageFiles>;
}

/** The name of this file, unless a bundler has merged it into another. */
const OWN_NAME = /\/package_files\.[jt]s$/;
const WORKER_ENDING = '/worker/main.mjs';
const WASM_ENDING = '/wasm/dist/tox.wasm';
/** The worker's name next to a bundle, without its extension. */
const BUNDLED_WORKER = 'tox-wasm-tunnel-worker';

/** @param url of this module. Bundlers that write CommonJS leave it undefined */
function placeOf(url: string | undefined): CodePlace {
  if (url === undefined) return { own: pathToFileURL(__filename) };
  return {
    own: new URL(url),
    files: {
      // Do not change the form of these: webpack, rspack and Next.js recognize it, copy the file and change the path.
      worker: new URL('../worker/main.mjs', import.meta.url),
      wasm: new URL('../../wasm/dist/tox.wasm', import.meta.url),
    },
  };
}

/** The worker's program: in the package, where a bundler has put it, or beside the bundle. */
export function workerFile({ own, files }: CodePlace = placeOf(import.meta.url)): URL {
  if (OWN_NAME.test(own.pathname) && isSource(own)) return new URL('../worker/main.ts', own);
  const extensions = new Set([extname(own.pathname), '.mjs', '.js', '.cjs']);
  return (
    referred(own, files?.worker, WORKER_ENDING) ??
    beside(
      own,
      [...extensions].map((extension) => `${BUNDLED_WORKER}${extension}`),
    )
  );
}

/** The wasm: in the package, where a bundler has put it, or beside the bundle. Sources and dist are equally deep. */
export function wasmFile({ own, files }: CodePlace = placeOf(import.meta.url)): URL {
  return referred(own, files?.wasm, WASM_ENDING) ?? beside(own, ['tox.wasm']);
}

export function isSource(file: URL): boolean {
  return file.pathname.endsWith('.ts');
}

/**
 * Returns a file that this code refers to, unless the reference is wrong: a bundler has moved this code and left the
 * reference as it was.
 */
function referred(own: URL, file: URL | undefined, ending: string): URL | undefined {
  const isChanged = file?.pathname.endsWith(ending) === false;
  return isChanged || OWN_NAME.test(own.pathname) ? file : undefined;
}

/** Finds a file next to a bundle, or in the folder above: some bundlers put shared code into a folder of its own. */
function beside(own: URL, names: readonly string[]): URL {
  const candidates = ['./', '../'].flatMap((folder) => names.map((name) => new URL(`${folder}${name}`, own)));
  // Without any of them, the error names the first.
  return candidates.find((file) => existsSync(file)) ?? new URL(`./${names[0]}`, own);
}
