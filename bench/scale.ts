/**
 * Measures one listener with many connectors on one machine: start, idle cost for each peer, one stream while the
 * others idle, and a restart of the listener. Run: npx tsx bench/scale.ts --help
 */
import { writeFileSync } from 'node:fs';
import { cpus, loadavg, release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type CliProcess, FROM_SOURCES } from '../test/support/cli_process.js';
import { LineProcess } from '../test/support/line_process.js';
import { freePort } from '../test/support/loopback.js';
import { PrivateNetwork } from '../test/support/private_network.js';
import { TempFolder } from '../test/support/temp_folder.js';
import { startTarget } from './own_process.js';
import { usageOf } from './process_usage.js';
import { quantile } from './quantiles.js';
import { table } from './table.js';
import { bulkBytes, transfer } from './target.js';

const MIB = 1024 * 1024;
const fileOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));

const { values } = parseArgs({
  options: {
    peers: { type: 'string', default: '1,10,100,500' },
    'per-process': { type: 'string', default: '50' },
    pause: { type: 'string', default: '100' },
    idle: { type: 'string', default: '30' },
    mib: { type: 'string', default: '64' },
    within: { type: 'string', default: '180' },
    kill: { type: 'boolean', default: false },
    built: { type: 'boolean', default: false },
    json: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const now = (): number => performance.timeOrigin + performance.now();
const say = (line: string): void => void process.stderr.write(`${line}\n`);

/** Connectors in a few processes, and when each last came online. */
class Connectors {
  readonly #processes: LineProcess[] = [];
  readonly #upMs = new Map<string, number>();
  readonly #read: number[] = [];
  port = 0;

  static async start(
    network: PrivateNetwork,
    ticket: string,
    count: number,
    target: number,
  ): Promise<Connectors> {
    const made = new Connectors();
    const most = whole('--per-process');
    for (let left = count; left > 0; left -= most) {
      const process = start(network, ticket, Math.min(left, most), left === count ? target : 0);
      made.#processes.push(process);
      made.#read.push(0);
      if (left === count) made.port = Number((await process.line(/^port (\d+)$/))[1]);
      // One process after the other: the machine starts no two threads at once.
      await until(() => process.lines.includes('started'), 600_000);
    }
    return made;
  }

  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid);
  }

  /** When each connector that is online came online. */
  up(): number[] {
    for (const [process, { lines }] of this.#processes.entries()) {
      for (const line of lines.slice(this.#read[process])) {
        const [, what, index, ms] = /^(up|down|error) (\d+) (.*)$/.exec(line) ?? [];
        if (what === 'up') this.#upMs.set(`${process} ${index}`, Number(ms));
        else if (what !== undefined) this.#upMs.delete(`${process} ${index}`);
        if (what === 'error') say(line);
      }
      this.#read[process] = lines.length;
    }
    return [...this.#upMs.values()];
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.stop()));
  }
}

function start(network: PrivateNetwork, ticket: string, count: number, target: number): LineProcess {
  const library = new URL(values.built ? '../dist/index.js' : '../src/index.ts', import.meta.url).href;
  const words = [library, network.bootstrap, ticket, count, target, whole('--pause')].map(String);
  const program = ['--import', import.meta.resolve('tsx'), fileOf('./scale/connectors_process.ts')];
  return new LineProcess(process.execPath, [...program, ...words]);
}

/** Waits for a condition. @returns whether it came in time */
async function until(holds: () => boolean, ms: number): Promise<boolean> {
  const endMs = now() + ms;
  while (!holds()) {
    if (now() > endMs) return false;
    await pause(50);
  }
  return true;
}

type Row = Record<string, number | string>;

async function measure(count: number, targetPort: number): Promise<Row> {
  const main = values.built ? [process.execPath, fileOf('../dist/cli/main.js')] : FROM_SOURCES;
  // As if the listener and the node had machines of their own. Without the right to it, nice only warns.
  const program = ['nice', '-n', '-10', ...main];
  const network = await PrivateNetwork.start({ program }, ['--port', String(await freePort())]);
  const folder = new TempFolder();
  let connectors: Connectors | undefined;
  try {
    const words = ['--state', folder.path, '--max-peers', String(Math.max(64, count))];
    const listen = async () => await network.listen([String(targetPort)], ...words);
    const { listener, ticket } = await listen();
    await pause(3_000);
    const pidOf = ({ child }: CliProcess): number => child.pid ?? 0;
    const begunMs = now();
    connectors = await Connectors.start(network, ticket, count, targetPort);
    const all = connectors;
    await until(() => all.up().length === count, whole('--within') * 1000);
    const first = { online: all.up().length, s: (Math.max(...all.up()) - begunMs) / 1000 };
    say(`${count}: ${first.online} online after ${first.s.toFixed(1)} s`);
    await pause(10_000);
    const groups = [[pidOf(listener)], [pidOf(network.node)], all.pids];
    const usages = await Promise.all(groups.map((pids) => idle(pids, whole('--idle') * 1000)));
    const [theirs, node, others] = usages;
    if (theirs === undefined || node === undefined || others === undefined) throw new Error('three groups');
    const stayed = all.up().length;
    say(`${count}: idle ${JSON.stringify(usages)} load ${loadavg()[0]}`);
    const speeds: number[] = [];
    const bytes = bulkBytes('down', whole('--mib') * MIB);
    for (let run = 0; run < 3; run++)
      speeds.push(whole('--mib') / ((await transfer(all.port, 'down', bytes)) / 1000));
    say(`${count}: ${speeds.map((speed) => speed.toFixed(1)).join(', ')} MiB/s`);

    const before = all.up().length;
    await listener.stop(values.kill ? 'SIGKILL' : 'SIGTERM');
    const stoppedMs = now();
    const again = await listen();
    const readyMs = now();
    const isBack = (ms: number): boolean => ms > stoppedMs;
    await until(() => all.up().filter(isBack).length >= count, whole('--within') * 1000);
    const back = all
      .up()
      .filter(isBack)
      .map((ms) => (ms - readyMs) / 1000);
    const cpu = usageOf(pidOf(again.listener)).cpuSeconds;
    say(
      `${count}: ${back.length} of ${before} back, the last after ${Math.max(...back).toFixed(1)} s; ${cpu} s of CPU`,
    );
    await again.listener.stop();
    return {
      peers: count,
      online: stayed,
      'all online s': first.s,
      'listener CPU %': theirs.cpu,
      'listener RSS MiB': theirs.rss,
      'node CPU %': node.cpu,
      'connector CPU %': others.cpu / count,
      'connector RSS MiB': others.rss / count,
      'one stream MiB/s': quantile(speeds, 0.5),
      back: back.length,
      'back s, p50': quantile(back, 0.5),
      p95: quantile(back, 0.95),
      last: Math.max(...back),
      'CPU s until then': cpu,
    };
  } finally {
    await connectors?.stop();
    await network.stop();
    folder.remove();
  }
}

/** CPU in percent of one core, and resident MiB, over a time without work. */
async function idle(pids: readonly number[], ms: number): Promise<{ cpu: number; rss: number }> {
  const total = () => {
    const usages = pids.map(usageOf);
    return {
      cpu: usages.reduce((sum, { cpuSeconds }) => sum + cpuSeconds, 0),
      rss: usages.reduce((sum, { rssBytes }) => sum + rssBytes, 0) / MIB,
    };
  };
  const before = total();
  const begunMs = now();
  await pause(ms);
  const after = total();
  return { cpu: ((after.cpu - before.cpu) / (now() - begunMs)) * 100_000, rss: after.rss };
}

function whole(name: '--per-process' | '--pause' | '--idle' | '--mib' | '--within'): number {
  const options: Readonly<Record<string, unknown>> = values;
  const text = String(options[name.slice(2)]);
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  say(`${name} ${text}: expected a whole number, for example ${name} 30`);
  process.exit(2);
}

async function main(): Promise<void> {
  const counts = values.peers.split(',').map(Number);
  if (!counts.every((count) => Number.isSafeInteger(count) && count > 0)) {
    say(`--peers ${values.peers}: expected whole numbers above 0, for example --peers 1,10,100`);
    process.exitCode = 2;
    return;
  }
  const target = await startTarget(whole('--mib') * MIB);
  const rows: Row[] = [];
  const machine = `Node ${process.version}, ${cpus().length} × ${cpus()[0]?.model.trim() ?? 'CPU'}, Linux ${release()}`;
  try {
    for (const count of counts) {
      const before = rows.at(-1);
      const row = await measure(count, target.port);
      rows.push(row);
      if (before !== undefined) {
        const growth = (head: string): number =>
          (Number(row[head]) - Number(before[head])) / (count - Number(before['peers']));
        row['CPU % per further peer'] = growth('listener CPU %');
        row['RSS KiB per further peer'] = growth('listener RSS MiB') * 1024;
      }
      if (values.json !== undefined)
        writeFileSync(
          values.json,
          `${JSON.stringify({ date: new Date().toISOString(), machine, rows }, null, 2)}\n`,
        );
    }
  } finally {
    await target.stop();
    const heads = Object.keys(rows.at(-1) ?? {});
    process.stdout.write(`${machine}\n\n`);
    process.stdout.write(
      table(
        ['figure', ...rows.map((row) => String(row['peers']))],
        heads.slice(1).map((head) => [head, ...rows.map((row) => row[head] ?? '')]),
        2,
      ),
    );
  }
}

if (values.help) {
  process.stdout.write(`Measure one listener with many connectors on one machine, joined by a private bootstrap
node. The connectors run through the library, many in one process, each with a worker thread of its own.

  --peers LIST     numbers of connectors, one measurement each (default 1,10,100,500)
  --per-process N  connectors in one process (default 50)
  --pause MS       wait between the starts of two connectors (default 100)
  --idle S         measure idle ends for this long (default 30)
  --mib N          MiB of the one stream (default 64)
  --within S       wait so long for all connectors, at the start and after the restart (default 180)
  --kill           kill the listener instead of stopping it
  --built          run tox-wasm-tunnel from dist/ instead of from the sources through tsx
  --json FILE      also write the figures to FILE
  --help           show this help
`);
} else {
  await main();
}
