// What happens when something runs out: npm run build && npx tsx bench/soak.ts --help
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import type { CliProcess } from '../test/support/cli_process.js';
import { LineProcess } from '../test/support/line_process.js';
import { LOOPBACK_HOST } from '../test/support/loopback.js';
import { Namespaces, withoutNamespaces } from '../test/support/namespaces.js';
import { PrivateNetwork } from '../test/support/private_network.js';
import { TempFolder } from '../test/support/temp_folder.js';
import { usageOf } from './process_usage.js';
import { type Crowd, crowd, type Door, dialDoor, recovery } from './soak/crowd.js';
import { readSlowly } from './soak/slow_reader.js';
import { table } from './table.js';

const MIB = 1024 * 1024;
const CLIENTS = 300;
/** How long the CPU time of the process in need is measured. */
const WATCH_MS = 4_000;
/** Meanwhile another client comes this often. */
const PRESSING_MS = 50;
const MAX_LOG_LINES = 40;
const MAX_CPU_PERCENT = 25;
/** Slow readers and writers still move bytes: 500 of them 2 MB a second. */
const MAX_SLOW_CPU_PERCENT = 60;
const fileOf = (path: string): string => fileURLToPath(new URL(path, import.meta.url));
const builtMain = fileOf('../dist/cli/main.js');
const PROGRAM = [process.execPath, builtMain];

type End = 'listener' | 'connector';

interface Outcome {
  readonly crowds: readonly Crowd[];
  readonly cpuPercent: number;
  readonly rssMib: number;
  /** Seconds until a new connection was served; NaN for never. */
  readonly backSeconds: number;
  readonly needy: CliProcess;
  /** What the log must say of the shortage. Undefined when nothing was refused. */
  readonly reason: RegExp | undefined;
  /** Default: {@link MAX_CPU_PERCENT}. */
  readonly maxCpuPercent?: number;
  /** What else went wrong. */
  readonly faults?: readonly string[];
}

interface Case {
  readonly name: string;
  /** Why it cannot run here. */
  skip?(): string | false;
  run(): Promise<Outcome>;
}

/** Starts a tunnel whose one end is short of something. @param before the words before the program of that end */
async function shortTunnel(
  end: End,
  words: readonly string[],
  target: string,
  listenArgs: readonly string[] = [],
): Promise<{ network: PrivateNetwork; needy: CliProcess; door: number }> {
  const network = await PrivateNetwork.start({ program: PROGRAM });
  try {
    const short = network.withProgram(words);
    const [far, near] = end === 'listener' ? [short, network] : [network, short];
    const { listener, ticket } = await far.listen([target], ...listenArgs);
    const { connector, locals } = await near.connect(ticket, [`0:${LOOPBACK_HOST}:${target}`]);
    return { network, needy: end === 'listener' ? listener : connector, door: locals[0]?.port ?? 0 };
  } catch (error) {
    await network.stop();
    throw error;
  }
}

function ownTarget(file: string, before: readonly string[] = []): LineProcess {
  const [command = '', ...rest] = [
    ...before,
    process.execPath,
    '--import',
    import.meta.resolve('tsx'),
    fileOf(file),
  ];
  return new LineProcess(command, rest);
}

async function portOf(target: LineProcess): Promise<string> {
  const [, port = ''] = await target.line(/^port (\d+)$/);
  return port;
}

const pidOf = ({ child }: CliProcess): number => child.pid ?? 0;

/** CPU of a process over a while, in percent of one core. */
async function cpuOver(needy: CliProcess): Promise<number> {
  const [cpu, begun] = [usageOf(pidOf(needy)).cpuSeconds, performance.now()];
  await pause(WATCH_MS);
  return ((usageOf(pidOf(needy)).cpuSeconds - cpu) / ((performance.now() - begun) / 1000)) * 100;
}

function leave(crowds: readonly Crowd[]): void {
  for (const { sockets } of crowds) for (const socket of sockets) socket.destroy();
}

/** Two crowds, one after the other. The CPU is measured while the first is there, and further clients come. */
async function twoCrowds(door: Door, needy: CliProcess): Promise<Pick<Outcome, 'crowds' | 'cpuPercent'>> {
  const first = await crowd(door, CLIENTS);
  const pressing = setInterval(() => {
    const late = dialDoor(door);
    first.sockets.push(late);
    late.write('e');
  }, PRESSING_MS);
  const cpuPercent = await cpuOver(needy);
  clearInterval(pressing);
  leave([first]);
  await pause(1_000);
  const second = await crowd(door, CLIENTS);
  leave([second]);
  return { crowds: [first, second], cpuPercent };
}

function files(end: End): Case {
  return {
    name: `64 files, ${end}`,
    skip: () => process.platform === 'win32' && 'Windows has no such limit',
    run: async () => {
      const target = ownTarget('./soak/echo_process.ts');
      const few = ['sh', '-c', 'ulimit -n 64; exec "$@"', 'sh', ...PROGRAM];
      const { network, needy, door } = await shortTunnel(end, few, await portOf(target));
      try {
        const seen = await twoCrowds(door, needy);
        const backSeconds = await recovery(door);
        const rssMib = usageOf(pidOf(needy)).rssBytes / MIB;
        return { ...seen, backSeconds, rssMib, needy, reason: /no free file descriptor \(EMFILE\)/ };
      } finally {
        await network.stop();
        await target.stop();
      }
    },
  };
}

