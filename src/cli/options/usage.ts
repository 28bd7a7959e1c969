import { TunnelError } from '../../core/errors.js';

/** An error of the command line itself; the command ends with exit code 2. */
export function usage(what: string): TunnelError {
  return new TunnelError('ERR_USAGE', what);
}
