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
