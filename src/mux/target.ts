import { TunnelError } from '../core/errors.js';
import { MAX_TEXT_BYTES } from './text.js';

/** What the far end is asked to dial. */
export interface Target {
  readonly kind: 'tcp';
  /** A name or a numeric address without brackets: 1 to 255 bytes of UTF-8, no blanks. */
  readonly host: string;
  /** 1 to 65535. */
  readonly port: number;
}

const encoder = new TextEncoder();

/** True for text that can stand as a host in OPEN; whether it exists is the dialler's business. */
export function isHost(host: string): boolean {
  // Blanks and control characters: no name has them, and they end up in logs.
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it looks for
  return host !== '' && !/[\u0000-\u0020\u007f]/u.test(host);
}

/**
 * The bytes of the target's host.
 *
 * @throws {TunnelError} ERR_ADDRESS_INVALID when host or port cannot be told to the peer
 */
export function encodeHost(target: Target): Uint8Array {
  const { host, port } = target;
  if (!isHost(host)) {
    throw new TunnelError('ERR_ADDRESS_INVALID', `host ${JSON.stringify(host)}; give a name or an address`);
  }
  if (!Number.isInteger(port) || port < 1 || port > 65_535) {
    throw new TunnelError('ERR_ADDRESS_INVALID', `port ${port}; give one from 1 to 65535`);
  }
  const bytes = encoder.encode(host);
  if (bytes.length > MAX_TEXT_BYTES) {
    throw new TunnelError(
      'ERR_ADDRESS_INVALID',
      `a host of ${bytes.length} bytes; at most ${MAX_TEXT_BYTES}`,
    );
  }
  return bytes;
}
