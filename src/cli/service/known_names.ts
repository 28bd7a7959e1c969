import * as v from 'valibot';
import { TunnelError } from '../../core/errors.js';

/** Maximum number of names that are remembered. */
const MAX_NAMES = 4096;

const StateSchema = v.object({
  knownNames: v.optional(v.pipe(v.array(v.string()), v.maxLength(MAX_NAMES)), []),
});

/**
 * The names that tickets and allowed peers have or once had. A rule for a name that is gone stays a rule for that name,
 * and opens nothing: it never becomes a rule for a host. Kept in the state file next to the tickets.
 */
export class KnownNames {
  readonly #names: Set<string>;

  /** @param state what {@link state} returned in an earlier run @throws {TunnelError} ERR_STATE_INVALID */
  constructor(state: unknown) {
    const read = v.safeParse(StateSchema, state ?? {});
    if (!read.success)
      throw new TunnelError('ERR_STATE_INVALID', 'the part about known names is damaged; nothing was opened');
    this.#names = new Set(read.output.knownNames);
  }

  has(name: string): boolean {
    return this.#names.has(name);
  }

  /** Remembers names. When there are too many, it forgets the oldest: a rule for one of those is then refused. */
  learn(owners: Iterable<{ readonly name?: string | undefined }>): void {
    for (const { name } of owners) {
      if (name === undefined) continue;
      this.#names.delete(name);
      this.#names.add(name);
    }
    for (const name of this.#names) {
      if (this.#names.size <= MAX_NAMES) break;
      this.#names.delete(name);
    }
  }

  /** What to save, as a part of the state. */
  get state(): { readonly knownNames: readonly string[] } {
    return { knownNames: [...this.#names] };
  }
}
