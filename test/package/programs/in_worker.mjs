// Runs the program in a thread: its output appears here, and an exception of it ends this process.
import { Worker } from 'node:worker_threads';

new Worker(new URL('./main.mjs', import.meta.url));
