/** Digits that nobody mixes up: no I, L, O and U. Source: Crockford, "Base 32". */
const DIGITS = '0123456789abcdefghjkmnpqrstvwxyz';
/** What is read as another digit, because people write one for the other. */
const LOOKALIKES: Readonly<Record<string, string>> = { i: '1', l: '1', o: '0' };
const BITS = 5;

/** Five bits a digit, lower case; the last digit is filled up with zero bits. */
export function toBase32(bytes: Uint8Array): string {
  let text = '';
  let held = 0;
  let bits = 0;
  for (const byte of bytes) {
    held = (held << 8) | byte;
    bits += 8;
    while (bits >= BITS) {
      bits -= BITS;
      text += DIGITS[(held >>> bits) & 31];
    }
    held &= (1 << bits) - 1;
  }
  return bits === 0 ? text : text + DIGITS[(held << (BITS - bits)) & 31];
}

/** The digit that is meant by a character; undefined when none is. */
export function base32Digit(character: string): string | undefined {
  const lower = character.toLowerCase();
  const digit = LOOKALIKES[lower] ?? lower;
  return digit.length === 1 && DIGITS.includes(digit) ? digit : undefined;
}

/** @param text of digits alone. @returns undefined when the bits that fill up the last digit are not zero */
export function fromBase32(text: string): Uint8Array | undefined {
  const bytes = new Uint8Array(Math.floor((text.length * BITS) / 8));
  let held = 0;
  let bits = 0;
  let at = 0;
  for (const digit of text) {
    held = (held << BITS) | DIGITS.indexOf(digit);
    bits += BITS;
    if (bits < 8) continue;
    bits -= 8;
    bytes[at++] = held >>> bits;
    held &= (1 << bits) - 1;
  }
  return held === 0 ? bytes : undefined;
}
