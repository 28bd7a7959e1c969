// Measures the tunnel over a wide area network, next to plain TCP. Run: npx tsx bench/wan.ts --help
import { appendFileSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { cpus, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { table } from './table.js';
import { type Measurement, measureRow, type Row, type WanBench } from './wan/bench.js';
import { End } from './wan/end.js';
import { GOODPUT, LATENCY, SHARING, START } from './wan/goodput.js';
import { WanHosts, wanUnavailable } from './wan/hosts.js';
import { INTERRUPTIONS } from './wan/interruptions.js';

const DEFAULT_PROGRAM = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

const GROUPS: ReadonlyMap<string, readonly Measurement[]> = new Map([
  ['Goodput as a share of the link rate', GOODPUT],
  ['Start', START],
  ['Latency', LATENCY],
  ['Sharing the link', SHARING],
  ['Interruptions', INTERRUPTIONS],
]);

const USAGE = `Measure the tunnel over an emulated wide area network, each row next to plain TCP, and
check every complete transfer with SHA-256. Needs Linux, root, iproute2, ethtool and a
C compiler; sets up two hosts in network namespaces and removes them at the end. Exits
with 0 where it cannot run.

  --only TEXT     measure only rows whose name contains TEXT; repeatable
  --seconds N     length of a goodput transfer at the full rate of the link (default 30)
  --mib N         MiB of a transfer that is interrupted (default 200)
  --runs N        measure each row N times (default 1)
  --tcp NAME      congestion control of plain TCP in the goodput rows (default: the kernel's)
  --program FILE  main.js of the build to run (default: dist/cli/main.js)
  --log FILE      write what both ends print at -vv to FILE
  --json FILE     also write the rows to FILE
  --list          list the rows without measuring
  --help          show this help
`;

function whole(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number > 0) return number;
  process.stderr.write(`${name} ${text}: expected a whole number above 0, for example ${name} 30\n`);
  process.exit(2);
}

const { values } = parseArgs({
  options: {
    only: { type: 'string', multiple: true, default: [] },
    seconds: { type: 'string', default: '30' },
    mib: { type: 'string', default: '200' },
    runs: { type: 'string', default: '1' },
    tcp: { type: 'string' },
    program: { type: 'string', default: DEFAULT_PROGRAM },
    log: { type: 'string' },
    json: { type: 'string' },
    list: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const runs = whole('--runs', values.runs);
const isChosen = ({ name }: Measurement): boolean =>
  values.only.length === 0 || values.only.some((text) => name.includes(text));

if (values.help) {
  process.stdout.write(USAGE);
} else if (values.list) {
  for (const group of GROUPS.values()) for (const { name } of group) process.stdout.write(`${name}\n`);
} else {
  const why = wanUnavailable();
  if (why !== undefined) {
    process.stdout.write(`wan: skipped, ${why}\n`);
  } else if (!existsSync(values.program)) {
    process.stderr.write(`${values.program} does not exist; run npm run build first\n`);
    process.exitCode = 2;
  } else {
    // Everything is removed when the process exits, however it exits.
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => process.exit(130));
    await benchWan();
  }
}

async function benchWan(): Promise<void> {
  const hosts = new WanHosts();
  const kernelTcp = readFileSync('/proc/sys/net/ipv4/tcp_congestion_control', 'utf8').trim();
  const tcp = values.tcp ?? kernelTcp;
  const near = new End(hosts.on('a'));
  const far = new End(hosts.on('b'));
  const bench: WanBench = {
    hosts,
    near,
    servePort: await far.serve(),
    program: values.program,
    seconds: whole('--seconds', values.seconds),
    mib: whole('--mib', values.mib),
    verbose: values.log === undefined ? [] : ['-vv'],
    keepLog: (row, end, text) => {
      if (values.log !== undefined) appendFileSync(values.log, `== ${row}: ${end}\n${text}`);
    },
  };
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Linux ${release()}`;
  const title = `The tunnel over an emulated WAN, next to TCP ${tcp}, ${new Date().toISOString()}`;
  process.stdout.write(`${title}\n${machine}\n`);
  const groups: Record<string, readonly Row[]> = {};
  for (const [group, measurements] of GROUPS) {
    const rows: Row[] = [];
    for (const measurement of measurements.filter(isChosen)) {
      for (let run = 0; run < runs; run++) {
        hosts.setCongestionControl(tcp);
        const row = await measured(bench, measurement);
        rows.push(row);
        process.stderr.write(`${JSON.stringify(row)}\n`);
      }
    }
    if (rows.length === 0) continue;
    groups[group] = rows;
    const heads = [...new Set(rows.flatMap((row) => Object.keys(row)))];
    const lines = rows.map((row) => heads.map((head) => row[head] ?? ''));
    process.stdout.write(`\n${group}\n${table(heads, lines)}`);
  }
  await Promise.all([near.stop(), far.stop()]);
  await hosts.remove();
  if (values.json !== undefined) {
    writeFileSync(values.json, `${JSON.stringify({ title, machine, groups }, null, 2)}\n`);
  }
}

/** Reports a row that fails, and still measures the others. */
async function measured(bench: WanBench, measurement: Measurement): Promise<Row> {
  try {
    return await measureRow(bench, measurement);
  } catch (error) {
    process.exitCode = 1;
    return {
      row: measurement.name,
      failed: error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error),
    };
  }
}
