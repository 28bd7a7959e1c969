import { type MessagePort, Worker, type WorkerOptions } from 'node:worker_threads';
import type { LogLevel } from '../core/logger.js';
import type { SharedMemory } from '../ring/shared.js';
import { isSource, workerFile } from './package_files.js';

/** The `workerData` of a worker thread. Its three message ports belong in `transferList`. */
export interface WorkerBoot {
  /** Carries the calls of {@link ./contract.WorkerApi}, through comlink. */
  readonly api: MessagePort;
  /** Carries the events of {@link ./contract.MainApi}, through comlink. */
  readonly events: MessagePort;
  readonly shared: SharedMemory;
  /** The worker sends log lines of this level and rarer ones. */
  readonly logLevel: LogLevel;
  /** URL of the wasm. Default: {@link package_files.wasmFile}. */
  readonly wasm?: string;
}

/**
 * Starts the worker, from dist/*.js or, under tsx, from the sources. tsx hooks into the main
 * thread only (privatenumber/tsx#354), so a worker from the sources installs tsx itself.
 *
 * @param entry the thread's program. Default: {@link workerFile}
 */
export function spawnWorker(options: WorkerOptions, entry?: URL): Worker {
  const url = entry ?? workerFile();
  if (!isSource(url)) return new Worker(url, options);

  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const main = JSON.stringify(url.href);
  const boot = `import(${tsx}).then(({ register }) => { register(); return import(${main}); });`;
  return new Worker(boot, { ...options, eval: true });
}
