import type { Logger } from '../core/logger.js';

/** Denials of one peer that each get their line; of the rest, those whose count is a power of two. */
const DENIALS_LOGGED = 16;

/** What one peer was denied, in the log, where it shall not fill the disk. */
export class DenialLog {
  readonly #logger: Logger;
  #count = 0;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** So far. */
  get count(): number {
    return this.#count;
  }

  /** @param fields what else stands in the line */
  denied(text: string, fields: Readonly<Record<string, unknown>>): void {
    this.#count++;
    const isPowerOfTwo = (this.#count & (this.#count - 1)) === 0;
    if (this.#count > DENIALS_LOGGED && !isPowerOfTwo) return;
    this.#logger.log('warn', `denied: ${text}`, { ...fields, denied: this.#count });
  }
}
