import { type MessagePort, Worker, type WorkerOptions } from 'node:worker_threads';
import type { LogLevel } from '../core/logger.js';
import type { SharedMemory } from '../ring/shared.js';
import { isSource, workerFile } from './package_files.js';

/** What a worker thread is born with, as `workerData`. The three ports go into `transferList`. */
export interface WorkerBoot {
  /** Takes the calls of {@link ./contract.WorkerApi}, by comlink. */
  readonly api: MessagePort;
  /** Is told the events of {@link ./contract.MainApi}, by comlink. */
  readonly events: MessagePort;
  readonly shared: SharedMemory;
  /** Log lines of this level and rarer ones are told. */
  readonly logLevel: LogLevel;
  /** Address of the wasm; by default where {@link package_files.wasmFile} says. */
  readonly wasm?: string;
}

/**
 * Starts the worker, from dist/*.js or, under tsx, from the sources. tsx hooks into the main
 * thread only (privatenumber/tsx#354), so from the sources the worker installs it for itself.
 *
 * @param entry what the thread runs, by default what {@link workerFile} says
 */
export function spawnWorker(options: WorkerOptions, entry?: URL): Worker {
  const url = entry ?? workerFile();
  if (!isSource(url)) return new Worker(url, options);

  const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
  const main = JSON.stringify(url.href);
  const boot = `import(${tsx}).then(({ register }) => { register(); return import(${main}); });`;
  return new Worker(boot, { ...options, eval: true });
}
