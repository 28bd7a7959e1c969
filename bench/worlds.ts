// Simulates whole Tox networks from seeds. Run: npx tsx bench/worlds.ts --help
import { parseArgs } from 'node:util';
import { planOf } from '../test/world/plan.js';
import { runWorld } from '../test/world/world.js';

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    worlds: { type: 'string', default: '10' },
    from: { type: 'string', default: '1' },
    log: { type: 'boolean', default: false },
  },
});
const show = console.log;
if (values.seed !== undefined) {
  const out = await runWorld(planOf(Number(values.seed)));
  show(JSON.stringify(out.plan, null, 1));
  for (const line of out.log) show(line);
  show(out.broken, out.recoveriesMs, out.tookMs, out.events, out.datagrams, process.cpuUsage().user / 1e6);
} else {
  const from = Number(values.from);
  let failed = 0;
  const rec: number[] = [];
  let virtual = 0,
    events = 0;
  for (let seed = from; seed < from + Number(values.worlds); seed++) {
    const before = process.cpuUsage();
    const out = await runWorld(planOf(seed));
    const used = process.cpuUsage(before);
    virtual += out.tookMs;
    events += out.events;
    rec.push(...out.recoveriesMs);
    if (values.log)
      show(
        seed,
        out.plan.nodes,
        'nodes',
        out.plan.ends.length,
        'ends',
        out.plan.faults.map((f) => f.kind).join(),
        (out.tookMs / 1000).toFixed(0),
        's',
        out.events,
        'ev',
        (used.user / 1e6).toFixed(2),
        'cpu',
        out.recoveriesMs.map((x) => Math.round(x)).join(),
      );
    if (out.broken.length > 0) {
      failed++;
      show(`seed ${seed}`, out.broken);
    }
  }
  rec.sort((a, b) => a - b);
  show({
    failed,
    virtual,
    events,
    cpu: process.cpuUsage().user / 1e6,
    p50: rec[rec.length >> 1],
    p99: rec[Math.floor(rec.length * 0.99)],
    max: rec.at(-1),
    rss: process.memoryUsage().rss / 1e6,
  });
}
process.exit(0);
