/** U+FEFF, which some editors, most of them on Windows, write at the start of a text. */
const MARK = '\ufeff';
/** The same in UTF-8. */
const MARK_BYTES = Uint8Array.of(0xef, 0xbb, 0xbf);

/** Returns the text without a byte order mark at its start. */
export function withoutMark(text: string): string {
  return text.startsWith(MARK) ? text.slice(MARK.length) : text;
}

/** Returns the bytes of a UTF-8 text without a byte order mark at their start. */
export function withoutMarkBytes(bytes: Buffer): Buffer {
  const isMarked = bytes.subarray(0, MARK_BYTES.length).equals(MARK_BYTES);
  return isMarked ? bytes.subarray(MARK_BYTES.length) : bytes;
}
