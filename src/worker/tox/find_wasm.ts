import { readFile } from 'node:fs/promises';
import { wasmFile } from '../../bridge/package_files.js';
import { TunnelError } from '../../core/errors.js';

/**
 * The bytes of the built wasm.
 *
 * @param url by default where {@link wasmFile} says
 * @throws {TunnelError} ERR_WASM_MISSING when it cannot be read
 */
export async function readWasm(url: URL = wasmFile()): Promise<Uint8Array> {
  try {
    return await readFile(url);
  } catch (error) {
    const advice =
      'in a checkout, run wasm/build.sh; in an installed package, install it again; ' +
      'in a bundle, copy it there or name it as `files.wasm` (docs/embedding.md)';
    throw new TunnelError('ERR_WASM_MISSING', `${url.pathname} cannot be read: ${advice}`, { cause: error });
  }
}
