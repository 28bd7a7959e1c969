import { TunnelError, type TunnelErrorCode } from '../../core/errors.js';

/** Exit codes, for scripts. `docs/reference/exit-codes.md` has the same table. */
export const EXIT = {
  /** Success; or stopped by one SIGINT or SIGTERM; or the reader closed the output. */
  ok: 0,
  /** Any failure that has no other code: a port in use, a folder that cannot be written … */
  failure: 1,
  /** Wrong usage or input: the same call fails again until it is corrected. */
  usage: 2,
  /** `status`: a process is not joined to the network. */
  notJoined: 3,
  /** Return code 102, which is final: the listener could not be added as a friend. */
  friendNotAdded: 102,
  /** The program after `--` cannot be executed, as in shells. */
  programNotRun: 126,
  /** The program after `--` does not exist, as in shells. */
  programNotFound: 127,
  /** A second SIGHUP, to a command that stops gracefully on the first: 128 + 1. */
  hungUp: 129,
  /** A second SIGINT: 128 + 2, as in shells. */
  interrupted: 130,
  /** A second SIGTERM: 128 + 15. */
  terminated: 143,
  /** Return code 202: the listener no longer accepts us. */
  notAFriend: 202,
  /** Return code 203 when `--wait` expires. */
  sendingFailed: 203,
  /** Return code 204 when `--wait` expires, and in `status`: the listener was not online. */
  offline: 204,
} as const;

/** One of {@link EXIT}, or the exit code of a program that a command ran: 0 to 255. */
export type ExitCode = number;

/** Signals that ask a command to stop. */
export type EndSignal = 'SIGINT' | 'SIGTERM' | 'SIGHUP';

/** Exit code of a process that a signal killed, as shells report it. */
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

/** Return codes that are exit codes too. */
const FINAL_CODES: ReadonlySet<number> = new Set<number>([
  ...[EXIT.friendNotAdded, EXIT.notAFriend, EXIT.sendingFailed, EXIT.offline],
]);

export function exitCodeOf(error: unknown): ExitCode {
  if (!TunnelError.is(error)) return EXIT.failure;
  const { code, returnCode } = error;
  if (returnCode !== undefined && FINAL_CODES.has(returnCode)) return returnCode;
  return INPUT_ERRORS.has(code) ? EXIT.usage : EXIT.failure;
}
