// Runs the channel over paths generated from seeds: npx tsx bench/channel_seeds.ts --help
import { parseArgs } from 'node:util';
import { runChannelWorld } from '../test/support/channel_world.js';

const { values } = parseArgs({
  options: {
    seeds: { type: 'string', default: '10000' },
    from: { type: 'string', default: '0' },
    seed: { type: 'string' },
    help: { type: 'boolean', short: 'h', default: false },
  },
});

if (values.help) {
  process.stdout.write(`Run the channel over simulated paths in virtual time. Every frame must arrive
exactly once, and all bounds must hold.

  --seeds N   number of seeds (default 10000; takes a few minutes)
  --from N    first seed (default 0)
  --seed N    run only this seed, and print the failure in full
`);
} else if (values.seed !== undefined) {
  // An exception ends the process with its stack trace.
  process.stdout.write(`${JSON.stringify(runChannelWorld(whole('--seed', values.seed)))}\n`);
} else {
  runAll(whole('--from', values.from), whole('--seeds', values.seeds));
}

function runAll(from: number, seeds: number): void {
  const begunMs = performance.now();
  const failed: number[] = [];
  let [frames, packets, virtualMs, longestMs] = [0, 0, 0, 0];
  for (let seed = from; seed < from + seeds; seed++) {
    try {
      const result = runChannelWorld(seed);
      frames += result.frames;
      packets += result.packets;
      virtualMs += result.virtualMs;
      longestMs = Math.max(longestMs, result.virtualMs);
    } catch (error) {
      failed.push(seed);
      const [what] = String(error).split('\n');
      process.stdout.write(`seed ${seed}: ${what}\n  npx tsx bench/channel_seeds.ts --seed ${seed}\n`);
    }
    const done = seed - from + 1;
    if (done % 1000 === 0) process.stderr.write(`${done} seeds, ${failed.length} failed\n`);
  }
  const seconds = (performance.now() - begunMs) / 1000;
  process.stdout.write(
    `${seeds} seeds from ${from}: ${failed.length} failed; ${frames} frames in ${packets} packets, ` +
      `${(virtualMs / 3_600_000).toFixed(1)} h of virtual time, ${(longestMs / 1000).toFixed(0)} s at most; ` +
      `${seconds.toFixed(1)} s\n`,
  );
  process.exitCode = failed.length === 0 ? 0 : 1;
}

function whole(name: string, text: string): number {
  const number = Number(text);
  if (Number.isSafeInteger(number) && number >= 0) return number;
  process.stderr.write(`${name} ${text}: expected a whole number, for example ${name} 7\n`);
  process.exit(2);
}
