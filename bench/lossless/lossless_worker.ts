// The real worker with the lossless channel in place of the fast one.
import { workerData } from 'node:worker_threads';
import type { WorkerBoot } from '../../src/bridge/spawn.js';
import { runWorker } from '../../src/worker/run_worker.js';
import { createLosslessChannel } from './lossless_channel.js';

// The caller of spawnWorker passes exactly this.
runWorker(workerData as WorkerBoot, { createChannel: createLosslessChannel });
