import { EventEmitter } from 'node:events';
import { answerCalls, remoteApi, unpack } from '../../src/bridge/calls.js';
import type { WorkerApi, WorkerEvent } from '../../src/bridge/contract.js';
import type { NodeLink } from '../../src/bridge/tox_node.js';
import type { WorkerCalls, WorkerLinkEvents } from '../../src/bridge/worker_link.js';
import { ByteBudget } from '../../src/core/byte_budget.js';
import type { TimerHandle, Timers } from '../../src/core/clock.js';
import { DescriptorBudget } from '../../src/core/descriptors.js';
import type { Logger } from '../../src/core/logger.js';
import { MainRings } from '../../src/ring/main_rings.js';
import { allocateShared, type SharedMemory } from '../../src/ring/shared.js';
import { WorkerRings } from '../../src/ring/worker_rings.js';
import type { Machine } from '../../src/tunnel/machine.js';
import { ReliableChannel } from '../../src/worker/channel/reliable_channel.js';
import { loadTox } from '../../src/worker/tox/load.js';
import type { ToxModule } from '../../src/worker/tox/tox.js';
import { ToxWorker, type WorkerMachine } from '../../src/worker/tox_worker.js';
import { compiledTox } from '../support/tox_world.js';
import { LocalTcp } from './local_tcp.js';
import type { Loop } from './loop.js';
import type { Host } from './net.js';
import { SimSockets } from './sim_sockets.js';

/** A call from one thread to the other, and a turn of the event loop. */
const THREAD_MS = 0.05;
const TURN_MS = 0.02;
const RING_BYTES = 256 * 1024;
const WALL_AT_START_MS = 1_700_000_000_000;

/**
 * One process on a simulated machine: its main thread, and the worker of its one Tox node. Both run the
 * real code. Killing it ends everything at once, without a farewell; its kernel closes its TCP connections.
 */
export class SimProcess {
  readonly host: Host;
  readonly name: string;
  readonly tcp = new LocalTcp();
  /** What the main thread gets from its machine. */
  readonly machine: Machine;
  readonly logger: Logger;
  /** Turns of the worker's event loop, and pieces of work of the main thread. */
  turns = 0;
  /** Timers of both threads that are set now. */
  timersSet = 0;
  readonly #loop: Loop;
  readonly #random: () => number;
  /** What this machine's clock shows after a millisecond. */
  readonly #clockRate: number;
  #module: ToxModule | undefined;
  #isAlive = true;
  #isFrozen = false;
  /** What fell due while the process was frozen. */
  #held: (() => void)[] = [];
  #sockets: SimSockets | undefined;

  constructor(
    loop: Loop,
    host: Host,
    random: () => number,
    name: string,
    driftPpm: number,
    log: (line: string) => void,
  ) {
    this.#clockRate = 1 + driftPpm / 1e6;
    this.#loop = loop;
    this.host = host;
    this.name = name;
    this.#random = random;
    this.logger = { level: 'info', log: (level, message) => log(`${level} ${message}`) };
    this.machine = {
      timers: this.#timers(true),
      wallMs: () => this.#wallMs(),
      randomBytes: (count) => this.#fill(new Uint8Array(count)),
      descriptors: new DescriptorBudget(4096, 8192),
      received: new ByteBudget(1024 * 1024 * 1024),
      createServer: this.tcp.createServer,
      connect: this.tcp.connect,
      spawn: () => this.#spawn(),
    };
  }

  get isAlive(): boolean {
    return this.#isAlive;
  }

  get isFrozen(): boolean {
    return this.#isFrozen;
  }

  /** The node's own sockets; undefined before it starts. */
  get sockets(): SimSockets | undefined {
    return this.#sockets;
  }

  /** Size of the wasm memory. */
  get memoryBytes(): number {
    return this.#module?.memoryBytes() ?? 0;
  }

  /** As SIGKILL does. */
  kill(): void {
    this.#isAlive = false;
    this.#held = [];
    this.#sockets?.closeAll();
  }

  /** As SIGSTOP does. */
  freeze(): void {
    this.#isFrozen = true;
  }

