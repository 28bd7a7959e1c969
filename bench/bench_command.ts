/** What the benchmarks of complete ways share: arguments, the loop over all ways, and the report. */
import { writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { parseArgs } from 'node:util';
import { type Cell, table } from './table.js';
import type { StartedWay, Way } from './way.js';

export interface BenchArguments {
  readonly mib: number;
  readonly runs: number;
  readonly built: boolean;
  readonly ways: readonly string[];
  readonly json: string | undefined;
}

/** Returns undefined after it has printed the help. */
export function benchArguments(usage: string, defaultMib: number): BenchArguments | undefined {
  const { values } = parseArgs({
    options: {
      mib: { type: 'string', default: String(defaultMib) },
      runs: { type: 'string', default: '3' },
      way: { type: 'string', multiple: true, default: [] },
      built: { type: 'boolean', default: false },
      json: { type: 'string' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    process.stdout.write(`${usage}

  --mib N      MiB per transfer (default ${defaultMib}); the benchmark holds them in memory
  --runs N     measure each figure N times (default 3)
  --way NAME   measure only ways whose name contains NAME; repeatable
  --built      run tox-wasm-tunnel from dist/ instead of from the sources through tsx
  --json FILE  also write the figures to FILE
  --help       show this help
`);
    return undefined;
  }
  return {
    mib: positive('--mib', values.mib),
    runs: positive('--runs', values.runs),
    built: values.built,
    ways: values.way,
    json: values.json,
  };
}

function positive(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  process.stderr.write(`${name} ${text}: expected a whole number above 0, for example ${name} 64\n`);
  process.exit(2);
}

/** One row of figures: named cells in column order. */
export type Row = Readonly<Record<string, Cell>>;

/**
 * Starts the ways one after the other, collects their rows, prints them all as one table, and returns them.
 */
export async function benchWays<Running extends StartedWay>(
  title: string,
  args: BenchArguments,
  ways: readonly Way<Running>[],
  targetPort: number,
  measure: (way: Running) => AsyncIterable<Row>,
): Promise<readonly Row[]> {
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Linux ${release()}`;
  const program = args.built ? 'dist/' : 'the sources through tsx';
  process.stdout.write(`${title}\n${machine}\ntox-wasm-tunnel runs from ${program}\n\n`);
  const rows: Row[] = [];
  for (const way of chosen(ways, args.ways)) {
    const missing = way.unavailable?.();
    if (missing !== undefined) {
      process.stderr.write(`${way.name}: skipped, ${missing}\n`);
      continue;
    }
    process.stderr.write(`${way.name}: starting\n`);
    const running = await way.start(targetPort);
    try {
      for await (const row of measure(running)) {
        rows.push({ way: way.name, ...row });
        process.stderr.write(
          `${Object.values({ way: way.name, ...row })
            .map(brief)
            .join('  ')}\n`,
        );
      }
    } finally {
      await running.stop();
    }
  }
  const heads = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  process.stdout.write(
    table(
      heads,
      rows.map((row) => heads.map((head) => row[head] ?? '')),
      2,
    ),
  );
  if (args.json !== undefined) {
    const report = { title, date: new Date().toISOString(), machine, program, rows };
    writeFileSync(args.json, `${JSON.stringify(report, null, 2)}\n`);
  }
  return rows;
}

function chosen<Running extends StartedWay>(
  ways: readonly Way<Running>[],
  names: readonly string[],
): readonly Way<Running>[] {
  if (names.length === 0) return ways;
  return ways.filter((way) => names.some((name) => way.name.includes(name)));
}

const brief = (cell: Cell): string => (typeof cell === 'number' ? cell.toFixed(2) : cell);
