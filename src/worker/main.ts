import { workerData } from 'node:worker_threads';
import { runWorker } from './run_worker.js';
import type { WorkerBoot } from './spawn.js';

// spawnWorker's caller hands in exactly this.
runWorker(workerData as WorkerBoot);