  /** As SIGCONT does. */
  thaw(): void {
    this.#isFrozen = false;
    for (const run of this.#held.splice(0)) this.#soon(TURN_MS, run, true);
  }

  /** Runs `run` in this process after a while, if it still lives. @param isMain it may leave promises behind */
  #soon(delayMs: number, run: () => void, isMain: boolean): void {
    this.#loop.clock.after(delayMs, () => {
      if (!this.#isAlive) return;
      if (this.#isFrozen) {
        this.#held.push(run);
        return;
      }
      this.turns++;
      if (isMain) this.#loop.unsettle();
      run();
    });
  }

  #wallMs(): number {
    return WALL_AT_START_MS + this.#nowMs() + this.host.wallOffsetMs;
  }

  /** Time as this machine's clock shows it. */
  #nowMs(): number {
    return this.#loop.nowMs * this.#clockRate;
  }

  #fill(into: Uint8Array): Uint8Array {
    for (let i = 0; i < into.length; i++) into[i] = this.#random() * 256;
    return into;
  }

  #timers(isMain: boolean): Timers {
    return {
      nowMs: () => this.#nowMs(),
      set: (callback, delayMs) => {
        const timer = { isSet: true };
        this.timersSet++;
        const run = (): void => {
          if (!timer.isSet) return;
          timer.isSet = false;
          this.timersSet--;
          callback();
        };
        this.#soon(Math.max(delayMs / this.#clockRate, TURN_MS), run, isMain);
        return timer;
      },
      clear: (handle: TimerHandle) => {
        const timer = handle as { isSet: boolean }; // callers pass only handles from `set`
        if (timer.isSet) this.timersSet--;
        timer.isSet = false;
      },
    };
  }

  /** The worker, and the link to it: calls take a moment, and arguments are copied, as between threads. */
  #spawn(): NodeLink {
    const bells = this.#bells();
    const nextTurn =
      (isMain: boolean) =>
      (callback: () => void): void =>
        this.#soon(TURN_MS, callback, isMain);
    const shared = allocateShared({ capacityBytes: RING_BYTES, channels: 64 });
    const memory = (end: SharedMemory, bell: SharedMemory['bell']): SharedMemory => ({ ...end, bell });
    const rings = new MainRings(memory(shared.main, bells.main), { nextTurn: nextTurn(true) });
    for (const port of shared.transferList) port.close();
    const events = new EventEmitter<WorkerLinkEvents>();
    let isClosing = false;
    const tell = (event: WorkerEvent): void => {
      const copy = structuredClone(event);
      this.#soon(THREAD_MS, () => void (!isClosing && events.emit('event', copy)), true);
    };
    const worker = new ToxWorker({
      machine: this.#workerMachine(nextTurn(false)),
      rings: new WorkerRings(memory(shared.worker, bells.worker), { nextTurn: nextTurn(false) }),
      logger: this.logger,
      loadTox: async (network) => {
        this.#module = loadTox(compiledTox(), {
          network,
          nowMs: () => this.#nowMs(),
          wallMs: () => this.#wallMs(),
          random: (into) => void this.#fill(into),
        });
        return this.#module;
      },
      createChannel: (host, options) => new ReliableChannel(host, options),
      tell,
      done: () => {},
    });
    const answer = answerCalls(worker, (error) => {
      throw error;
    });
    const call = (method: string, args: readonly unknown[]): Promise<unknown> =>
      new Promise((resolve, reject) => {
        const copies = structuredClone(args);
        this.#soon(
          THREAD_MS,
          () =>
            void answer(method, copies).then((value) => {
              const answered = structuredClone(value);
              this.#soon(
                THREAD_MS,
                () => {
                  try {
                    resolve(unpack(answered));
                  } catch (error) {
                    reject(error);
                  }
                },
                true,
              );
            }),
          true,
        );
      });
    const calls: WorkerCalls = remoteApi<Omit<WorkerApi, 'close'>>(call);
    return Object.assign(events, {
      worker: calls,
      rings,
      keepProcess: () => {},
      close: async () => {
        isClosing = true;
        await call('close', []);
        rings.close();
      },
    });
  }

  #workerMachine(nextTurn: (callback: () => void) => void): WorkerMachine {
    return {
      timers: this.#timers(false),
      nextTurn,
      randomWord: () => Math.floor(this.#random() * 2 ** 32),
      lookUp: () => Promise.reject(new Error('there are no names here')),
      addresses: () => this.host.ips,
      openNetwork: (plan) => {
        this.#sockets = new SimSockets(this.host, plan, nextTurn, () => this.#isAlive);
        return Promise.resolve(this.#sockets);
      },
    };
  }

  /** A pair of doorbells, one for each thread. */
  #bells(): { readonly main: SharedMemory['bell']; readonly worker: SharedMemory['bell'] } {
    let isOpen = true;
    const hears: { main?: () => void; worker?: () => void } = {};
    const end = (own: 'main' | 'worker', other: 'main' | 'worker'): SharedMemory['bell'] => ({
      postMessage: () => this.#soon(THREAD_MS, () => void (isOpen && hears[other]?.()), other === 'main'),
      on: (_event, callback) => {
        hears[own] = callback;
      },
      unref: () => {},
      close: () => {
        isOpen = false;
      },
    });
    return { main: end('main', 'worker'), worker: end('worker', 'main') };
  }
}
