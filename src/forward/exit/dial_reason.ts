import { errnoOf } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import type { Reason } from '../../mux/wire/reasons.js';

/** The reasons that the peer gets for the system's errors. Source of the codes: errno(3), getaddrinfo(3). */
const CONNECT_REASONS: Readonly<Record<string, Reason>> = {
  ECONNREFUSED: 'refused',
  ECONNRESET: 'refused',
  ETIMEDOUT: 'timeout',
  EHOSTUNREACH: 'unreachable',
  ENETUNREACH: 'unreachable',
  EHOSTDOWN: 'unreachable',
  ENETDOWN: 'unreachable',
  EADDRNOTAVAIL: 'unreachable',
  EAFNOSUPPORT: 'unreachable',
  EINVAL: 'unreachable',
  // Paths: nothing there, not a socket, a socket of another type, a full queue of connections.
  ENOENT: 'unreachable',
  ENOTDIR: 'unreachable',
  ENOTSOCK: 'unreachable',
  EPROTOTYPE: 'unreachable',
  ELOOP: 'unreachable',
  EAGAIN: 'busy',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
};

const RESOLVE_REASONS: Readonly<Record<string, Reason>> = {
  ENOTFOUND: 'name-not-found',
  ENODATA: 'name-not-found',
  EAI_AGAIN: 'name-not-found',
  EAI_FAIL: 'name-not-found',
  EAI_NODATA: 'name-not-found',
  EAI_NONAME: 'name-not-found',
  EAI_MEMORY: 'limit',
};

/**
 * From the most to the least informative. When several addresses fail, the peer gets the reason that comes
 * first here.
 */
const BY_INFORMATION: readonly Reason[] = ['refused', 'busy', 'limit', 'timeout', 'unreachable'];

/** Returns why a dial failed, from the error of each address. */
export function dialReason(errors: readonly unknown[]): Reason {
  const reasons = errors.map((error) => reasonIn(CONNECT_REASONS, error));
  return BY_INFORMATION.find((reason) => reasons.includes(reason)) ?? 'internal';
}

/** Returns why a name could not be resolved. */
export function resolveReason(error: unknown): Reason {
  return reasonIn(RESOLVE_REASONS, error);
}

function reasonIn(reasons: Readonly<Record<string, Reason>>, error: unknown): Reason {
  if (exhaustionOf(error) !== undefined) return 'limit';
  return reasons[errnoOf(error) ?? ''] ?? 'internal';
}

/** Describes a failure, worded to follow the target's name and a colon. */
export function failureText(error: unknown): string {
  const exhausted = exhaustionOf(error);
  if (exhausted !== undefined)
    return `the far end has ${exhausted}; try again when some connections have closed`;
  return errnoOf(error) ?? 'failed';
}
