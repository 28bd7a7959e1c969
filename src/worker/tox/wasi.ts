import { TunnelError } from '../../core/errors.js';
import type { Guard } from './guard.js';

/**
 * What is left of WASI: clocks and files are not imported (see wasm/system.c), and C's exit() is
 * reached only by abort(). It must end the module, and never the process.
 */
export function wasiImports(guard: Guard): { proc_exit(code: number): never } {
  return {
    proc_exit: (code) => {
      throw guard.crash(new TunnelError('ERR_TOX_CRASHED', `toxcore called abort() (code ${code})`));
    },
  };
}
