import { REASONS, type Reason } from '../../mux/wire/reasons.js';

/** What a `net.Socket` would have said. The others are ECONNRESET, or ECONNABORTED when our own end closed. */
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

/** Why a dialled stream came to nothing, or was cut short, in the words of `net.Socket`. */
export class DialError extends Error {
  override readonly name = 'DialError';
  /** `ECONNREFUSED`, `ECONNRESET` and so on. */
  readonly code: string;
  readonly syscall: 'connect' | 'read';
  /** What the tunnel calls it. */
  readonly reason: Reason;
  /** What the far end says, or what the reason means, for people. */
  readonly detail: string;

  constructor(syscall: 'connect' | 'read', target: string, reason: Reason, text = '') {
    const refusal = syscall === 'connect' ? DIAL_CODES[reason] : undefined;
    const code = refusal ?? (reason === 'cancelled' && syscall === 'connect' ? 'ECONNABORTED' : 'ECONNRESET');
    const { sentence } = REASONS[reason];
    super(`${syscall} ${code} ${target}: ${text === '' ? sentence : text}`);
    this.code = code;
    this.syscall = syscall;
    this.reason = reason;
    // The far end says what its rules deny and what would allow it, and our own end says why it gave up.
    const isWhole = reason === 'not-allowed' || reason === 'cancelled';
    this.detail = text === '' ? sentence : isWhole ? text : `${text} (${sentence})`;
  }
}
