import type { ExposeSpec } from '../forward/expose.js';

/** What a peer has once it was let in. */
export interface Grant {
  /** Name of the ticket that it came with, or of the peer. */
  readonly name: string;
  readonly kind: 'ticket' | 'peer';
  /** Rules of the ticket's own; undefined: it has none. */
  readonly rules: readonly ExposeSpec[] | undefined;
}
