// Simulates whole Tox networks from seeds. Run: npx tsx bench/worlds.ts --help
import { fork } from 'node:child_process';
import { register } from 'node:module';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { describeFault, PLAN_KINDS, type Plan, type PlanKind, planOf } from '../test/world/plan.js';
import { PLANTS } from '../test/world/plants.js';
import type { Outcome } from '../test/world/world.js';
import { quantile } from './quantiles.js';

const HELP = `Simulate whole Tox networks on virtual time: nodes, NATs, a listener, connectors, streams, faults.
Every world comes from its seed alone. Invariants are checked all the time (docs/worlds.md).

  npx tsx bench/worlds.ts --worlds 300           run the seeds 1 to 300
  npx tsx bench/worlds.ts --seed 42 --log        replay one, and print what happened
  npx tsx bench/worlds.ts --seed 42 --shrink     look for the smallest plan that still fails

  --worlds N   how many worlds (default 100)
  --from N     the first seed (default 1)
  --seed N     this seed only
  --kind KIND  which plans (default any): ${PLAN_KINDS.join(', ')}
  --visits N   instead: this many short visitors in a row; with --nodes N, --leaves killed|politely, --no-udp
  --jobs N     processes (default 2)
  --plant NAME plant a fault in the product first: ${Object.keys(PLANTS).join(', ')}
  --log        print each world, or with --seed everything that happened
  --shrink     shrink what fails
`;

/** What a world's run tells, small enough to send between processes. */
interface Row {
  readonly seed: number;
  readonly line: string;
  readonly broken: readonly string[];
  readonly recoveriesMs: readonly number[];
  readonly tookMs: number;
  readonly longestSilenceMs: number;
}

const say = (line: string): void => void process.stdout.write(`${line}\n`);

function describePlan({ seed, nodes, ends, faults }: Plan): string {
  const places = ends.map(({ nat, firewall, withoutUdp, ipv6 }) =>
    [nat === 'none' ? 'public' : nat, firewall && 'firewall', withoutUdp && 'no UDP', ipv6 && 'IPv6']
      .filter(Boolean)
      .join('+'),
  );
  const kinds = faults.map(({ kind }) => kind).join(', ') || 'no faults';
  return `seed ${seed}: ${nodes} nodes; ${places.join(', ')}; ${kinds}`;
}

function rowOf({ plan, broken, recoveriesMs, tookMs, longestSilenceMs }: Outcome): Row {
  return { seed: plan.seed, line: describePlan(plan), broken, recoveriesMs, tookMs, longestSilenceMs };
}

function printOutcome(outcome: Outcome): void {
  say(describePlan(outcome.plan));
  for (const [number, place] of outcome.plan.ends.entries()) say(`  end ${number}: ${JSON.stringify(place)}`);
  for (const fault of outcome.plan.faults) say(`  fault at ${describeFault(fault)}`);
  for (const line of outcome.log) say(line);
  say(outcome.broken.length === 0 ? 'all invariants held' : `broken:\n  ${outcome.broken.join('\n  ')}`);
}

