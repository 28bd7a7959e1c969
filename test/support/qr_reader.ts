/**
 * Reads the QR codes that we print: version 5, level L, whose data is one block, so there is nothing to
 * deinterleave and no error to correct. Source: ISO/IEC 18004, sections 6.3, 7.7 to 7.9.
 */
const SIZE = 37;
/** Width of the light border around the code, in modules. */
const BORDER = 2;
const ALPHANUMERIC = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:';
/** The mask over the format bits. */
const FORMAT_MASK = 0x5412;

const MASKS: readonly ((row: number, column: number) => boolean)[] = [
  (row, column) => (row + column) % 2 === 0,
  (row) => row % 2 === 0,
  (_row, column) => column % 3 === 0,
  (row, column) => (row + column) % 3 === 0,
  (row, column) => (Math.floor(row / 2) + Math.floor(column / 3)) % 2 === 0,
  (row, column) => ((row * column) % 2) + ((row * column) % 3) === 0,
  (row, column) => (((row * column) % 2) + ((row * column) % 3)) % 2 === 0,
  (row, column) => (((row + column) % 2) + ((row * column) % 3)) % 2 === 0,
];

/** Reads the text of a code drawn in half blocks, dark where the terminal is dark. */
export function readQr(lines: readonly string[]): string {
  const dark = lines.flatMap((line) => {
    const characters = [...line];
    return [
      characters.map((each) => each === ' ' || each === '▄'),
      characters.map((each) => each === ' ' || each === '▀'),
    ];
  });
  const at = (row: number, column: number): number => Number(dark[row + BORDER]?.[column + BORDER]);
  // An odd number of rows leaves half a line.
  const width = dark[0]?.length ?? 0;
  if (width !== SIZE + 2 * BORDER || dark.length < width)
    throw new Error(`a code of ${dark.length} by ${width} modules`);
  for (let step = 8; step < SIZE - 8; step++)
    if (at(6, step) !== Number(step % 2 === 0)) throw new Error('there is no timing pattern');

  const formatAt = [0, 1, 2, 3, 4, 5, 7, 8].map((column) => at(8, column));
  formatAt.push(...[7, 5, 4, 3, 2, 1, 0].map((row) => at(row, 8)));
  const format = Number.parseInt(formatAt.join(''), 2) ^ FORMAT_MASK;
  if (format >> 13 !== 0b01) throw new Error('not level L');
  const mask = MASKS[(format >> 10) & 7]!;

  let bits = '';
  let upward = true;
  for (let right = SIZE - 1; right > 0; right -= 2) {
    if (right === 6) right--;
    for (let step = 0; step < SIZE; step++) {
      const row = upward ? SIZE - 1 - step : step;
      for (const column of [right, right - 1])
        if (!isPattern(row, column)) bits += at(row, column) ^ Number(mask(row, column));
    }
    upward = !upward;
  }
  return alphanumeric(bits);
}

/** Finders with the format next to them, timing, and the single alignment pattern. */
function isPattern(row: number, column: number): boolean {
  const isFinder = (row < 9 && (column < 9 || column >= SIZE - 8)) || (row >= SIZE - 8 && column < 9);
  const isAlignment = Math.abs(row - 30) <= 2 && Math.abs(column - 30) <= 2;
  return isFinder || isAlignment || row === 6 || column === 6;
}

function alphanumeric(bits: string): string {
  let from = 0;
  const take = (count: number): number => {
    from += count;
    return Number.parseInt(bits.slice(from - count, from), 2);
  };
  if (take(4) !== 0b0010) throw new Error('not alphanumeric');
  const length = take(9);
  let text = '';
  while (text.length + 2 <= length) {
    const pair = take(11);
    text += ALPHANUMERIC.charAt(Math.floor(pair / 45)) + ALPHANUMERIC.charAt(pair % 45);
  }
  return text.length < length ? text + ALPHANUMERIC.charAt(take(6)) : text;
}
