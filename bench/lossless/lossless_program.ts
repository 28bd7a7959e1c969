// The unmodified command line, except that its workers run lossless_worker.ts. Only for comparison, so src/
// has no option for it.
import { WorkerLink } from '../../src/bridge/worker_link.js';

const entry = new URL('./lossless_worker.ts', import.meta.url);
const spawn = WorkerLink.spawn.bind(WorkerLink);
WorkerLink.spawn = (options) => spawn({ ...options, entry });
await import('../../src/cli/main.js');
