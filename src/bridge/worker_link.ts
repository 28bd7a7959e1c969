import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import { expose, wrap } from 'comlink';
import { systemTimers, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import type { LogLevel } from '../core/logger.js';
import { MainSide } from '../ring/main_side.js';
import { allocateShared } from '../ring/shared.js';
import type { Answer, MainApi, WorkerApi, WorkerEvent } from './contract.js';
import { spawnWorker, type WorkerBoot } from './spawn.js';

/** How long a worker may take to leave the network before it is ended by force. */
const CLOSE_TIMEOUT_MS = 3_000;

export interface WorkerLinkOptions {
  /** Log lines of this level and rarer ones come as events. Default 'info'. */
  readonly logLevel?: LogLevel;
  readonly timers?: Timers;
  /** What the thread runs instead of the worker in its place. */
  readonly entry?: URL;
  /** The wasm, where it is not in its place. */
  readonly wasm?: URL;
}

export interface WorkerLinkEvents {
  /** What the worker tells; none after {@link WorkerLink.close}. */
  event: [event: WorkerEvent];
  /** The worker died unasked. Told once, and nothing follows. */
  fatal: [error: TunnelError];
}

/** What a call's promise gives: the answer's value. */
type Value<Name extends keyof WorkerApi> =
  Awaited<ReturnType<WorkerApi[Name]>> extends Answer<infer T> ? T : never;

/**
 * The worker's calls, seen from here: each gives the answer's value, or rejects with a
 * {@link TunnelError}: what the worker answered, ERR_WORKER_DIED when it is gone, ERR_CLOSED
 * after {@link WorkerLink.close}.
 */
export type WorkerCalls = {
  readonly [Name in Exclude<keyof WorkerApi, 'close'>]: (
    ...args: Parameters<WorkerApi[Name]>
  ) => Promise<Value<Name>>;
};

/**
 * The main thread's end of one worker thread: it starts with the link and ends with it. Every
 * call is answered, also when the thread dies: then with ERR_WORKER_DIED.
 */
export class WorkerLink extends EventEmitter<WorkerLinkEvents> {
  /** The rings; `run` is for the owner to call. Closed with the link. */
  readonly side: MainSide;
  readonly api: WorkerCalls = {
    start: (...args) => this.#call('start', args),
    bootstrap: (...args) => this.#call('bootstrap', args),
    addFriend: (...args) => this.#call('addFriend', args),
    admitRequests: (...args) => this.#call('admitRequests', args),
    acceptFriend: (...args) => this.#call('acceptFriend', args),
    removeFriend: (...args) => this.#call('removeFriend', args),
    sendHandshake: (...args) => this.#call('sendHandshake', args),
    openChannel: (...args) => this.#call('openChannel', args),
    closeChannel: (...args) => this.#call('closeChannel', args),
    channelStats: (...args) => this.#call('channelStats', args),
    stats: (...args) => this.#call('stats', args),
    seenAddresses: (...args) => this.#call('seenAddresses', args),
  };
  readonly #timers: Timers;
  readonly #worker: Worker;
  readonly #ports: readonly MessagePort[];
  readonly #remote: ReturnType<typeof wrap<WorkerApi>>;
  readonly #pending = new Set<(error: TunnelError) => void>();
  readonly #exited: Promise<void>;
  /** Why no call can be made any more. */
  #ended: TunnelError | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Starts a worker thread. What goes wrong then is told by `fatal` and by the first call.
   *
   * @throws {TunnelError} ERR_WORKER_DIED when no thread can be made
   */
  static spawn(options: WorkerLinkOptions = {}): WorkerLink {
    return new WorkerLink(options);
  }

  private constructor(options: WorkerLinkOptions) {
    super();
    this.#timers = options.timers ?? systemTimers;
    const api = new MessageChannel();
    const events = new MessageChannel();
    const shared = allocateShared();
    const boot: WorkerBoot = {
      api: api.port2,
      events: events.port2,
      shared: shared.worker,
      logLevel: options.logLevel ?? 'info',
      ...(options.wasm === undefined ? {} : { wasm: options.wasm.href }),
    };
    this.side = new MainSide(shared.main);
    this.#ports = [api.port1, events.port1];
    const transferList = [api.port2, events.port2, ...shared.transferList];
    try {
      this.#worker = spawnWorker({ workerData: boot, transferList }, options.entry);
    } catch (error) {
      this.side.close();
      for (const port of this.#ports) port.close();
      throw notStarted(error);
    }
    this.#exited = new Promise((resolve) => {
      this.#worker.once('exit', (code) => {
        this.#died(`it ended without a word, with exit code ${code}`, undefined);
        resolve();
      });
    });
    this.#worker.on('error', (error) => this.#died(describe(error), error));
    this.#worker.on('messageerror', (error) => this.#died(describe(error), error));
    this.#remote = wrap<WorkerApi>(api.port1);
    const main: MainApi = { event: (event) => this.#tell(event) };
    expose(main, events.port1);
  }

  /** Leaves the network and ends the thread, by force when it takes over 3 s. Never rejects. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call<Name extends keyof WorkerApi>(name: Name, args: Parameters<WorkerApi[Name]>): Promise<Value<Name>> {
    const asksToClose = name === 'close';
    if (this.#closing !== undefined && !asksToClose) return Promise.reject(closedError());
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      // comlink gives for each method one with the same parameters and a promise of its result;
      // TypeScript cannot see that through a name that is a type parameter.
      const remote = this.#remote[name] as unknown as (
        ...args: Parameters<WorkerApi[Name]>
      ) => Promise<Answer<Value<Name>>>;
      remote(...args)
        .then((answer) => {
          if (answer.ok) resolve(answer.value);
          else reject(TunnelError.fromWire(answer.error));
        }, reject)
        .finally(() => this.#pending.delete(reject));
    });
  }

  async #close(): Promise<void> {
    if (this.#ended === undefined) {
      const left = this.#call('close', []).catch(() => {});
      await this.#within(left.then(() => this.#exited));
    }
    await this.#worker.terminate();
    this.#end(closedError());
  }

  /** Settles with `work`, or when a worker has had its time. */
  #within(work: Promise<unknown>): Promise<void> {
    return new Promise((resolve) => {
      const timer = this.#timers.set(resolve, CLOSE_TIMEOUT_MS);
      void work.finally(() => {
        this.#timers.clear(timer);
        resolve();
      });
    });
  }

  #tell(event: WorkerEvent): void {
    if (this.#ended !== undefined || this.#closing !== undefined) return;
    try {
      this.emit('event', event);
    } catch (error) {
      // A listener's fault: not back to the worker, where comlink would carry it.
      setImmediate(() => {
        throw error;
      });
    }
  }

  #died(how: string, cause: unknown): void {
    if (this.#ended !== undefined) return;
    const asked = this.#closing !== undefined;
    const error = asked
      ? closedError()
      : new TunnelError('ERR_WORKER_DIED', `${how}; its tunnels are lost, start a new node`, { cause });
    this.#end(error);
    if (!asked) this.emit('fatal', error);
  }

  #end(error: TunnelError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.side.close();
    for (const port of this.#ports) port.close();
  }
}

function closedError(): TunnelError {
  return new TunnelError('ERR_CLOSED', 'this node has been closed; start a new one');
}

function notStarted(cause: unknown): TunnelError {
  const advice = "give it more memory or, under Node's permission model, --allow-worker";
  const detail = `its thread cannot be started (${describe(cause)}): ${advice}`;
  return new TunnelError('ERR_WORKER_DIED', detail, { cause });
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
