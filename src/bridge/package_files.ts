import { extname } from 'node:path';

/** The files that a Tox node reads at its start, in case they are not in their default places. */
export interface PackageFiles {
  /** The program of the worker thread: `tox-wasm-tunnel/worker`, or a bundler's version of it. */
  readonly worker?: URL;
  /** `tox-wasm-tunnel/tox.wasm`. */
  readonly wasm?: URL;
}

/** The name of this file, unless a bundler has merged it into another. */
const OWN_NAME = /\/package_files\.[jt]s$/;
const OWN_URL = new URL(import.meta.url);

/** The worker's program: in its default place, or next to the bundle, with the bundle's extension. */
export function workerFile(own: URL = OWN_URL): URL {
  if (isBundled(own)) return new URL(`./tox-wasm-tunnel-worker${extname(own.pathname)}`, own);
  return new URL(isSource(own) ? '../worker/main.ts' : '../worker/main.js', own);
}

/**
 * The wasm: in its default place, or next to the bundle. The sources and dist are equally deep, so one path
 * fits both.
 */
export function wasmFile(own: URL = OWN_URL): URL {
  return new URL(isBundled(own) ? './tox.wasm' : '../../wasm/dist/tox.wasm', own);
}

export function isSource(file: URL): boolean {
  return file.pathname.endsWith('.ts');
}

function isBundled(own: URL): boolean {
  return !OWN_NAME.test(own.pathname);
}
