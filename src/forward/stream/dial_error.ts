import { REASONS, type Reason } from '../../mux/wire/reasons.js';

/**
 * Codes that a `net.Socket` would give. All other reasons are ECONNRESET, or ECONNABORTED when this end
 * closed.
 */
const DIAL_CODES: Partial<Readonly<Record<Reason, string>>> = {
  refused: 'ECONNREFUSED',
  unreachable: 'EHOSTUNREACH',
  'name-not-found': 'ENOTFOUND',
  timeout: 'ETIMEDOUT',
  'not-allowed': 'EACCES',
  limit: 'EMFILE',
  busy: 'EAGAIN',
  unsupported: 'EAFNOSUPPORT',
};

/**
 * The error of a dialled stream that was refused or cut short. It has the `code` that a `net.Socket` would
 * have.
 *
 * @example
 * ```ts
 * tunnel.dial({ port: 5432 }).on('error', (error) => {
 *   if (error instanceof DialError && error.code === 'ECONNREFUSED') console.error(error.detail);
 * });
 * ```
 */
export class DialError extends Error {
  override readonly name = 'DialError';
  /** For example `ECONNREFUSED` or `ECONNRESET`. */
  readonly code: string;
  /** `connect` for a stream that never opened, `read` for one that was cut short. */
  readonly syscall: 'connect' | 'read';
  /** The tunnel's own name for what happened; a key of `REASONS`. */
  readonly reason: Reason;
  /** For people: the far end's text, or what the reason means. */
  readonly detail: string;

  constructor(syscall: 'connect' | 'read', target: string, reason: Reason, text = '') {
    const refusal = syscall === 'connect' ? DIAL_CODES[reason] : undefined;
    const code = refusal ?? (reason === 'cancelled' && syscall === 'connect' ? 'ECONNABORTED' : 'ECONNRESET');
    const { sentence } = REASONS[reason];
    super(`${syscall} ${code} ${explained(target, code, text === '' ? sentence : text, sentence)}`);
    this.code = code;
    this.syscall = syscall;
    this.reason = reason;
    // In these two cases the text is complete: what the rules deny and what would allow it, or why this end
    // gave up.
    const isWhole = reason === 'not-allowed' || reason === 'cancelled';
    this.detail = text === '' ? sentence : isWhole ? text : `${text} (${sentence})`;
  }
}

/**
 * Joins the target to what the far end says of it. Its text usually begins with the target, and may be the code alone.
 */
function explained(target: string, code: string, text: string, sentence: string): string {
  if (text === code || text === `${target}: ${code}`) return `${target}: ${sentence}`;
  return text.startsWith(`${target}: `) || text.startsWith(`${target} `) ? text : `${target}: ${text}`;
}
