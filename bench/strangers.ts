// Measures what strangers cost: one stream without and with floods of the listener. Linux only, needs a C compiler.
// Run: npm run build && npx tsx bench/strangers.ts --built
import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { FROM_SOURCES } from '../test/support/cli_process.js';
import { LOOPBACK_HOST } from '../test/support/loopback.js';
import { PrivateNetwork } from '../test/support/private_network.js';
import { socketsOf } from '../test/support/process_sockets.js';
import { TempFolder } from '../test/support/temp_folder.js';
import { startTarget } from './own_process.js';
import { usageOf } from './process_usage.js';
import { table } from './table.js';
import { openFlow } from './target.js';

const MIB = 1024 * 1024;
const MAX_BYTES = 64 * MIB;
const builtMain = fileURLToPath(new URL('../dist/cli/main.js', import.meta.url));

interface Flood {
  readonly name: string;
  /** First byte of its datagrams. Source: toxcore/network.h. */
  readonly kind: number;
  readonly size: number;
  readonly perSecond: number;
  /** Addresses it comes from; 0 for that of the honest peers. */
  readonly sources: number;
  /** It goes to a socket that nobody reads: it shows what the flooding itself takes from this machine. */
  readonly elsewhere?: boolean;
}

const FLOODS: readonly Flood[] = [
  {
    name: 'to a socket that nobody reads',
    kind: 0x00,
    size: 200,
    perSecond: 40_000,
    sources: 0,
    elsewhere: true,
  },
  { name: 'DHT pings', kind: 0x00, size: 82, perSecond: 40_000, sources: 0 },
  { name: 'DHT pings from 200 addresses', kind: 0x00, size: 82, perSecond: 40_000, sources: 200 },
  { name: 'DHT node requests', kind: 0x02, size: 113, perSecond: 40_000, sources: 0 },
  { name: 'DHT ping answers', kind: 0x01, size: 82, perSecond: 40_000, sources: 0 },
  { name: 'cookie requests', kind: 0x18, size: 145, perSecond: 40_000, sources: 0 },
  { name: 'handshakes', kind: 0x1a, size: 385, perSecond: 40_000, sources: 0 },
  { name: 'data of no session', kind: 0x1b, size: 200, perSecond: 40_000, sources: 0 },
  { name: 'onion requests', kind: 0x80, size: 400, perSecond: 40_000, sources: 0 },
  { name: 'onion announcements', kind: 0x83, size: 300, perSecond: 40_000, sources: 0 },
];

const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '8' },
    only: { type: 'string' },
    'per-second': { type: 'string' },
    built: { type: 'boolean', default: false },
    at: { type: 'string', default: 'listener' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(`Measure one stream without and with strangers that flood an end, then whether a new peer gets in.

  --seconds N     seconds of each flood (default 8)
  --only TEXT     only floods whose name contains TEXT
  --per-second N  datagrams per second (default 40000)
  --at END        flood the listener or the connector (default listener)
  --built         run dist/ instead of the sources through tsx
`);
} else {
  await bench(Number(values.seconds), values.at === 'connector' ? 'connector' : 'listener');
}

async function bench(seconds: number, end: 'listener' | 'connector'): Promise<void> {
  const folder = new TempFolder();
  const program = values.built ? [process.execPath, builtMain] : FROM_SOURCES;
  const flooder = `${folder.path}/flood`;
  execFileSync('cc', ['-O2', '-o', flooder, fileURLToPath(new URL('strangers/flood.c', import.meta.url))]);
  const target = await startTarget(MAX_BYTES);
  const network = await PrivateNetwork.start({ program });
  try {
    const { listener, ticket } = await network.listen([String(target.port)]);
    const { connector, locals } = await network.connect(ticket, [`0:${LOOPBACK_HOST}:${target.port}`]);
    const [local] = locals;
    const attacked = (end === 'listener' ? listener : connector).child.pid;
    if (local === undefined || attacked === undefined) throw new Error('the tunnel did not start');
    const [udpPort = 0] = socketsOf(attacked, []).udpPorts;

    /** MiB/s of a stream, and the processor time of the attacked end. */
    async function measure(): Promise<readonly [number, number]> {
      const flow = openFlow(local!.port, MAX_BYTES);
      await pause(1500);
      const [bytes, cpu, begun] = [flow.bytes(), usageOf(attacked!).cpuSeconds, performance.now()];
      await pause((seconds - 3) * 1000);
      const passed = (performance.now() - begun) / 1000;
      flow.stop();
      return [(flow.bytes() - bytes) / MIB / passed, ((usageOf(attacked!).cpuSeconds - cpu) / passed) * 100];
    }

    const rows: (readonly (string | number)[])[] = [];
    await measure();
    for (const flood of FLOODS.filter(({ name }) => name.includes(values.only ?? ''))) {
      const [before, cpuBefore] = await measure();
      const stranger = startFlood(flooder, udpPort, flood, seconds + 25);
      await pause(500);
      const [during, cpuDuring] = await measure();
      const begun = performance.now();
      const newcomer = network.connect(ticket, [`0:${LOOPBACK_HOST}:${target.port}`]).then(
        ({ connector: another }) => {
          const ms = performance.now() - begun;
          return another.stop().then(() => ms / 1000);
        },
        () => Number.NaN,
      );
      const joined = await Promise.race([newcomer, stranger.done.then(() => Number.NaN)]);
      const sentPerSecond = await stranger.done;
      rows.push([
        flood.name,
        sentPerSecond,
        before,
        during,
        (during / before) * 100,
        cpuBefore,
        cpuDuring,
        joined,
      ]);
      process.stderr.write(
        `${rows
          .at(-1)
          ?.map((cell) => (typeof cell === 'number' ? cell.toFixed(1) : cell))
          .join('  ')}\n`,
      );
      await pause(1000);
    }
    process.stdout.write(
      table(
        [
          'flood',
          'sent/s',
          'MiB/s before',
          'MiB/s during',
          '%',
          'CPU % before',
          'CPU % during',
          'new peer in s',
        ],
        rows,
      ),
    );
  } finally {
    await network.stop();
    await target.stop();
    folder.remove();
  }
}

/** Starts a flood in a process of its own. `done` resolves with the real rate. */
function startFlood(
  program: string,
  port: number,
  { kind, size, perSecond, sources, elsewhere }: Flood,
  seconds: number,
): { readonly done: Promise<number> } {
  const rate = values['per-second'] ?? String(perSecond);
  const words = [
    elsewhere === true ? 0 : port,
    kind,
    size,
    rate,
    seconds,
    ...(sources > 0 ? [sources] : []),
  ].map(String);
  const child: ChildProcess = spawn(program, words, { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout?.on('data', (chunk: Buffer) => {
    text += chunk.toString();
  });
  return {
    done: once(child, 'close').then(() => {
      const [, sent, took] = /^sent (\d+) in ([\d.]+)/.exec(text) ?? [];
      return Number(sent) / Number(took);
    }),
  };
}
