import { Worker, type WorkerOptions } from 'node:worker_threads';

/**
 * Starts a worker from a TypeScript source. tsx hooks into the main thread only, so the worker registers it
 * itself.
 */
export function sourceWorker(source: URL, options: WorkerOptions): Worker {
  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const main = JSON.stringify(source.href);
  const boot = `import(${tsx}).then(({ register }) => { register(); return import(${main}); });`;
  return new Worker(boot, { ...options, eval: true });
}
