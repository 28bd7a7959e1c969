/**
 * Why something was refused, reset or ended: one table for REFUSED, RESET, BYE and refuse
 * (docs/reference/protocol.md, section 6). Numbers and names are protocol and API: add, never change.
 */
export const REASONS = {
  unspecified: { number: 0, sentence: 'no reason was given, or one that this version does not know' },
  refused: { number: 1, sentence: 'the target refused the connection' },
  unreachable: { number: 2, sentence: 'there is no way to the target' },
  'name-not-found': { number: 3, sentence: "the target's name is not known" },
  timeout: { number: 4, sentence: 'the target did not answer in time' },
  'not-allowed': { number: 5, sentence: 'the rules of the far end do not allow it' },
  limit: { number: 6, sentence: 'a limit was reached; try again when something has closed' },
  reset: { number: 7, sentence: 'the TCP connection behind the stream was reset' },
  cancelled: { number: 8, sentence: 'whoever asked for it no longer wants it' },
  'protocol-error': { number: 9, sentence: 'the other end broke the protocol' },
  'peer-shutdown': { number: 10, sentence: 'the other end is shutting down' },
  version: { number: 11, sentence: 'the two ends speak no common version; update the older one' },
  busy: { number: 12, sentence: 'not now; the same again may work at once' },
  unsupported: { number: 13, sentence: 'the far end does not know this kind of target; update it' },
  'session-replaced': { number: 14, sentence: 'the other process has gone and a new one has come' },
  'peer-silent': { number: 15, sentence: 'nothing was heard from the other end for too long' },
  internal: { number: 16, sentence: 'an error of the end that says so' },
} as const;

export type Reason = keyof typeof REASONS;

const byNumber = new Map<number, Reason>();
// Object.keys forgets the key type; the table is a constant, so these are all of them.
for (const reason of Object.keys(REASONS) as Reason[]) byNumber.set(REASONS[reason].number, reason);

export function reasonNumber(reason: Reason): number {
  return REASONS[reason].number;
}

/** The reason with that number; `unspecified` for one that this version does not know. */
export function reasonOf(number: number): Reason {
  return byNumber.get(number) ?? 'unspecified';
}
