import { errnoOf } from '../../core/errors.js';
import { exhaustionOf } from '../../core/exhaustion.js';
import type { Reason } from '../../mux/wire/reasons.js';

/** What the kernel's refusals mean to the far end. Source of the codes: errno(3), getaddrinfo(3). */
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
  // Of paths: nothing there, no socket, a socket of another kind; a queue that is full.
  ENOENT: 'unreachable',
  ENOTDIR: 'unreachable',
  ENOTSOCK: 'unreachable',
  EPROTOTYPE: 'unreachable',
  ELOOP: 'unreachable',
  EAGAIN: 'busy',
  EACCES: 'unreachable',
  EPERM: 'unreachable',
  EMFILE: 'limit',
  ENFILE: 'limit',
  ENOBUFS: 'limit',
  ENOMEM: 'limit',
};

const RESOLVE_REASONS: Readonly<Record<string, Reason>> = {
  ENOTFOUND: 'name-not-found',
  ENODATA: 'name-not-found',
  EAI_AGAIN: 'name-not-found',
  EAI_FAIL: 'name-not-found',
  EAI_NODATA: 'name-not-found',
  EAI_NONAME: 'name-not-found',
  EAI_MEMORY: 'limit',
  EMFILE: 'limit',
};

/** Of several addresses' failures the one that tells most: somebody was there, and so on down. */
const TELLING: readonly Reason[] = ['refused', 'busy', 'limit', 'timeout', 'unreachable'];

/** Why a dial failed whose every address failed with one of `errors`. */
export function dialReason(errors: readonly unknown[]): Reason {
  const reasons = errors.map((error) => reasonIn(CONNECT_REASONS, error));
  return TELLING.find((reason) => reasons.includes(reason)) ?? 'internal';
}

/** Why a name could not be resolved. */
export function resolveReason(error: unknown): Reason {
  return reasonIn(RESOLVE_REASONS, error);
}

function reasonIn(reasons: Readonly<Record<string, Reason>>, error: unknown): Reason {
  return reasons[errnoOf(error) ?? ''] ?? 'internal';
}

/** What failed, in words that follow the target. */
export function failureText(error: unknown): string {
  const exhausted = exhaustionOf(error);
  if (exhausted !== undefined) return `the far end has ${exhausted}; try again when connections have closed`;
  return errnoOf(error) ?? 'failed';
}
