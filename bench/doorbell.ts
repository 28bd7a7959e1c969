// Compares two ways to wake a thread.
// Run: npx tsx bench/doorbell.ts [seconds per row, default 2]
import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';
import { allocateEnds, openEnds, otherWork, type Transport } from './doorbell_setup.js';

const RECORD_BYTES = 1024;
const WARM_UP_MS = 500;
const SLICE_RECORDS = 128;
const secondsPerLine = Number(process.argv[2] ?? 2);

interface Case {
  readonly name: string;
  /** Both threads also compute and serve a socket. */
  readonly load: boolean;
  /** Number of records in flight at once. */
  readonly window: number;
  /** The worker returns every record; otherwise it only consumes them. */
  readonly echo: boolean;
  /** Sends one record per millisecond instead of as many as the window allows. */
  readonly paced?: boolean;
}

interface Line {
  readonly p50Us: number;
  readonly p99Us: number;
  readonly cpuUsPerRecord: number;
  readonly recordsPerSecond: number;
  readonly ringsPerThousand: number;
}

async function measure(transport: Transport, plan: Case): Promise<Line> {
  const { port1, port2 } = new MessageChannel();
  const ends = allocateEnds(transport, port1, plan.load, plan.echo);
  const worker = spawn({ ...ends, port: port2 }, port2);
  const ended = once(worker, 'exit');
  await once(worker, 'online');
  const { bell, writer, reader } = openEnds(ends, 0);
  const stopWork = plan.load ? await otherWork() : () => {};

  const timesUs: number[] = [];
  const sentMs: number[] = []; // records come back in order
  let [rings, sent, got] = [0, 0, 0];
  let running = true;
  let sendDue = false;
  let finish: () => void = () => {};
  const finished = new Promise<void>((resolve) => {
    finish = resolve;
  });

  const sendSlice = (records: number): void => {
    for (let i = 0; i < records; i++) {
      if (!running || sent - got >= plan.window) return;
      const place = writer.reserve(RECORD_BYTES);
      if (place === undefined) return;
      writer.bytes.fill(sent, place, place + RECORD_BYTES);
      if (plan.echo) sentMs.push(performance.now());
      writer.commit();
      sent++;
    }
    if (sendDue || plan.paced) return;
    sendDue = true;
    setImmediate(() => {
      sendDue = false;
      sendSlice(SLICE_RECORDS);
    });
  };
  bell.onRing(() => {
    rings++;
    if (writer.takeRoom()) sendSlice(SLICE_RECORDS);
    reader.rung();
  });
  reader.run((_bytes, _offset, length) => {
    if (length === 1) finish();
    const start = sentMs[got++];
    if (start !== undefined) timesUs.push((performance.now() - start) * 1000);
    if (!plan.paced) sendSlice(SLICE_RECORDS);
    return true;
  });

  const pace = plan.paced ? setInterval(() => sendSlice(1), 1) : undefined;
  if (pace === undefined) sendSlice(SLICE_RECORDS);
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  timesUs.length = 0;
  const [sentBefore, ringsBefore, cpuBefore, startMs] = [sent, rings, process.cpuUsage(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, secondsPerLine * 1000));
  const seconds = (performance.now() - startMs) / 1000;
  const cpu = process.cpuUsage(cpuBefore);
  const records = sent - sentBefore;
  const line = {
    ...percentiles(timesUs),
    cpuUsPerRecord: (cpu.user + cpu.system) / records,
    recordsPerSecond: records / seconds,
    ringsPerThousand: ((rings - ringsBefore) / records) * 1000,
  };

  running = false;
  clearInterval(pace);
  const sayEnd = setInterval(() => {
    if (writer.reserve(1) === undefined) return;
    writer.commit();
    clearInterval(sayEnd);
  }, 1);
  await finished;
  stopWork();
  reader.stop();
  await ended;
  bell.close();
  return line;
}

function percentiles(timesUs: number[]): { p50Us: number; p99Us: number } {
  const sorted = Float64Array.from(timesUs).sort();
  const at = (share: number): number => sorted[Math.floor(sorted.length * share)] ?? Number.NaN;
  return { p50Us: at(0.5), p99Us: at(0.99) };
}

/** tsx does not hook into workers, so the worker registers it. */
function spawn(ends: object, port: MessagePort): Worker {
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const main = JSON.stringify(new URL('./doorbell_worker.ts', import.meta.url).href);
  const boot = `import(${tsx}).then(({ register }) => { register(); return import(${main}); });`;
  return new Worker(boot, { eval: true, workerData: ends, transferList: [port] });
}

const cases: readonly Case[] = [
  { name: 'round trip', load: false, window: 1, echo: true },
  { name: 'round trip, other work', load: true, window: 1, echo: true },
  { name: 'round trip, one a millisecond', load: false, window: 1, echo: true, paced: true },
  { name: 'echo, 16 in flight', load: false, window: 16, echo: true },
  { name: 'echo, 16 in flight, other work', load: true, window: 16, echo: true },
  { name: 'one way, at full speed', load: false, window: Infinity, echo: false },
  { name: 'one way, at full speed, other work', load: true, window: Infinity, echo: false },
];
const ways = ['waitAsync', 'postMessage'] as const;

process.stdout.write(
  `${'records of 1 KB'.padEnd(42)}${'bell'.padEnd(13)}   p50 µs   p99 µs  cpu µs/record  records/s  rings/1000\n`,
);
for (const plan of cases) {
  for (const transport of ways) {
    const line = await measure(transport, plan);
    const figure = (value: number, digits: number, width: number): string =>
      (Number.isNaN(value) ? '-' : value.toFixed(digits)).padStart(width);
    process.stdout.write(
      `${plan.name.padEnd(42)}${transport.padEnd(13)}${figure(line.p50Us, 1, 9)}` +
        `${figure(line.p99Us, 1, 9)}${figure(line.cpuUsPerRecord, 2, 15)}` +
        `${figure(line.recordsPerSecond, 0, 11)}${figure(line.ringsPerThousand, 1, 12)}\n`,
    );
  }
}