const { values } = parseArgs({
  options: {
    worlds: { type: 'string', default: '100' },
    from: { type: 'string', default: '1' },
    seed: { type: 'string' },
    kind: { type: 'string', default: 'any' },
    jobs: { type: 'string', default: '2' },
    step: { type: 'string', default: '1' },
    plant: { type: 'string' },
    visits: { type: 'string' },
    nodes: { type: 'string', default: '1' },
    leaves: { type: 'string', default: 'killed' },
    'no-udp': { type: 'boolean', default: false },
    log: { type: 'boolean', default: false },
    shrink: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.plant !== undefined) {
  const plant = PLANTS[values.plant];
  if (plant === undefined)
    throw new Error(`--plant ${values.plant}: choose one of ${Object.keys(PLANTS).join(', ')}`);
  register(new URL('../test/world/plant_loader.ts', import.meta.url), { data: plant });
}
// Only now: the product's modules are loaded with the planted fault.
const { runWorld } = await import('../test/world/world.js');
const { runVisitors } = await import('../test/world/visitors.js');
const { shrink } = await import('../test/world/shrink.js');

const kind = PLAN_KINDS.find((name) => name === values.kind);
const first = Number(values.seed ?? values.from);
const last = first + (values.seed === undefined ? Number(values.worlds) : 1);

async function runSeeds(
  planKind: PlanKind,
  step: number,
  done: (outcome: Outcome) => Promise<void> | void,
): Promise<void> {
  for (let seed = first; seed < last; seed += step) await done(await runWorld(planOf(seed, planKind)));
}

async function runJobs(jobs: number, done: (row: Row) => void): Promise<void> {
  const children = Array.from({ length: jobs }, (_, job) => {
    const args = [
      '--from',
      String(first + job),
      '--worlds',
      String(last - first - job),
      '--kind',
      values.kind,
      '--step',
      String(jobs),
      ...(values.plant === undefined ? [] : ['--plant', values.plant]),
    ];
    const child = fork(fileURLToPath(import.meta.url), args, { execArgv: process.execArgv });
    child.on('message', (row) => done(row as Row)); // our own program sends rows only
    // Ctrl-C ends the run with a summary of the worlds so far.
    process.on('SIGINT', () => child.kill());
    return new Promise<void>((resolve) => child.on('exit', () => resolve()));
  });
  await Promise.all(children);
}

async function visit(visits: number): Promise<number> {
  const leaves = values.leaves === 'politely' ? 'politely' : 'killed';
  const udp = !values['no-udp'];
  const nodes = Number(values.nodes);
  const outcome = await runVisitors({ seed: first, nodes, visits, leaves, udp });
  const { onlineMs, longestSilenceMs, datagramsPerSecond, peers, broken } = outcome;
  const [p50, p99, max] = [0.5, 0.99, 1].map((part) => Math.round(quantile(onlineMs, part)));
  const late = onlineMs.filter((ms) => ms > 3_000).length;
  say(
    `${visits} visitors (${leaves}, ${udp ? 'UDP' : 'relays only'}) on ${nodes} nodes: in after p50 ${p50}, p99 ${p99}, worst ${max} ms; ${late} later than 3 s`,
  );
  say(
    `  longest silence of another stream ${Math.round(longestSilenceMs)} ms; ${datagramsPerSecond.map(Math.round).join(' -> ')} datagrams/s; ${peers} friends at the listener`,
  );
  for (const line of broken) say(`  ${line}`);
  return broken.length === 0 && late === 0 ? 0 : 1;
}

async function main(planKind: PlanKind): Promise<number> {
  if (values.visits !== undefined) return await visit(Number(values.visits));
  if (values.seed !== undefined) {
    const outcome = await runWorld(planOf(first, planKind));
    if (values.log) printOutcome(outcome);
    else say([describePlan(outcome.plan), ...outcome.broken].join('\n  '));
    if (values.shrink && outcome.broken.length > 0) {
      const smallest = await shrink(outcome, ({ plan }) => say(`smaller: ${describePlan(plan)}`));
      say('the smallest:');
      printOutcome(smallest);
      say(JSON.stringify(smallest.plan));
    }
    return outcome.broken.length === 0 ? 0 : 1;
  }
  const begun = performance.now();
  const recoveries: number[] = [];
  let [worlds, failed, virtualMs, silenceMs] = [0, 0, 0, 0];
  await runJobs(Number(values.jobs), (row) => {
    worlds++;
    virtualMs += row.tookMs;
    silenceMs = Math.max(silenceMs, row.longestSilenceMs);
    recoveries.push(...row.recoveriesMs);
    if (row.broken.length > 0) failed++;
    if (values.log || row.broken.length > 0) {
      say(
        [
          row.line,
          ...row.broken,
          ...(values.log ? [`back: ${row.recoveriesMs.map(Math.round).join(', ')} ms`] : []),
        ].join('\n  '),
      );
    }
  });
  const [p50, p99, max] = [0.5, 0.99, 1].map((part) => Math.round(quantile(recoveries, part)));
  say(
    `${worlds} worlds, ${failed} failed; ${Math.round(virtualMs / 3_600_000)} virtual hours in ${Math.round((performance.now() - begun) / 1000)} s`,
  );
  say(`longest silence of a stream in use: ${Math.round(silenceMs)} ms`);
  say(
    `connectors back after the last fault: p50 ${p50}, p99 ${p99}, worst ${max} ms (${recoveries.length} of them)`,
  );
  return failed === 0 ? 0 : 1;
}

if (values.help || kind === undefined) {
  say(HELP);
  process.exitCode = values.help ? 0 : 2;
} else if (process.send !== undefined) {
  await runSeeds(kind, Number(values.step), (outcome) => void process.send?.(rowOf(outcome)));
  process.disconnect();
} else process.exitCode = await main(kind);