function memory(end: End): Case {
  return {
    name: `heap of 64 MiB, ${end}`,
    run: async () => {
      const target = ownTarget('./soak/slow_process.ts');
      const small = [process.execPath, '--max-old-space-size=64', builtMain];
      const { network, needy, door } = await shortTunnel(end, small, await portOf(target));
      try {
        const piece = new Uint8Array(4 * MIB);
        const slow = Array.from({ length: 500 }, (_, index) => {
          const socket = dialDoor(door).pause();
          if (index % 2 === 0) socket.write('d');
          else socket.write(piece);
          readSlowly(socket);
          return socket;
        });
        await pause(15_000);
        const cpuPercent = await cpuOver(needy);
        const rssMib = usageOf(pidOf(needy)).rssBytes / MIB;
        const gone = slow.filter(({ destroyed }) => destroyed).length;
        const slowCrowd = { sockets: slow, served: slow.length - gone, refused: gone, silent: 0 };
        leave([slowCrowd]);
        const second = await crowd(door, CLIENTS);
        leave([second]);
        const backSeconds = await recovery(door);
        const seen = { crowds: [slowCrowd, second], cpuPercent, maxCpuPercent: MAX_SLOW_CPU_PERCENT };
        return { ...seen, rssMib, backSeconds, needy, reason: undefined };
      } finally {
        await network.stop();
        await target.stop();
      }
    },
  };
}

const disk: Case = {
  name: 'full disk, listener',
  skip: () => {
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      return 'needs Linux and root, for a small tmpfs';
    return false;
  },
  run: async () => {
    const folder = new TempFolder();
    const mount = folder.file('disk');
    mkdirSync(mount);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', mount]);
    const target = ownTarget('./soak/echo_process.ts');
    const audit = `${mount}/audit.jsonl`;
    const listenArgs = ['--state', `${mount}/state`, '--audit-log', audit];
    const tunnel = await shortTunnel('listener', PROGRAM, await portOf(target), listenArgs).catch(
      (error: unknown) => {
        spawnSync('umount', [mount]);
        throw error;
      },
    );
    const { network, needy, door } = tunnel;
    try {
      const filler = `${mount}/filler`;
      fill(filler);
      const [seen, auditBytes] = [await twoCrowds(door, needy), statSync(audit).size];
      // A command that changes the state must fail in words.
      const ticket = [builtMain, 'ticket', 'new', '--name', 'other', '--state', `${mount}/state`];
      const made = spawnSync(process.execPath, ticket);
      rmSync(filler);
      const backSeconds = await recovery(door);
      await pause(2_000);
      const rssMib = usageOf(pidOf(needy)).rssBytes / MIB;
      const faults: string[] = [];
      const records = readFileSync(audit, 'utf8').slice(auditBytes);
      if (!records.includes('"opened"')) faults.push('no audit record after the shortage');
      const broken = readFileSync(audit, 'utf8')
        .split('\n')
        .filter((line) => line !== '' && !isJson(line));
      if (broken.length > 0) faults.push(`${broken.length} broken audit records`);
      if (made.status !== 1 || !made.stderr.toString().includes('ENOSPC'))
        faults.push(`ticket new: ${made.status} ${made.stderr.toString().trim()}`);
      return { ...seen, backSeconds, rssMib, needy, reason: /ENOSPC|disk is full/, faults };
    } finally {
      await network.stop();
      await target.stop();
      spawnSync('umount', [mount]);
      folder.remove();
    }
  },
};

function isJson(line: string): boolean {
  try {
    JSON.parse(line);
    return true;
  } catch {
    return false;
  }
}

function fill(path: string): void {
  for (const bytes of [64 * 1024, 4096, 512, 1]) {
    try {
      for (;;) writeFileSync(path, new Uint8Array(bytes), { flag: 'a' });
    } catch {
      // Full for writes of this size.
    }
  }
}

const PORTS = 24;

const ports: Case = {
  name: `${PORTS} local ports, listener`,
  skip: withoutNamespaces,
  run: async () => {
    const spaces = new Namespaces();
    const folder = new TempFolder();
    spaces.add('s');
    const inside = spaces.on('s');
    const target = ownTarget('./soak/echo_process.ts', inside);
    const network = await PrivateNetwork.start({ program: [...inside, ...PROGRAM] });
    try {
      const port = await portOf(target);
      const door = folder.file('door');
      const { listener, ticket } = await network.listen([port]);
      await network.connect(ticket, [`${door}:${LOOPBACK_HOST}:${port}`]);
      spaces.setting('s', 'ipv4/ip_local_port_range', `"40000 ${40_000 + PORTS - 1}"`);
      const seen = await twoCrowds(door, listener);
      const backSeconds = await recovery(door);
      const rssMib = usageOf(pidOf(listener)).rssBytes / MIB;
      return { ...seen, backSeconds, rssMib, needy: listener, reason: /no free local port/ };
    } finally {
      await network.stop();
      await target.stop();
      spaces.remove();
      folder.remove();
    }
  },
};

