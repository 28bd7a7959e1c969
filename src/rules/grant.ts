import type { ExposeSpec } from './expose.js';
import type { ReverseRule } from './reverse_rule.js';

/** What a peer has once it was let in. The same object as long as what let it in is in force. */
export interface Grant {
  /** Of the ticket, or of the allowed peer. */
  readonly name: string;
  readonly kind: 'ticket' | 'peer';
  /**
   * What this alone may reach, beside rules for its name. With rules of its own of either kind, even empty ones, none
   * of the general rules counts for it. Undefined: no rules of its own.
   */
  readonly rules: readonly ExposeSpec[] | undefined;
  /** Where this alone may have ports opened, beside rules for its name; otherwise as {@link rules}. */
  readonly allowReverse?: readonly ReverseRule[] | undefined;
}
