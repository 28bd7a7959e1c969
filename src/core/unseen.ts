/**
 * Characters that people do not see, or that change how they see others. A text from elsewhere could move the cursor,
 * turn the writing direction, or differ from another without looking different.
 *
 * - `C`: control (Cc) and format characters (Cf: bidirectional marks, zero width, tags), surrogates without a partner,
 *   private use and unassigned code points, for which fonts have no picture.
 * - `Zl`, `Zp` and all spaces but U+0020.
 * - `Default_Ignorable_Code_Point`: everything else that is drawn as nothing, such as variation selectors and fillers.
 * - U+2800, the braille pattern without dots.
 *
 * Source: Unicode Standard, general categories (section 4.5), UAX #44.
 */
export const UNSEEN = /[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}\u2800]|(?! )\p{Zs}/gu;

/** U+FEFF, which some editors, most of them on Windows, write at the start of a file. */
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
