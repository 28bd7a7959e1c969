import { workerData } from 'node:worker_threads';
import type { WorkerBoot } from '../bridge/spawn.js';
import { runWorker } from './run_worker.js';

// spawnWorker's caller hands in exactly this.
runWorker(workerData as WorkerBoot);
