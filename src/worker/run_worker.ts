import { randomBytes, randomFillSync } from 'node:crypto';
import type { MessagePort } from 'node:worker_threads';
import { expose, wrap } from 'comlink';
import { answerCalls } from '../bridge/calls.js';
import type { MainApi, WorkerEvent } from '../bridge/contract.js';
import type { WorkerBoot } from '../bridge/spawn.js';
import { Allowance } from '../core/allowance.js';
import { systemTimers } from '../core/clock.js';
import { interfacesNow } from '../core/ip.js';
import type { Logger, LogLevel } from '../core/logger.js';
import { WorkerRings } from '../ring/worker_rings.js';
import { ReliableChannel } from './channel/reliable_channel.js';
import { prepareNetwork } from './net/node_network.js';
import { systemLookUp } from './net/resolve.js';
import { loadTox, readWasm } from './tox/load.js';
import { ToxWorker, type ToxWorkerParts, type WorkerMachine } from './tox_worker.js';

/**
 * Turns this thread into a Tox worker: serves its API on one message port, and sends events to the
 * other. An error that nothing catches ends the thread, and the main thread reports it.
 *
 * @param others parts to use instead of the real ones, for tests and benchmarks
 */
export function runWorker(boot: WorkerBoot, others: Partial<ToxWorkerParts> = {}): void {
  const main = wrap<MainApi>(boot.events);
  const nowMs = (): number => systemTimers.nowMs();
  const tell = (event: WorkerEvent): void => {
    main.event(event).catch(throwUncaught);
  };
  const worker = new ToxWorker({
    machine: thisMachine,
    rings: new WorkerRings(boot.shared),
    logger: gatedLogger(boot.logLevel, nowMs, (level, message) => tell({ type: 'log', level, message })),
    loadTox: async (network) =>
      loadTox(await readWasm(new URL(boot.wasm)), {
        network,
        nowMs,
        wallMs: () => Date.now(),
        random: createRandomPool(),
      }),
    createChannel: (host, options) => new ReliableChannel(host, options),
    tell,
    done: () => closeAfterAnswer([boot.api, boot.events]),
    ...others,
  });
  expose(answerCalls(worker, throwUncaught), boot.api);
}

const thisMachine: WorkerMachine = {
  timers: systemTimers,
  nextTurn: (callback) => void setImmediate(callback),
  randomWord: () => randomBytes(4).readUInt32BE(),
  lookUp: systemLookUp,
  addresses: () => {
    const interfaces = interfacesNow();
    return interfaces && Object.values(interfaces).flatMap((all = []) => all.map(({ address }) => address));
  },
  openNetwork: (plan) => prepareNetwork(plan),
};

/** Ends this thread with `error`, before anything else runs in it. The main thread gets it with its stack. */
function throwUncaught(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}

/** Closes the message ports after the answer to `close` has left: then nothing keeps the thread alive. */
function closeAfterAnswer(ports: readonly MessagePort[]): void {
  setImmediate(() => {
    for (const port of ports) port.close();
  });
}

const LEVELS: readonly LogLevel[] = ['error', 'warn', 'info', 'debug', 'trace'];
const LINES_BURST = 200;
const LINES_PER_SECOND = 100;

/**
 * A logger that passes lines of the wanted levels on, up to a rate. A line costs a message to the
 * other thread, and toxcore can write one for every packet.
 */
export function gatedLogger(
  level: LogLevel,
  nowMs: () => number,
  write: (level: LogLevel, message: string) => void,
): Logger {
  const allowance = new Allowance(LINES_BURST, LINES_PER_SECOND, nowMs());
  const deepest = LEVELS.indexOf(level);
  return {
    level,
    log: (lineLevel, message) => {
      if (LEVELS.indexOf(lineLevel) > deepest || !allowance.take(nowMs())) return;
      const refused = allowance.takeRefused();
      if (refused > 0) write('warn', `${refused} log lines were dropped: too many at once`);
      write(lineLevel, message);
    },
  };
}

/** Bytes drawn from the system at a time. toxcore often asks for 4 to 32. */
const POOL_BYTES = 4096;

/**
 * Serves many small requests from one pool of CSPRNG bytes. Bytes are wiped from the pool once
 * given out, so that memory shows no nonce and no key later.
 */
export function createRandomPool(
  fill: (into: Uint8Array) => void = randomFillSync,
): (into: Uint8Array) => void {
  const pool = new Uint8Array(POOL_BYTES);
  let used = POOL_BYTES;
  return (into) => {
    if (into.length > POOL_BYTES) {
      fill(into);
      return;
    }
    if (used + into.length > POOL_BYTES) {
      fill(pool);
      used = 0;
    }
    const drawn = pool.subarray(used, used + into.length);
    into.set(drawn);
    drawn.fill(0);
    used += into.length;
  };
}