const NOBODY = 65_534;
const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups'];

/**
 * Root is exempt from this limit, so the process belongs to nobody. Node.js itself aborts at the start when it lacks a
 * thread; so this gives it as many as a listener has that has served some clients, and not one more.
 */
const threads: Case = {
  name: 'no further thread, listener',
  skip: () => {
    if (process.platform !== 'linux' || process.getuid?.() !== 0)
      return 'needs Linux and root, to run as nobody';
    const tried = spawnSync(AS_NOBODY[0] ?? '', [...AS_NOBODY.slice(1), ...PROGRAM, '--version']);
    return tried.status === 0
      ? false
      : `nobody cannot run the program: ${String(tried.stderr).split('\n', 1)[0]}`;
  },
  run: async () => {
    const target = ownTarget('./soak/echo_process.ts');
    const port = await portOf(target);
    const words = [...AS_NOBODY, ...PROGRAM];
    const free = await shortTunnel('listener', words, port);
    leave([await crowd(free.door, 10)]);
    const needed = readdirSync(`/proc/${pidOf(free.needy)}/task`).length;
    await free.network.stop();
    const { network, needy, door } = await shortTunnel(
      'listener',
      ['prlimit', `--nproc=${needed}`, ...words],
      port,
    );
    try {
      const seen = await twoCrowds(door, needy);
      const backSeconds = await recovery(door);
      const rssMib = usageOf(pidOf(needy)).rssBytes / MIB;
      return { ...seen, backSeconds, rssMib, needy, reason: undefined };
    } finally {
      await network.stop();
      await target.stop();
    }
  },
};

const CASES: readonly Case[] = [
  files('listener'),
  files('connector'),
  memory('listener'),
  memory('connector'),
  disk,
  ports,
  threads,
];

const { values } = parseArgs({
  options: {
    only: { type: 'string', default: '' },
    log: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(`Take something away from one end of a tunnel, and give it back: files, memory, disk, local ports, threads.
The process has to live, log the reason of refusals in few lines, idle meanwhile, and serve new clients afterwards.

  --only TEXT  only cases whose name contains TEXT
  --log        print the log of the end in need
`);
} else {
  await soak();
}

async function soak(): Promise<void> {
  if (!existsSync(builtMain)) throw new Error('needs dist/: run npm run build');
  const rows: (string | number)[][] = [];
  for (const each of CASES.filter(({ name }) => name.includes(values.only))) {
    const missing = each.skip?.() ?? false;
    if (missing !== false) {
      process.stderr.write(`${each.name}: skipped, ${missing}\n`);
      continue;
    }
    const begun = performance.now();
    let outcome: Outcome;
    try {
      outcome = await each.run();
    } catch (error) {
      process.stderr.write(`${each.name}: ${String(error)}\n`);
      rows.push([each.name, 'FAILED to run']);
      process.exitCode = 1;
      continue;
    }
    const { crowds, cpuPercent, rssMib, backSeconds, needy, reason } = outcome;
    const lines = needy.stderr.split('\n').filter(Boolean);
    if (values.log) process.stderr.write(`${lines.slice(0, 200).join('\n')}\n`);
    const refused = crowds.reduce((sum, crowd) => sum + crowd.refused, 0);
    const faults = [...(outcome.faults ?? [])];
    if (needy.child.exitCode !== 0)
      faults.push(`ended with ${needy.child.signalCode ?? needy.child.exitCode}`);
    if (crowds.some(({ silent }) => silent > 0)) faults.push('clients without an answer');
    if (reason !== undefined && !reason.test(needy.stderr)) faults.push('no reason in the log');
    if (reason === undefined && refused > 0) faults.push('refusals');
    if (lines.length > MAX_LOG_LINES) faults.push('log too long');
    if (cpuPercent > (outcome.maxCpuPercent ?? MAX_CPU_PERCENT)) faults.push('busy');
    if (Number.isNaN(backSeconds)) faults.push('no new connections');
    if (faults.length > 0) process.exitCode = 1;
    const seconds = (performance.now() - begun) / 1000;
    const parts = (of: 'served' | 'refused' | 'silent'): string =>
      crowds.map((crowd) => crowd[of]).join(' + ');
    rows.push([
      each.name,
      parts('served'),
      parts('refused'),
      parts('silent'),
      lines.length,
      cpuPercent,
      rssMib,
      backSeconds,
      seconds,
      faults.join(', ') || 'held',
    ]);
    process.stderr.write(`${rows.at(-1)?.join(' | ')}\n`);
  }
  const heads = [
    'case',
    'served',
    'refused',
    'silent',
    'log lines',
    'CPU %',
    'RSS MiB',
    'back s',
    's',
    'verdict',
  ];
  process.stdout.write(table(heads, rows));
}
