/**
 * Why something was refused, reset or ended. REFUSED, RESET, BYE and refuse share this table
 * (docs/reference/protocol.md, section 6). Numbers are part of the protocol and names of the API: add new ones, but
 * never change any.
 *
 * @example
 * ```ts
 * tunnel.on('refused', ({ reason }) => console.log(REASONS[reason].sentence));
 * ```
 */
export const REASONS = {
  unspecified: { number: 0, sentence: 'no reason was given, or this version does not know it' },
  refused: { number: 1, sentence: 'the target refused the connection' },
  unreachable: { number: 2, sentence: 'the target cannot be reached' },
  'name-not-found': { number: 3, sentence: "the target's name cannot be resolved" },
  timeout: { number: 4, sentence: 'the target did not answer in time' },
  'not-allowed': { number: 5, sentence: 'the rules of the far end do not allow it' },
  limit: { number: 6, sentence: 'a limit was reached; try again after a connection has closed' },
  reset: { number: 7, sentence: 'the TCP connection behind the stream was reset' },
  cancelled: { number: 8, sentence: 'the end that requested it cancelled it' },
  'protocol-error': { number: 9, sentence: 'the other end violated the protocol' },
  'peer-shutdown': { number: 10, sentence: 'the other end is shutting down' },
  version: { number: 11, sentence: 'the two ends have no common protocol version; update the older one' },
  busy: { number: 12, sentence: 'the other end is busy; try again' },
  unsupported: { number: 13, sentence: 'the far end does not support this kind of target; update it' },
  'session-replaced': { number: 14, sentence: 'the other process has ended, and a new one has replaced it' },
  'peer-silent': { number: 15, sentence: 'the other end was silent for too long' },
  internal: { number: 16, sentence: 'an internal error at the end that reports it' },
} as const;

export type Reason = keyof typeof REASONS;

const byNumber = new Map<number, Reason>();
// Object.keys loses the type of the keys. The table is constant, so these are all of them.
for (const reason of Object.keys(REASONS) as Reason[]) byNumber.set(REASONS[reason].number, reason);

export function reasonNumber(reason: Reason): number {
  return REASONS[reason].number;
}

/** Tells whether it is pointless to ask again in the same session after a refusal with this reason. */
export function isFinalRefusal(reason: Reason): boolean {
  return reason === 'not-allowed' || reason === 'unsupported';
}

/** Returns the reason with that number; `unspecified` if this version does not know it. */
export function reasonOf(number: number): Reason {
  return byNumber.get(number) ?? 'unspecified';
}

/** Returns why something was refused, for people: the peer's own text, or the sentence of the reason if it sent none. */
export function sentenceOf(reason: Reason, text: string): string {
  return text === '' ? REASONS[reason].sentence : text;
}
