// The benchmarks' server in a process of its own: `target_process.ts MAX_BYTES` says `port N` and serves.
import { serveBench } from './target.js';

process.stdout.write(`port ${await serveBench(Number(process.argv[2]))}\n`);
