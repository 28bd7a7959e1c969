// Dials again and again through a tunnel of the library, with aborts, resets, crashed threads and restarts of the far
// end, in one process. Run: node --expose-gc --unhandled-rejections=strict --import tsx bench/dials.ts [DIALS]
//
// The process must live, hear of every end, use as much memory at the end as after the first tenth, leave no thread,
// and end by itself. The random numbers come from a seed, the timing does not.
import { setTimeout as delay } from 'node:timers/promises';
import type { Worker } from 'node:worker_threads';
import {
  type Connector,
  connect,
  createBootstrapNode,
  createIdentity,
  type Listener,
  listen,
} from '../src/index.js';
import { seeded } from '../test/support/sim_clock.js';

const dials = Number(process.argv[2] ?? 10_000);
/** Dials between two crashes of a thread, and between two restarts of the listener. */
const CRASH_EVERY = 1_000;
const RESTART_EVERY = 700;
const AT_ONCE = 20;
const PIECE = Buffer.alloc(8 * 1024, 'dial');

const LOCAL = { bindAddress: '127.0.0.1', lanDiscovery: false } as const;
const random = seeded(1);
const threads = new Set<Worker>();
process.on('worker', (worker: Worker) => {
  threads.add(worker);
  worker.once('exit', () => threads.delete(worker));
});

const first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 });
const options = { ...LOCAL, bootstrap: [`127.0.0.1:${first.udpPort}:${first.publicKey}`] };
const identities = { listener: createIdentity(), connector: createIdentity() };
const nodeThreads = new Set(threads);

let listener: Listener | undefined;
let tunnel: Connector | undefined;
let access: Listener['access']['state'] | undefined;
const counts: Record<string, number> = {};
const count = (what: string): void => {
  counts[what] = (counts[what] ?? 0) + 1;
};

async function startListener(): Promise<Listener> {
  const started = await listen({
    ...options,
    identity: identities.listener,
    offer: [{ host: 'echo', port: 7, allowHalfOpen: true }],
    ...(access === undefined ? {} : { access }),
  });
  access = started.access.state;
  started.on('error', (error) => count(`listener ${error.code}`));
  started.on('stream', (stream) => {
    stream.on('error', () => {});
    // Some targets reset at once.
    if (random() < 0.05) stream.resetAndDestroy();
    else stream.pipe(stream);
  });
  return started;
}

async function startTunnel(remote: string): Promise<Connector> {
  const started = await connect({ ...options, identity: identities.connector, remote, patienceMs: 3_000 });
  started.on('error', (error) => count(`tunnel ${error.code}`));
  return started;
}

/** One dial: bytes there and back, or an end of it in the middle. */
async function dial(through: Connector): Promise<void> {
  const abort = new AbortController();
  const stream = through.dial({ host: 'echo', port: 7, sessionWaitMs: 20_000, signal: abort.signal });
  const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
  let left = Math.ceil(random() * 8);
  let failure: string | undefined;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    failure = error.code ?? error.name;
  });
  stream.on('data', () => {});
  while (--left >= 0 && !stream.destroyed) {
    const chance = random();
    if (chance < 0.01) abort.abort(new Error('by chance'));
    else if (chance < 0.02) stream.destroy();
    else if (chance < 0.03) stream.resetAndDestroy();
    else await new Promise<void>((resolve) => stream.write(PIECE, () => resolve()));
  }
  stream.end();
  await closed;
  count(failure ?? (stream.readableEnded ? 'whole' : 'destroyed'));
}

function memory(): string {
  globalThis.gc?.();
  const { rss, heapUsed, arrayBuffers } = process.memoryUsage();
  const mib = (bytes: number): string => `${Math.round(bytes / 1024 / 1024)} MiB`;
  return `rss ${mib(rss)}, heap ${mib(heapUsed)}, buffers ${mib(arrayBuffers)}`;
}

listener = await startListener();
const { ticket } = listener;
tunnel = await startTunnel(ticket);
await tunnel.online();
let done = 0;
let begun = 0;

async function oneAfterAnother(): Promise<void> {
  while (begun < dials) {
    const number = ++begun;
    if (number % CRASH_EVERY === 0) {
      const victims = [...threads].filter((thread) => !nodeThreads.has(thread));
      const victim = victims[Math.floor(random() * victims.length)];
      count('planted crash');
      await victim?.terminate();
    }
    if (number % RESTART_EVERY === 0) {
      count('planted restart');
      const old = listener;
      listener = undefined;
      await old?.close({ drain: random() < 0.5, timeoutMs: 1_000 });
    }
    await mend();
    if (tunnel !== undefined) await dial(tunnel);
    if (++done % Math.ceil(dials / 10) === 0)
      console.log(`${done} dials: ${memory()}, ${threads.size} threads`);
  }
}

let mending: Promise<void> | undefined;
/** Starts anew what has ended. */
function mend(): Promise<void> {
  mending ??= (async () => {
    if (listener === undefined || listener.state === 'closed' || listener.state === 'closing') {
      await listener?.closed;
      listener = await startListener();
    }
    if (tunnel === undefined || tunnel.state === 'closed' || tunnel.state === 'closing') {
      await tunnel?.closed;
      tunnel = await startTunnel(ticket);
    }
  })().finally(() => {
    mending = undefined;
  });
  return mending;
}

await Promise.all(Array.from({ length: AT_ONCE }, oneAfterAnother));
await tunnel.close();
await listener.close();
await first.close();
await delay(100);
console.log(JSON.stringify(counts));
console.log(
  `at the end: ${memory()}, ${threads.size} threads, resources: ${process.getActiveResourcesInfo().join(', ') || 'none'}`,
);
process.once('exit', (code) => console.log(`the process ended by itself with ${code}`));
