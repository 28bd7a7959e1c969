// Runs the server of the benchmarks in a separate process: `target_process.ts MAX_BYTES` prints `port N` and
// serves.
import { serveBench } from './target.js';

process.stdout.write(`port ${await serveBench(Number(process.argv[2]))}\n`);
