import { TunnelError, type TunnelErrorCode } from '../core/errors.js';

/** How the command ends, for scripts. `docs/cli.md` shows this table. */
export const EXIT = {
  /** Done, or stopped by one SIGINT or SIGTERM, or by a reader of the output that went away. */
  ok: 0,
  /** Everything that is not one of the others: a port in use, a folder that cannot be written … */
  failure: 1,
  /** Wrong usage or input: the same call fails again until it is corrected. */
  usage: 2,
  /** A second SIGHUP, of a command that ends politely by the first: 128 + 1. */
  hungUp: 129,
  /** A second SIGINT: 128 + 2, as shells count. */
  interrupted: 130,
  /** A second SIGTERM: 128 + 15. */
  terminated: 143,
} as const;

/** One of {@link EXIT}, or that of a program that was run: 0 to 255. */
export type ExitCode = number;

const INPUT_ERRORS: ReadonlySet<TunnelErrorCode> = new Set<TunnelErrorCode>([
  'ERR_ADDRESS_INVALID',
  'ERR_BOOTSTRAP_INVALID',
  'ERR_NODES_INVALID',
  'ERR_SPEC_INVALID',
  'ERR_STATE_EXISTS',
  'ERR_STATE_INVALID',
  'ERR_STATE_SEALED',
  'ERR_TICKET_INVALID',
  'ERR_USAGE',
]);

export function exitCodeOf(error: unknown): ExitCode {
  return TunnelError.is(error) && INPUT_ERRORS.has(error.code) ? EXIT.usage : EXIT.failure;
}
