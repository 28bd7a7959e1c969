/** A worker thread that goes wrong: what its bootstrap node does is said by `entry`'s query. */
import { workerData } from 'node:worker_threads';
import type { WorkerBoot } from '../../src/bridge/spawn.js';
import { runWorker } from '../../src/worker/run_worker.js';
import type { BootstrapNode } from '../../src/worker/tox/tox.js';

/** A wasm module whose one function is `unreachable`. */
const TRAPPING_WASM = Buffer.from(
  '0061736d010000000104016000000302010007080104747261700000' + '0a05010300000b',
  'hex',
);

/** WebAssembly as Node has it; its types come with the DOM's, which this project does without. */
interface Wasm {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: { trap(): void } };
}

const faults: Readonly<Record<string, () => void>> = {
  trap: () => {
    const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
    new Instance(new Module(TRAPPING_WASM)).exports.trap();
  },
  throw: () => {
    throw new Error('planted in a turn');
  },
  reject: () => void Promise.reject(new Error('planted in a promise')),
  exit: () => process.exit(7),
  hang: () => {
    for (;;);
  },
};

const [fault = '', when = ''] = new URL(import.meta.url).search.slice(1).split('-');

const node = (): BootstrapNode => ({
  publicKey: new Uint8Array(32),
  secretKey: new Uint8Array(32),
  isConnected: () => false,
  bootstrap: () => {
    if (when === 'call') faults[fault]?.();
    return true;
  },
  poll: () => {},
  iterate: () => {
    if (when === 'turn') faults[fault]?.();
  },
  kill: () => {
    if (when === 'close') faults[fault]?.();
  },
});

// spawnWorker's caller hands in exactly this.
runWorker(workerData as WorkerBoot, {
  loadTox: () =>
    Promise.resolve({
      createTox: () => {
        throw new Error('only a bootstrap node here');
      },
      createBootstrapNode: node,
      memoryBytes: () => 0,
    }),
});
