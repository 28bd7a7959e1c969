import { TunnelError, type TunnelErrorCode } from '../../core/errors.js';
import type { EndSignal } from './io.js';

/** How the command ends, for scripts. `docs/reference/exit-codes.md` shows this table. */
export const EXIT = {
  /** Done, or stopped by one SIGINT or SIGTERM, or by a reader of the output that went away. */
  ok: 0,
  /** Everything that is not one of the others: a port in use, a folder that cannot be written … */
  failure: 1,
  /** Wrong usage or input: the same call fails again until it is corrected. */
  usage: 2,
  /** Return code 102, which is final: the listener could not be added as a friend. */
  friendNotAdded: 102,
  /** The program after `--` cannot be run, as shells say it. */
  programNotRun: 126,
  /** There is no such program, as shells say it. */
  programNotFound: 127,
  /** A second SIGHUP, of a command that ends politely by the first: 128 + 1. */
  hungUp: 129,
  /** A second SIGINT: 128 + 2, as shells count. */
  interrupted: 130,
  /** A second SIGTERM: 128 + 15. */
  terminated: 143,
  /** Return code 202: the listener lets us in no longer. */
  notAFriend: 202,
  /** Return code 203 at the end of `--wait`. */
  sendingFailed: 203,
  /** Return code 204 at the end of `--wait`: the listener was not there. */
  offline: 204,
} as const;

/** One of {@link EXIT}, or that of a program that was run: 0 to 255. */
export type ExitCode = number;

/** Ended by this signal, in the way of shells. */
export const EXIT_BY_SIGNAL: Readonly<Record<EndSignal, ExitCode>> = {
  SIGHUP: EXIT.hungUp,
  SIGINT: EXIT.interrupted,
  SIGTERM: EXIT.terminated,
};

const INPUT_ERRORS: ReadonlySet<TunnelErrorCode> = new Set<TunnelErrorCode>([
  'ERR_ADDRESS_INVALID',
  'ERR_ARGUMENT_INVALID',
  'ERR_BOOTSTRAP_INVALID',
  'ERR_NODES_INVALID',
  'ERR_SPEC_INVALID',
  'ERR_STATE_EXISTS',
  'ERR_STATE_INVALID',
  'ERR_STATE_SEALED',
  'ERR_TICKET_INVALID',
  'ERR_USAGE',
]);

/** The return codes that a command ends with. */
const FINAL_CODES: ReadonlySet<number> = new Set<number>([
  ...[EXIT.friendNotAdded, EXIT.notAFriend, EXIT.sendingFailed, EXIT.offline],
]);

export function exitCodeOf(error: unknown): ExitCode {
  if (!TunnelError.is(error)) return EXIT.failure;
  const { code, returnCode } = error;
  if (returnCode !== undefined && FINAL_CODES.has(returnCode)) return returnCode;
  return INPUT_ERRORS.has(code) ? EXIT.usage : EXIT.failure;
}
