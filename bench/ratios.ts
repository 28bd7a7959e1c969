import type { Row } from './bench_command.js';
import { type Cell, table } from './table.js';

/** What the tunnel is held against, and how many times as fast it is to be at least. */
const RIVALS: readonly { readonly way: string; readonly bar?: number }[] = [
  { way: 'raw lossy packets', bar: 0.6 },
  { way: 'lossless channel', bar: 5 },
  { way: 'hypertele' },
  { way: 'ssh -L' },
  { way: 'direct TCP' },
];

/** The tunnel's speed in parts of the others', of the same run; empty where one of two is missing. */
export function ratios(rows: readonly Row[]): string {
  const speed = (way: string, name: Cell | undefined): number | undefined => {
    const value = rows.find((row) => row['way'] === way && row['case'] === name)?.['MiB/s'];
    return typeof value === 'number' ? value : undefined;
  };
  const lines: Cell[][] = [];
  for (const { way, bar } of RIVALS) {
    for (const { case: name, 'MiB/s': tunnel } of rows.filter((row) => row['way'] === 'tox-wasm-tunnel')) {
      // Packets know no streams: one figure stands for any number of them.
      const rival = speed(way, name) ?? speed(way, String(name).replace(/^\d+ /, 'packets '));
      if (rival === undefined || typeof tunnel !== 'number') continue;
      const ratio = tunnel / rival;
      const verdict = bar === undefined ? '' : ratio >= bar ? 'met' : 'missed';
      lines.push([`tunnel / ${way}`, name ?? '', ratio, bar === undefined ? '' : bar.toFixed(1), verdict]);
    }
  }
  return lines.length === 0 ? '' : `\n${table(['ratio', 'case', 'is', 'bar', ''], lines, 2)}`;
}
