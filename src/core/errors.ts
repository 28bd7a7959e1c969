import type { ReturnCode } from './return_codes.js';

/** What each code means. Codes are API: add one freely, never rename one. */
export const ERROR_CODES = {
  ERR_ADDRESS_INVALID: 'not an address we can use',
  ERR_ARGUMENT_INVALID: 'an argument is wrong',
  ERR_BOOTSTRAP_INVALID: 'not a bootstrap node',
  ERR_CLOSED: 'already closed',
  ERR_CONTROL: 'the running process cannot be asked',
  ERR_FRAME_INVALID: 'the peer sent bytes that are no frame of ours',
  ERR_FRIEND_ADD: 'the peer could not be added as a friend',
  ERR_HANDSHAKE_INVALID: 'the peer sent a handshake we do not understand',
  ERR_HANDSHAKE_REFUSED: 'the peer refused the handshake',
  ERR_HANDSHAKE_TIMEOUT: 'the peer did not finish the handshake in time',
  ERR_LIMIT: 'a limit was reached',
  ERR_LISTEN: 'cannot listen',
  ERR_NODES_INVALID: 'not a list of bootstrap nodes',
  ERR_NODES_UPDATE: 'the list of bootstrap nodes was not refreshed',
  ERR_OPEN_REFUSED: 'the far end refused to open the target',
  ERR_OUTPUT: 'output could not be written',
  ERR_PACKET_INVALID: 'the peer sent a packet that makes no sense',
  ERR_PEER_GONE: 'the peer is gone',
  ERR_PROGRAM: 'the program could not be run',
  ERR_SPEC_INVALID: 'not a forward',
  ERR_STATE_BUSY: 'another process uses this identity',
  ERR_STATE_EXISTS: 'there is an identity already',
  ERR_STATE_INVALID: 'the state file is damaged or not ours',
  ERR_STATE_IO: 'the state folder cannot be used',
  ERR_STATE_SEALED: 'the state file could not be opened',
  ERR_STREAM_RESET: 'the stream was cut short',
  ERR_TARGET_DENIED: 'the target is not allowed',
  ERR_TICKET_INVALID: 'not a ticket that we can use',
  ERR_TOX_BUSY: 'toxcore is at work',
  ERR_TOX_CRASHED: 'toxcore crashed',
  ERR_TOX_START: 'toxcore did not start',
  ERR_USAGE: 'the command line is wrong',
  ERR_WASM_MISSING: 'the built tox.wasm is missing',
  ERR_WORKER_DIED: 'the tox worker thread is gone',
} as const;

export type TunnelErrorCode = keyof typeof ERROR_CODES;

/** A {@link TunnelError} as plain data, for the way from one thread to the other. */
export interface WireError {
  readonly code: TunnelErrorCode;
  readonly message: string;
  readonly remote: boolean;
  readonly stack: string | undefined;
}

export interface TunnelErrorOptions {
  readonly cause?: unknown;
  /** True when the peer is at fault, false (the default) when we are. */
  readonly remote?: boolean;
  /** The return code of a tunnel's life that this is, where it is one. */
  readonly returnCode?: ReturnCode | undefined;
}

// Symbol.for: two copies of this package in one process know each other's errors.
const brand = Symbol.for('tox-wasm-tunnel.TunnelError');

/** Every failure this package reports on purpose. Tell them apart by `code`. */
export class TunnelError extends Error {
  override readonly name = 'TunnelError';
  readonly code: TunnelErrorCode;
  /** True when the peer is at fault, false when we are. */
  readonly remote: boolean;
  /** The return code that a tunnel's life ended with; undefined of every other failure. */
  readonly returnCode: ReturnCode | undefined;
  readonly [brand] = true;

  constructor(code: TunnelErrorCode, detail: string, options: TunnelErrorOptions = {}) {
    super(`${ERROR_CODES[code]}: ${detail}`, 'cause' in options ? { cause: options.cause } : {});
    this.code = code;
    this.remote = options.remote ?? false;
    this.returnCode = options.returnCode;
  }

  /** Narrows a caught value; true for a TunnelError of another copy of this package too. */
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

/** The system's code of an error, as ENOENT; undefined for one that has none. */
export function errnoOf(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}
