// The load tests of web servers through one tunnel: npx tsx bench/http_load.ts
// It needs nginx, and ab (apache2-utils) and wrk, each where it is installed. Everything is on the loopback.
import { spawn, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../test/support/loopback.js';
import { PrivateNetwork } from '../test/support/private_network.js';
import { TempFolder } from '../test/support/temp_folder.js';
import { peakRssOf, usageOf } from './process_usage.js';
import { type Cell, table } from './table.js';

const MIB = 1024 * 1024;
/** The ends have so long to give memory back. */
const BACK_MS = 30_000;

/** A program, its arguments, and the lines of its output that count. */
const LOADS = [
  {
    name: 'ab -n 20000 -c 100',
    args: (url: string) => ['ab', '-n', '20000', '-c', '100', '-s', '120', url],
    lines: /^(Complete requests|Failed requests|Requests per second|apr_).*$/gm,
  },
  {
    name: 'wrk -t2 -c500 -d20s',
    args: (url: string) => ['wrk', '-t2', '-c500', '-d20s', '--timeout', '30s', url],
    lines: /^.*(requests in|Socket errors|Requests\/sec|Non-2xx).*$/gm,
  },
] as const;

const folder = new TempFolder();
const port = await freePort();
writeFileSync(
  folder.file('nginx.conf'),
  `daemon off; worker_processes 1; pid ${folder.file('pid')}; error_log stderr crit;
events { worker_connections 8192; }
http { access_log off; server { listen 127.0.0.1:${port} backlog=4096; location / { return 200 "hello\\n"; } } }
`,
);
const nginx = spawn('nginx', ['-c', folder.file('nginx.conf')], { stdio: ['ignore', 'ignore', 'inherit'] });
const network = await PrivateNetwork.start();
try {
  const { listener, connector, locals } = await network.tunnel([port]);
  const ends = [listener, connector].map(({ child }) => child.pid ?? 0);
  const rows: Cell[][] = [];
  for (const { name, args, lines } of LOADS) {
    const [program = '', ...rest] = args(`http://127.0.0.1:${locals[0]?.port}/`);
    if (spawnSync('which', [program]).status !== 0) {
      process.stderr.write(`${name}: skipped, ${program} is not installed\n`);
      continue;
    }
    const before = ends.map((pid) => usageOf(pid).rssBytes / MIB);
    const output = await outputOf(program, rest);
    process.stdout.write(
      `${name}\n${(output.match(lines) ?? [output]).map((line) => `  ${line.trim()}`).join('\n')}\n\n`,
    );
    await sleep(BACK_MS);
    for (const [end, pid] of ends.entries()) {
      const memory = [before[end] ?? Number.NaN, peakRssOf(pid) / MIB, usageOf(pid).rssBytes / MIB];
      rows.push([name, end === 0 ? 'listener' : 'connector', ...memory]);
    }
  }
  process.stdout.write(table(['load', 'RSS MiB', 'before', 'peak so far', '30 s later'], rows));
  const refused = connector.events.filter(({ event }) => event === 'refused').length;
  process.stdout.write(`\nconnections that the tunnel refused: ${refused}\n`);
} finally {
  await network.stop();
  nginx.kill();
  folder.remove();
}

function outputOf(program: string, args: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    let text = '';
    for (const stream of [child.stdout, child.stderr])
      stream.on('data', (chunk: Buffer) => {
        text += chunk.toString();
      });
    child.on('error', reject);
    child.on('close', () => resolve(text));
  });
}
