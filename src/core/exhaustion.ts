import { isIP, isIPv4 } from 'node:net';
import type { Timers } from './clock.js';
import { errnoOf } from './errors.js';
import type { Logger } from './logger.js';
import { Repeats } from './logger.js';

/** System errors that mean a lack of resources. Source: errno(3). */
const EXHAUSTED: Readonly<Record<string, string>> = {
  EMFILE: 'no free file descriptor',
  ENFILE: 'no free file descriptor',
  ENOBUFS: 'no memory for sockets',
  ENOMEM: 'no memory for sockets',
};

/** Names what ran out, as words that follow "there is"; undefined for any other error. */
export function exhaustionOf(error: unknown): string | undefined {
  const code = errnoOf(error) ?? '';
  if (Object.hasOwn(EXHAUSTED, code)) return `${EXHAUSTED[code]} (${code})`;
  return lacksPort(error, code) ? `no free local port (${code})` : undefined;
}

/**
 * The system had to choose a port and found none. The same codes mean other things in other calls: an address that this
 * machine does not have, or a port that was asked for and is taken.
 */
function lacksPort(error: unknown, code: string): boolean {
  if (!(error instanceof Error) || !('address' in error) || !('syscall' in error)) return false;
  const address = String(error.address);
  switch (error.syscall) {
    case 'connect':
      // connect(2). Over IPv6, it may also mean that this machine has no source address for that route.
      return code === 'EADDRNOTAVAIL' && isIPv4(address);
    case 'bind':
    case 'listen':
      // Node.js leaves out port 0.
      return code === 'EADDRINUSE' && isIP(address) !== 0 && !('port' in error && Number(error.port) > 0);
    default:
      return false;
  }
}

/**
 * What to do about exhaustion, as words that follow a semicolon.
 *
 * @param limit files that this process may have open, if known
 */
export function exhaustionRemedy(error: unknown, limit = Number.POSITIVE_INFINITY): string {
  switch (errnoOf(error) ?? '') {
    case 'EMFILE': {
      const known = limit === Number.POSITIVE_INFINITY ? '' : `this process may have ${limit} files open; `;
      return `${known}raise the limit with ulimit -n, or with LimitNOFILE= in a systemd unit`;
    }
    case 'ENFILE':
      return 'the programs of this machine together have too many files open; raise fs.file-max';
    case 'EADDRNOTAVAIL':
    case 'EADDRINUSE':
      return 'close connections, or give the system more ports (on Linux: net.ipv4.ip_local_port_range)';
    default:
      return 'close programs, or give this machine more memory';
  }
}

/** Our own refusal, before the system runs out of descriptors. */
export class UsedUpError extends Error {
  readonly code = 'EMFILE';

  constructor() {
    super('EMFILE: the descriptors for connections are used up');
  }
}

/** Minimum interval between two log lines of the same kind. */
const INTERVAL_MS = 60_000;

/** The kind of {@link ExhaustionLog.noteAddress}. */
const ONE_ADDRESS = 'address';

/** Logs what ran out and what to do: at once, and then, once a minute, how often it happened again. */
export class ExhaustionLog {
  readonly #repeats: Repeats;
  readonly #budget: { readonly most: number; readonly limit: number };

  /** @param budget the limit on connections, and the limit on open files that it depends on, or Infinity */
  constructor(logger: Logger, timers: Timers, budget: { readonly most: number; readonly limit: number }) {
    this.#repeats = new Repeats(timers, INTERVAL_MS, (line, kind) =>
      logger.log(kind === ONE_ADDRESS ? 'warn' : 'error', line),
    );
    this.#budget = budget;
  }

  /** Logs a failed connection. @returns false when the error is not exhaustion; then it logs nothing */
  note(error: unknown): boolean {
    const what = exhaustionOf(error);
    const code = errnoOf(error);
    if (what === undefined || code === undefined) return false;
    const { most, limit } = this.#budget;
    const isOurs = error instanceof UsedUpError && limit === Number.POSITIVE_INFINITY;
    const why = isOurs
      ? `the limit of ${most} connections is reached`
      : `there is ${what}; ${exhaustionRemedy(error, limit)}`;
    this.#repeats.add(`a connection was refused: ${why}`, code);
    return true;
  }

  /** Logs that one address has reached its limit. */
  noteAddress(address: string, held: number): void {
    this.#repeats.add(
      `a connection was refused: ${address} has ${held} connections, the most that one address may have now`,
      ONE_ADDRESS,
    );
  }

  /** Logs the pending counts. */
  flush(): void {
    this.#repeats.flush();
  }
}
