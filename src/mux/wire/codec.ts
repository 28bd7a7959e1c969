import { TunnelError } from '../../core/errors.js';
import { UNSEEN } from '../../core/unseen.js';

/** The error for a frame that breaks docs/reference/protocol.md. It is the peer's fault and ends the session. */
export function violation(detail: string): TunnelError {
  return new TunnelError('ERR_FRAME_INVALID', `${detail}; the session with this peer must be closed`, {
    remote: true,
  });
}

// Big-endian integers, read and written in place. Plain indexing needs no DataView, so a frame costs no
// allocation. Callers have checked the length.

const TWO_32 = 0x1_0000_0000;
/** The high 32 bits of Number.MAX_SAFE_INTEGER. */
const MAX_SAFE_HIGH = 0x1f_ffff;

export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

/** @throws {TunnelError} ERR_FRAME_INVALID (remote) above 2^53 - 1 */
export function readU64(bytes: Uint8Array, at: number): number {
  const high = readU32(bytes, at);
  if (high > MAX_SAFE_HIGH) throw violation('a number above 2^53 - 1');
  return high * TWO_32 + readU32(bytes, at + 4);
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

export function writeU64(bytes: Uint8Array, at: number, value: number): void {
  writeU32(bytes, at, Math.floor(value / TWO_32));
  writeU32(bytes, at + 4, value >>> 0);
}

/** Maximum length of the text in REFUSED, BYE and refuse, and of the host in OPEN, in bytes of UTF-8. */
export const MAX_TEXT_BYTES = 255;

const encoder = new TextEncoder();
// ignoreBOM keeps a leading EF BB BF as part of the text.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** Encodes `text` as UTF-8, cut after the last whole character within {@link MAX_TEXT_BYTES}. */
export function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(MAX_TEXT_BYTES);
  return bytes.subarray(0, encoder.encodeInto(text, bytes).written);
}

/** Decodes `bytes[from, to)`. @returns undefined if they are not UTF-8 */
export function decodeText(bytes: Uint8Array, from: number, to: number): string | undefined {
  try {
    // A copy, because a decoder may reject shared memory.
    return decoder.decode(bytes.slice(from, to));
  } catch {
    return undefined;
  }
}

/** Makes a peer's text safe for a terminal and a log: each character that people would not see becomes U+FFFD. */
export function printable(text: string): string {
  return text.replaceAll(UNSEEN, '\ufffd');
}
