import { type MessagePort, Worker, type WorkerOptions } from 'node:worker_threads';
import type { LogLevel } from '../core/logger.js';
import type { SharedMemory } from '../ring/shared.js';
import { sourceBoot } from './source_boot.js';

/** The `workerData` of a worker thread. Its three message ports belong in `transferList`. */
export interface WorkerBoot {
  /** Carries the calls of {@link ./contract.WorkerApi}, through comlink. */
  readonly api: MessagePort;
  /** Carries the events of {@link ./contract.MainApi}, through comlink. */
  readonly events: MessagePort;
  readonly shared: SharedMemory;
  /** The worker sends log lines of this level and rarer ones. */
  readonly logLevel: LogLevel;
  /** URL of the wasm. */
  readonly wasm: string;
}

/**
 * Starts a worker thread. The thread gets none of Node's options: they are the host's. Otherwise it would run the
 * host's preloads again (`--import`, `--require`), and some options make a thread impossible (`--input-type`).
 * Permissions and the options of V8 apply to the whole process anyway.
 */
export function spawnWorker(program: URL, options: WorkerOptions): Worker {
  const own = { ...options, execArgv: [], env: withoutNodeOptions(process.env) };
  const boot = sourceBoot(program);
  return boot === undefined ? new Worker(program, own) : new Worker(boot, { ...own, eval: true });
}

function withoutNodeOptions(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  // Windows ignores the case of names.
  return Object.fromEntries(Object.entries(env).filter(([name]) => name.toUpperCase() !== 'NODE_OPTIONS'));
}
