import { errnoOf } from './errno.js';
import type { Logger, LogLevel } from './logger.js';

/** Errors that say that the system is out of what every file or socket needs. Source: errno(3). */
const EXHAUSTED: Readonly<Record<string, string>> = {
  EMFILE: 'no free file descriptor',
  ENFILE: 'no free file descriptor',
  ENOBUFS: 'no memory for sockets',
  ENOMEM: 'no memory for sockets',
};

/** What ran out, in words that follow "there is"; undefined for an error of another kind. */
export function exhaustionOf(error: unknown): string | undefined {
  const code = errnoOf(error) ?? '';
  return Object.hasOwn(EXHAUSTED, code) ? `${EXHAUSTED[code]} (${code})` : undefined;
}

/** Refused by us, before the system would do so. */
export class UsedUpError extends Error {
  readonly code = 'EMFILE';

  constructor() {
    super('EMFILE: the descriptors for connections are used up');
  }
}

/** One line, then none of the same kind for so long, however many connections are refused meanwhile. */
const INTERVAL_MS = 60_000;

/** Tells the user that something ran out and what to do, in few lines. */
export class ExhaustionLog {
  readonly #logger: Logger;
  readonly #nowMs: () => number;
  readonly #budget: { readonly most: number; readonly limit: number };
  /** By the kind of the line. */
  readonly #kinds = new Map<string, { untilMs: number; refused: number }>();

  /** @param budget connections at most, and the limit of open files that this comes from, or Infinity */
  constructor(
    logger: Logger,
    nowMs: () => number,
    budget: { readonly most: number; readonly limit: number },
  ) {
    this.#logger = logger;
    this.#nowMs = nowMs;
    this.#budget = budget;
  }

  /** Call it for each connection that failed. @returns false for an error of another kind, which was not logged */
  note(error: unknown): boolean {
    const what = exhaustionOf(error);
    const code = errnoOf(error);
    if (what === undefined || code === undefined) return false;
    const { most, limit } = this.#budget;
    const isOurs = error instanceof UsedUpError && limit === Number.POSITIVE_INFINITY;
    const why = isOurs
      ? `all ${most} connections that there may be are open`
      : `there is ${what}; ${this.#advice(code)}`;
    this.#refused(code, 'error', why);
    return true;
  }

  /** One address has all the connections that it may have. */
  noteAddress(address: string, held: number): void {
    this.#refused(
      'address',
      'warn',
      `${address} has ${held} connections, the most that one address may have now`,
    );
  }

  #refused(kind: string, level: LogLevel, why: string): void {
    const nowMs = this.#nowMs();
    const { untilMs, refused } = this.#kinds.get(kind) ?? { untilMs: nowMs, refused: 0 };
    const count = refused + 1;
    const isDue = nowMs >= untilMs;
    this.#kinds.set(kind, isDue ? { untilMs: nowMs + INTERVAL_MS, refused: 0 } : { untilMs, refused: count });
    if (!isDue) return;
    const counted = count === 1 ? 'a connection was' : `${count} connections were`;
    this.#logger.log(level, `${counted} refused: ${why}`);
  }

  #advice(code: string): string {
    switch (code) {
      case 'EMFILE': {
        const { limit } = this.#budget;
        const known = limit === Number.POSITIVE_INFINITY ? '' : `this process may have ${limit} files open; `;
        return `${known}raise the limit with ulimit -n, or with LimitNOFILE= in a systemd unit`;
      }
      case 'ENFILE':
        return 'all programs of this machine together have too many files open; raise fs.file-max';
      default:
        return 'close programs, or give this machine more memory';
    }
  }
}
