import { readFile } from 'node:fs/promises';
import { TunnelError } from '../../core/errors.js';

/** Where the built wasm lies. Sources and dist are equally deep, so one path fits both. */
export function findWasm(): URL {
  return new URL('../../../wasm/dist/tox.wasm', import.meta.url);
}

/**
 * The bytes of the built wasm.
 * @throws {TunnelError} ERR_WASM_MISSING when it cannot be read
 */
export async function readWasm(): Promise<Uint8Array> {
  const url = findWasm();
  try {
    return await readFile(url);
  } catch (error) {
    const advice = 'in a checkout, run wasm/build.sh; in an installed package, install it again';
    throw new TunnelError('ERR_WASM_MISSING', `${url.pathname} cannot be read: ${advice}`, { cause: error });
  }
}
