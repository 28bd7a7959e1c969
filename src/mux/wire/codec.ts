import { TunnelError } from '../../core/errors.js';

/** The error for a frame that breaks docs/protocol.md: the peer's fault, and the end of its session. */
export function violation(detail: string): TunnelError {
  return new TunnelError('ERR_FRAME_INVALID', `${detail}; the session with this peer has to be closed`, {
    remote: true,
  });
}

// Big-endian integers in place. Plain indexing, as a DataView for each frame would be an
// allocation for each frame. Callers have checked the length.

const TWO_32 = 0x1_0000_0000;
/** High word of Number.MAX_SAFE_INTEGER. */
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

/** Longest text of REFUSED, BYE and refuse, and longest host of OPEN, in bytes of UTF-8. */
export const MAX_TEXT_BYTES = 255;

const encoder = new TextEncoder();
// ignoreBOM: a text is what its bytes say, also when they start with EF BB BF.
const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });

/** `text` as UTF-8, cut after the last whole character that fits {@link MAX_TEXT_BYTES}. */
export function encodeText(text: string): Uint8Array {
  const bytes = new Uint8Array(MAX_TEXT_BYTES);
  return bytes.subarray(0, encoder.encodeInto(text, bytes).written);
}

/** What `bytes[from, to)` say, or undefined when they are no UTF-8. */
export function decodeText(bytes: Uint8Array, from: number, to: number): string | undefined {
  try {
    // A copy: the bytes may lie in shared memory, which a decoder need not take.
    return decoder.decode(bytes.slice(from, to));
  } catch {
    return undefined;
  }
}

/**
 * A peer's text, fit for a terminal and a log: control characters, line and paragraph separators
 * and those that turn the direction of writing become U+FFFD.
 */
export function printable(text: string): string {
  return text.replaceAll(/[\p{Cc}\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]/gu, '\ufffd');
}
