import type { Row } from './bench_command.js';
import { type Cell, table } from './table.js';

/** What the tunnel is compared with, and how many times as fast it must be at least. */
const RIVALS: readonly { readonly way: string; readonly bar?: number }[] = [
  { way: 'raw lossy packets', bar: 0.6 },
  { way: 'lossless channel', bar: 5 },
  { way: 'hypertele' },
  { way: 'ssh -L' },
  { way: 'direct TCP' },
];

/**
 * Returns the speed of the tunnel as a multiple of the others in the same run; skips ratios with a missing
 * side.
 */
export function ratios(rows: readonly Row[]): string {
  const speed = (way: string, name: Cell | undefined): number | undefined => {
    const value = rows.find((row) => row['way'] === way && row['case'] === name)?.['MiB/s'];
    return typeof value === 'number' ? value : undefined;
  };
  const lines: Cell[][] = [];
  for (const { way, bar } of RIVALS) {
    for (const { case: name, 'MiB/s': tunnel } of rows.filter((row) => row['way'] === 'tox-wasm-tunnel')) {
      // Packets have no streams, so one figure applies to any number of streams.
      const rival = speed(way, name) ?? speed(way, String(name).replace(/^\d+ /, 'packets '));
      if (rival === undefined || typeof tunnel !== 'number') continue;
      const ratio = tunnel / rival;
      const verdict = bar === undefined ? '' : ratio >= bar ? 'met' : 'missed';
      lines.push([`tunnel / ${way}`, name ?? '', ratio, bar === undefined ? '' : bar.toFixed(1), verdict]);
    }
  }
  return lines.length === 0 ? '' : `\n${table(['ratio', 'case', 'is', 'bar', ''], lines, 2)}`;
}
