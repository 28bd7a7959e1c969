/** A cell: text aligns left, numbers align right. */
export type Cell = string | number;

/** Formats rows as aligned columns under their headings. @param digits decimal places of numbers */
export function table(heads: readonly string[], rows: readonly (readonly Cell[])[], digits = 1): string {
  const texts = rows.map((row) =>
    row.map((cell) => (typeof cell === 'number' ? cell.toFixed(digits) : cell)),
  );
  const widths = heads.map((head, i) => Math.max(head.length, ...texts.map((row) => row[i]?.length ?? 0)));
  const isNumber = heads.map((_, i) => rows.some((row) => typeof row[i] === 'number'));
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, i) => (isNumber[i] ? cell.padStart(widths[i] ?? 0) : cell.padEnd(widths[i] ?? 0)))
      .join('  ')
      .trimEnd();
  return [line(heads), ...texts.map(line), ''].join('\n');
}
