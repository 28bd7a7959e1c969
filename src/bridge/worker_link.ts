import { EventEmitter } from 'node:events';
import { MessageChannel, type MessagePort, type Worker } from 'node:worker_threads';
import { expose, wrap } from 'comlink';
import { withDeadline } from '../core/aborting.js';
import { systemTimers, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import type { LogLevel } from '../core/logger.js';
import { MainRings } from '../ring/main_rings.js';
import { allocateShared } from '../ring/shared.js';
import { type AnswerCall, type Remote, remoteApi, unpack } from './calls.js';
import type { MainApi, WorkerApi, WorkerEvent } from './contract.js';
import { HangWatch, HUNG_MS, inspectorIsOpen } from './hang_watch.js';
import { wasmFile, workerFile } from './package_files.js';
import { spawnWorker, type WorkerBoot } from './spawn.js';

/** How long a worker may take to leave the network before it is terminated, and then to end. */
const CLOSE_TIMEOUT_MS = 3_000;

export interface WorkerLinkOptions {
  /** Log lines of this level and rarer ones arrive as events. Default 'info'. */
  readonly logLevel?: LogLevel;
  readonly timers?: Timers;
  /** Channels that may be open at once. Default as in {@link allocateShared}. */
  readonly channels?: number | undefined;
  /** The program of the thread. Default: the worker in its default place. */
  readonly entry?: URL;
  /** The wasm, if it is not in its default place. */
  readonly wasm?: URL;
}

export interface WorkerLinkEvents {
  /** An event of the worker; none after {@link WorkerLink.close}. */
  event: [event: WorkerEvent];
  /** The worker died unexpectedly, or hung and was stopped. Emitted once, and nothing follows. */
  fatal: [error: TunnelError];
}

/** The worker's API without `close`, which {@link WorkerLink.close} calls. */
export type WorkerCalls = Remote<Omit<WorkerApi, 'close'>>;

/**
 * The main thread's end of one worker thread. The thread starts with the link and ends with it.
 * Every call is answered, even when the thread dies or hangs.
 */
export class WorkerLink extends EventEmitter<WorkerLinkEvents> {
  readonly rings: MainRings;
  /**
   * The worker's API. A call rejects with the {@link TunnelError} that the worker answered with, with
   * ERR_WORKER_DIED once the worker is gone, and with ERR_CLOSED after {@link close}.
   */
  readonly worker: WorkerCalls;
  readonly #timers: Timers;
  readonly #thread: Worker;
  readonly #ports: readonly MessagePort[];
  readonly #answers: ReturnType<typeof wrap<AnswerCall>>;
  /** The calls waiting for an answer. */
  readonly #pending = new Set<(error: TunnelError) => void>();
  readonly #exited: Promise<void>;
  readonly #hangs: HangWatch;
  /** Why no call is possible any more. */
  #ended: TunnelError | undefined;
  #closing: Promise<void> | undefined;

  /**
   * Starts a worker thread. A later failure is reported by `fatal` and by the first call.
   *
   * @throws {TunnelError} ERR_WORKER_DIED when the thread cannot be created
   */
  static spawn(options: WorkerLinkOptions = {}): WorkerLink {
    return new WorkerLink(options);
  }

  private constructor(options: WorkerLinkOptions) {
    super();
    this.#timers = options.timers ?? systemTimers;
    const api = new MessageChannel();
    const events = new MessageChannel();
    const shared = allocateShared({ channels: options.channels });
    const boot: WorkerBoot = {
      api: api.port2,
      events: events.port2,
      shared: shared.worker,
      logLevel: options.logLevel ?? 'info',
      wasm: (options.wasm ?? wasmFile()).href,
    };
    this.rings = new MainRings(shared.main);
    this.#ports = [api.port1, events.port1];
    const transferList = [api.port2, events.port2, ...shared.transferList];
    try {
      this.#thread = spawnWorker(options.entry ?? workerFile(), { workerData: boot, transferList });
    } catch (error) {
      this.rings.close();
      for (const port of this.#ports) port.close();
      throw notStarted(error);
    }
    this.#exited = new Promise((resolve) => {
      this.#thread.once('exit', (code) => {
        this.#died(`it ended without an error, with exit code ${code}`, undefined);
        resolve();
      });
    });
    this.#thread.on('error', (error) => this.#died(describe(error), error));
    this.#thread.on('messageerror', (error) => this.#died(describe(error), error));
    this.#answers = wrap<AnswerCall>(api.port1);
    this.worker = remoteApi<Omit<WorkerApi, 'close'>>((method, args) =>
      this.#closing === undefined ? this.#call(method, args) : Promise.reject(closedError()),
    );
    const main: MainApi = { event: (event) => this.#tell(event) };
    expose(main, events.port1);
    this.#hangs = new HangWatch({
      timers: this.#timers,
      beats: () => this.rings.workerBeats,
      isDebugged: inspectorIsOpen,
      onHung: () => this.#stopHung(),
    });
  }

  /** Whether the thread keeps the process running. Default true. */
  keepProcess(keeps: boolean): void {
    for (const handle of [this.#thread, ...this.#ports]) {
      if (keeps) handle.ref();
      else handle.unref();
    }
  }

  /** Leaves the network and ends the thread, by force after 3 s. Never rejects; safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #call(method: string, args: readonly unknown[]): Promise<unknown> {
    if (this.#ended !== undefined) return Promise.reject(this.#ended);
    // Bundlers for older targets make `answers.call(this, …)` of a call of a private field, which comlink would send.
    const answers = this.#answers;
    return new Promise((resolve, reject) => {
      this.#pending.add(reject);
      answers(method, args)
        .then((answer) => resolve(unpack(answer)))
        .catch(reject)
        .finally(() => this.#pending.delete(reject));
    });
  }

  /** Ends a thread that no longer runs: otherwise it would keep a core busy, and its ports open. */
  #stopHung(): void {
    void this.#thread.terminate();
    this.#died(`it did nothing for ${HUNG_MS / 1000} s and was stopped`, undefined);
  }

  async #close(): Promise<void> {
    this.#hangs.stop();
    if (this.#ended === undefined) {
      const left: keyof WorkerApi = 'close';
      const gone = this.#call(left, [])
        .catch(() => {})
        .then(() => this.#exited);
      await this.#atMost(gone);
    }
    // A thread that is blocked in a system call ends only when that call returns.
    await this.#atMost(this.#thread.terminate());
    this.#end(closedError());
  }

  async #atMost(work: Promise<unknown>): Promise<void> {
    const timeout = { ms: CLOSE_TIMEOUT_MS, timers: this.#timers, error: closedError };
    await withDeadline(work, { timeout }).catch(() => {});
  }

  #tell(event: WorkerEvent): void {
    if (this.#ended !== undefined || this.#closing !== undefined) return;
    try {
      this.emit('event', event);
    } catch (error) {
      // A listener on this thread threw. Without setImmediate the error would go back to the worker through
      // comlink.
      setImmediate(() => {
        throw error;
      });
    }
  }

  #died(how: string, cause: unknown): void {
    if (this.#ended !== undefined) return;
    const isAsked = this.#closing !== undefined;
    const error = isAsked
      ? closedError()
      : new TunnelError('ERR_WORKER_DIED', `${how}; its tunnels are lost, start a new node`, { cause });
    this.#end(error);
    if (!isAsked) this.emit('fatal', error);
  }

  #end(error: TunnelError): void {
    if (this.#ended !== undefined) return;
    this.#ended = error;
    this.#hangs.stop();
    for (const reject of this.#pending) reject(error);
    this.#pending.clear();
    this.rings.close();
    for (const port of this.#ports) port.close();
  }
}

function closedError(): TunnelError {
  return new TunnelError('ERR_CLOSED', 'this node has been closed; start a new one');
}

function notStarted(cause: unknown): TunnelError {
  const advice =
    "give it more memory, or more threads (ulimit -u, or TasksMax= in a systemd unit), or under Node's permission model --allow-worker";
  const detail = `its thread cannot be started (${describe(cause)}): ${advice}`;
  return new TunnelError('ERR_WORKER_DIED', detail, { cause });
}

function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error);
}
