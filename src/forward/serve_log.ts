import type { Logger } from '../core/logger.js';

/** Outcomes of a peer's requests so far. */
export interface ServeCounts {
  /** Targets dialled, and streams given to the program. */
  readonly opened: number;
  /** Requests that the rules forbid. */
  readonly denied: number;
  /** Requests that waited too long for their turn, or for which no memory or file descriptor was free. */
  readonly limited: number;
  /** Requests that failed for any other reason. */
  readonly failed: number;
}

export function addCounts(a: ServeCounts, b: ServeCounts): ServeCounts {
  return {
    opened: a.opened + b.opened,
    denied: a.denied + b.denied,
    limited: a.limited + b.limited,
    failed: a.failed + b.failed,
  };
}

/** The first this many denials are all logged; after that, only those whose count is a power of two. */
const DENIALS_LOGGED = 16;

/** Counts and logs the denials of one peer. A peer that keeps asking does not fill the disk. */
export class DenialLog {
  readonly #logger: Logger;
  #count = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  get count(): number {
    return this.#count;
  }

  /** @param fields further fields of the log line */
  denied(text: string, fields: Readonly<Record<string, unknown>>): void {
    this.#count++;
    const isPowerOfTwo = (this.#count & (this.#count - 1)) === 0;
    if (this.#count > DENIALS_LOGGED && !isPowerOfTwo) return;
    this.#logger.log('warn', `denied: ${text}`, { ...fields, denied: this.#count });
  }
}
