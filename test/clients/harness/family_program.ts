/**
 * Tries the clients of one family over one tunnel: `family_program.ts FAMILY [CLIENT…]`. Prints a line for each thing
 * that a client has done, and must then end by itself. `VERBOSE=1` shows the errors of jobs too.
 */
import type { Connector } from '../../../src/index.js';
import type { Client, ClientInUse } from './client.js';
import { FAMILIES } from './families.js';
import { FarEnd } from './far_end.js';
import { Hold } from './hold.js';

/** A client over one tunnel, and its jobs. */
interface Tried {
  readonly client: Client;
  readonly hold: Hold;
  readonly used: ClientInUse;
  jobs: readonly Promise<unknown>[];
}

const [family = '', ...only] = process.argv.slice(2);
const { CLIENTS } = (await FAMILIES[family]?.()) ?? { CLIENTS: [] };
const clients = CLIENTS.filter(({ name }) => only.length === 0 || only.includes(name)).map((client) => ({
  client,
  hold: new Hold(),
}));

/** Does the same with all clients at once, and prints what came of each. */
async function each(
  all: readonly Tried[],
  what: string,
  act: (tried: Tried) => Promise<string>,
): Promise<void> {
  await Promise.all(
    all.map(async (tried) => {
      const came = await act(tried).catch((error: unknown) => `failed: ${wordsOf(error)}`);
      process.stdout.write(`${tried.client.name} ${what}: ${came}\n`);
    }),
  );
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? String(error.stack) : `not an error but ${String(error)}`;
}

async function open(tunnel: Connector): Promise<Tried[]> {
  return await Promise.all(
    clients.map(async ({ client, hold }) => ({
      client,
      hold,
      used: await client.open(tunnel, far),
      jobs: [],
    })),
  );
}

/** Begins the jobs of all clients. Resolves when each server has one. */
async function begin(all: readonly Tried[]): Promise<void> {
  for (const tried of all) {
    tried.hold.begin();
    tried.jobs = tried.used.jobs();
    // They are awaited later. Until then, a failure is no unhandled rejection.
    for (const job of tried.jobs) job.catch(() => {});
  }
  await Promise.all(all.map(({ hold }) => hold.reached));
}

function release(all: readonly Tried[]): void {
  for (const { hold } of all) hold.release();
}

async function work({ used }: Tried): Promise<string> {
  await used.work();
  return 'yes';
}

/** Waits for the jobs of a client. @returns how they ended, once for all that ended alike */
async function endsOf({ client, jobs }: Tried): Promise<string> {
  const ends = await Promise.allSettled(jobs);
  const words = ends.map((end) => {
    if (end.status === 'fulfilled') return 'answer';
    if (process.env['VERBOSE'] === '1') process.stderr.write(`${client.name}: ${wordsOf(end.reason)}\n`);
    return end.reason instanceof Error ? 'error' : wordsOf(end.reason);
  });
  return [...new Set(words)].sort().join(' and ');
}

/** Closes the tunnel, and then the clients. */
async function close(tunnel: Connector, all: readonly Tried[], what: string): Promise<void> {
  await tunnel.close();
  await each(all, what, async (tried) => {
    if (tried.client.retriesForever) await tried.used.close();
    return await endsOf(tried);
  });
  release(all);
  for (const { client, used } of all) if (!client.retriesForever) await used.close();
}

const far = await FarEnd.start();
for (const { client, hold } of clients) await client.serve(far, hold);
await far.listen();

const tunnel = await far.connect();
const first = await open(tunnel);
await each(first, 'works', work);
await begin(first);
await far.lose();
await far.listen();
release(first);
await each(first, 'jobs when the far end was lost and came back', endsOf);
await each(first, 'works again', work);
await begin(first);
await close(tunnel, first, 'jobs when the tunnel closed');

const another = await far.connect();
const second = await open(another);
await begin(second);
await far.lose();
await close(another, second, 'jobs when the tunnel closed while the far end was lost');
await far.stop();
