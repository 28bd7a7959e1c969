// The same in a thread: what it prints comes out here, and what it throws ends this process.
import { Worker } from 'node:worker_threads';

new Worker(new URL('./main.mjs', import.meta.url));
