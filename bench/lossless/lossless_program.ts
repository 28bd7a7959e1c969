// The command line as it is, but for its workers: they run lossless_worker.ts. For comparison only, so
// nothing in src/ has an option for it.
import { WorkerLink } from '../../src/bridge/worker_link.js';

const entry = new URL('./lossless_worker.ts', import.meta.url);
const spawn = WorkerLink.spawn.bind(WorkerLink);
WorkerLink.spawn = (options) => spawn({ ...options, entry });
await import('../../src/cli/main.js');
