/** A worker thread that fails. The query of `entry` selects what its bootstrap node does. */
import { workerData } from 'node:worker_threads';
import type { WorkerBoot } from '../../src/bridge/spawn.js';
import { runWorker } from '../../src/worker/run_worker.js';
import type { BootstrapNode } from '../../src/worker/tox/tox.js';

/** A wasm module with one function whose body is `unreachable`. */
const TRAPPING_WASM = Buffer.from(
  '0061736d010000000104016000000302010007080104747261700000' + '0a05010300000b',
  'hex',
);

/** The same with an endless loop. */
const SPINNING_WASM = Buffer.from(
  '0061736d010000000104016000000302010007080104747261700000' + '0a09010700' + '03400c000b0b',
  'hex',
);

/** WebAssembly as Node has it; its types come with those of the DOM, which this project does not use. */
interface Wasm {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: { trap(): void } };
}

function runWasm(bytes: Uint8Array): void {
  const { Module, Instance } = (globalThis as unknown as { WebAssembly: Wasm }).WebAssembly;
  new Instance(new Module(bytes)).exports.trap();
}

const faults: Readonly<Record<string, () => void>> = {
  trap: () => runWasm(TRAPPING_WASM),
  throw: () => {
    throw new Error('planted in a turn');
  },
  reject: () => void Promise.reject(new Error('planted in a promise')),
  exit: () => process.exit(7),
  hang: () => {
    for (;;);
  },
  spin: () => runWasm(SPINNING_WASM),
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

// The caller of spawnWorker passes exactly this.
runWorker(workerData as WorkerBoot, {
  loadTox: () =>
    Promise.resolve({
      createTox: () => {
        throw new Error('this worker has only a bootstrap node');
      },
      createBootstrapNode: node,
      memoryBytes: () => 0,
      allocatedBytes: () => 0,
    }),
});
