import { extname } from 'node:path';

/** What a node reads at its start, where that does not lie where it is looked for. */
export interface PackageFiles {
  /** The worker thread's program: `tox-wasm-tunnel/worker`, or what a bundler made of it. */
  readonly worker?: URL;
  /** `tox-wasm-tunnel/tox.wasm`. */
  readonly wasm?: URL;
}

/** What this file is called as long as no bundler has put it into another. */
const OWN_NAME = /\/package_files\.[jt]s$/;
const OWN_URL = new URL(import.meta.url);

/** The worker's program: in its place, or beside the bundle, with the extension that the bundle has. */
export function workerFile(own: URL = OWN_URL): URL {
  if (isBundled(own)) return new URL(`./tox-wasm-tunnel-worker${extname(own.pathname)}`, own);
  return new URL(isSource(own) ? '../worker/main.ts' : '../worker/main.js', own);
}

/** The wasm: in its place, or beside the bundle. Sources and dist are equally deep, so one path fits both. */
export function wasmFile(own: URL = OWN_URL): URL {
  return new URL(isBundled(own) ? './tox.wasm' : '../../wasm/dist/tox.wasm', own);
}

export function isSource(file: URL): boolean {
  return file.pathname.endsWith('.ts');
}

function isBundled(own: URL): boolean {
  return !OWN_NAME.test(own.pathname);
}
