import { TunnelError } from '../core/errors.js';
import { PUBLIC_KEY_BYTES } from '../core/tox_network.js';
import { hexBytes, parseToxId } from '../network/tox_id.js';
import { parseName } from './name.js';

/** A peer that is let in by its key, without a ticket. */
export interface AllowedPeer {
  /**
   * What rules call it; default: `peer-` and the first eight digits of its key. Several peers may have
   * one name, none that of a ticket.
   */
  readonly name?: string;
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
}

/**
 * Reads a peer's public key: 64 hexadecimal digits, or its whole Tox ID.
 *
 * @throws {TunnelError} ERR_ADDRESS_INVALID
 */
export function parsePeerKey(text: string): Uint8Array {
  const digits = text.replaceAll(/\s+/g, '');
  if (digits.length === PUBLIC_KEY_BYTES * 2 && !/[^0-9a-f]/i.test(digits)) {
    return hexBytes(digits);
  }
  if (digits.length < PUBLIC_KEY_BYTES * 2) {
    throw new TunnelError(
      'ERR_ADDRESS_INVALID',
      `a peer is named by its public key, 64 hexadecimal digits, or its Tox ID, 76; this has ${digits.length}`,
    );
  }
  return parseToxId(text).publicKey.slice();
}

/**
 * Reads `[NAME=]KEY`, the argument of `--allow-peer`.
 *
 * @throws {TunnelError} ERR_ADDRESS_INVALID, ERR_USAGE for the name
 */
export function parseAllowedPeer(text: string): AllowedPeer {
  const equals = text.indexOf('=');
  const publicKey = parsePeerKey(text.slice(equals + 1));
  return equals < 0 ? { publicKey } : { name: parseName(text.slice(0, equals)), publicKey };
}
