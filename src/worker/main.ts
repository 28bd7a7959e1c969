import { workerData } from 'node:worker_threads';
import type { WorkerBoot } from '../bridge/spawn.js';
import { runWorker } from './run_worker.js';

runWorker(workerData as WorkerBoot); // WorkerLink passes exactly this
