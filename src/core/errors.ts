import type { ReturnCode } from './return_codes.js';

/**
 * Every error code with its meaning, which begins the error's message. Codes are API: add new ones, never rename one.
 *
 * @example
 * ```ts
 * console.log(ERROR_CODES.ERR_CLOSED); // already closed
 * ```
 */
export const ERROR_CODES = {
  ERR_ABORTED: 'aborted',
  ERR_ADDRESS_INVALID: 'not a usable address',
  ERR_ARGUMENT_INVALID: 'an argument is wrong',
  ERR_BOOTSTRAP_INVALID: 'not a bootstrap node',
  ERR_CLOSED: 'already closed',
  ERR_CONTROL: 'the running process cannot be controlled',
  ERR_FRAME_INVALID: 'the peer sent bytes that are not a valid frame',
  ERR_FRIEND_ADD: 'the peer could not be added as a friend',
  ERR_HANDSHAKE_INVALID: 'the peer sent an invalid handshake',
  ERR_HANDSHAKE_REFUSED: 'the peer refused the handshake',
  ERR_HANDSHAKE_TIMEOUT: 'the peer did not finish the handshake in time',
  ERR_IDENTITY_INVALID: 'not a usable identity',
  ERR_LIMIT: 'a limit was reached',
  ERR_LISTEN: 'cannot listen',
  ERR_NODES_INVALID: 'not a list of bootstrap nodes',
  ERR_NODES_UPDATE: 'the list of bootstrap nodes was not refreshed',
  ERR_OPEN_REFUSED: 'the far end refused to open the target',
  ERR_OUTPUT: 'output could not be written',
  ERR_PACKET_INVALID: 'the peer sent an invalid packet',
  ERR_PEER_GONE: 'the peer is gone',
  ERR_PROGRAM: 'the program could not be run',
  ERR_SPEC_INVALID: 'a value is wrong',
  ERR_STATE_BUSY: 'another process uses this identity',
  ERR_STATE_EXISTS: 'there is an identity already',
  ERR_STATE_INVALID: 'the state file cannot be used',
  ERR_STATE_IO: 'the state folder cannot be used',
  ERR_STATE_SEALED: 'the state file could not be opened',
  ERR_STREAM_RESET: 'the stream was cut short',
  ERR_TARGET_DENIED: 'the target is not allowed',
  ERR_TICKET_INVALID: 'not a usable ticket',
  ERR_TOX_BUSY: 'toxcore is busy',
  ERR_TOX_CRASHED: 'toxcore crashed',
  ERR_TOX_START: 'toxcore did not start',
  ERR_USAGE: 'wrong usage',
  ERR_WASM_MISSING: 'the built tox.wasm is missing',
  ERR_WORKER_DIED: 'the tox worker thread is gone',
} as const;

export type TunnelErrorCode = keyof typeof ERROR_CODES;

/** A {@link TunnelError} as plain data, which can cross to another thread. */
export interface WireError {
  readonly code: TunnelErrorCode;
  readonly message: string;
  readonly remote: boolean;
  readonly stack: string | undefined;
}

export interface TunnelErrorOptions {
  readonly cause?: unknown;
  /** True when the peer caused the failure. Default false. */
  readonly remote?: boolean;
  /** The return code of the event that failed, if it has one. */
  readonly returnCode?: ReturnCode | undefined;
}

// Symbol.for lets two copies of this package in one process recognize each other's errors.
const brand = Symbol.for('tox-wasm-tunnel.TunnelError');

/**
 * Every failure that this package reports on purpose. Distinguish failures by {@link code}, which never
 * changes its meaning. The message is for people: the meaning of the code, then what failed and usually what
 * to do.
 *
 * @example
 * ```ts
 * await connect(process.env.TICKET).catch((error) => {
 *   if (!TunnelError.is(error) || error.code !== 'ERR_TICKET_INVALID') throw error;
 *   console.error(error.message);
 * });
 * ```
 */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
  readonly code: TunnelErrorCode;
  /** True when the peer caused the failure. */
  readonly remote: boolean;
  /** The return code of the event that failed; undefined when the failure has none. */
  readonly returnCode: ReturnCode | undefined;
  readonly [brand] = true;

  constructor(code: TunnelErrorCode, detail: string, options: TunnelErrorOptions = {}) {
    super(`${ERROR_CODES[code]}: ${detail}`, 'cause' in options ? { cause: options.cause } : {});
    this.code = code;
    this.remote = options.remote ?? false;
    this.returnCode = options.returnCode;
  }

  /** Narrows a caught value. Also true for a TunnelError of another copy of this package. */
  static is(value: unknown): value is TunnelError {
    return typeof value === 'object' && value !== null && brand in value;
  }

  toWire(): WireError {
    return { code: this.code, message: this.message, remote: this.remote, stack: this.stack };
  }

  static fromWire(wire: WireError): TunnelError {
    const error = new TunnelError(wire.code, '', { remote: wire.remote });
    error.message = wire.message;
    if (wire.stack !== undefined) error.stack = wire.stack;
    return error;
  }
}

/** The message of an error without the meaning of its code, for a new error that repeats it. */
export function detailOf({ code, message }: TunnelError): string {
  const start = `${ERROR_CODES[code]}: `;
  return message.startsWith(start) ? message.slice(start.length) : message;
}

/** Returns the system's code of an error, such as ENOENT; undefined when it has none. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/**
 * Turns what an event listener throws into an uncaught exception, as for a socket. Thrown into the caller, it would
 * interrupt the caller's other work.
 */
export function isolated(action: () => unknown): void {
  try {
    action();
  } catch (error) {
    process.nextTick(() => {
      throw error;
    });
  }
}
