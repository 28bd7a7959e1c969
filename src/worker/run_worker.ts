import type { MessagePort } from 'node:worker_threads';
import { expose, wrap } from 'comlink';
import type { MainApi } from '../bridge/contract.js';
import type { WorkerBoot } from '../bridge/spawn.js';
import { systemTimers } from '../core/clock.js';
import { interfacesNow } from '../core/ip.js';
import { WorkerSide } from '../ring/worker_side.js';
import { ReliableChannel } from './channel/reliable_channel.js';
import { createLogGate } from './log_gate.js';
import { prepareNetwork } from './net/node_network.js';
import { createResolver } from './net/resolve.js';
import { NodeWorker, type NodeWorkerParts } from './node_worker.js';
import { createRandomPool } from './random_pool.js';
import { loadTox, readWasm } from './tox/load.js';

/**
 * Makes this thread a node: the real parts, {@link WorkerApi} on one port, events to the other.
 * What nobody catches ends the thread, and the link at the other end tells of it.
 *
 * @param others parts to use instead of the real ones, for tests
 */
export function runWorker(boot: WorkerBoot, others: Partial<NodeWorkerParts> = {}): void {
  const main = wrap<MainApi>(boot.events);
  const wasm = boot.wasm === undefined ? undefined : new URL(boot.wasm);
  const tell: NodeWorkerParts['tell'] = (event) => {
    main.event(event).catch(throwFromTheEventLoop);
  };
  const worker = new NodeWorker({
    rings: new WorkerSide(boot.shared),
    timers: systemTimers,
    nextTurn: (callback) => void setImmediate(callback),
    wallMs: () => Date.now(),
    random: createRandomPool(),
    openNetwork: prepareNetwork,
    loadTox: async (host) => loadTox(await readWasm(wasm), host),
    resolver: createResolver(systemTimers),
    createChannel: (host, options) => new ReliableChannel(host, options),
    localAddresses: () => {
      const interfaces = interfacesNow();
      return interfaces && Object.values(interfaces).flatMap((all = []) => all.map(({ address }) => address));
    },
    tell,
    log: createLogGate(
      boot.logLevel,
      () => systemTimers.nowMs(),
      (level, message) => tell({ type: 'log', level, message }),
    ),
    debugs: boot.logLevel === 'debug' || boot.logLevel === 'trace',
    die: throwFromTheEventLoop,
    done: () => closeAfterAnswer([boot.api, boot.events]),
    ...others,
  });
  expose(worker, boot.api);
}

/** Uncaught, it ends this thread, and crosses to the main thread with its stack. */
function throwFromTheEventLoop(error: unknown): void {
  setImmediate(() => {
    throw error;
  });
}

/** With its ports and sockets closed nothing keeps the thread alive. The answer to `close` goes first. */
function closeAfterAnswer(ports: readonly MessagePort[]): void {
  setImmediate(() => {
    for (const port of ports) port.close();
  });
}
