import { createServer, type Socket } from 'node:net';
import * as v from 'valibot';
import { systemTimers, type TimerHandle, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { type Logger, silentLogger } from '../core/logger.js';
import type { Door } from './doors.js';
import { openDoorway } from './doors.js';
import { answerLine, errorLine, Lines, MAX_QUESTION_BYTES, parseQuestion } from './protocol.js';

/** Who may ask at once; more are told to come again. */
export const MAX_CONNECTIONS = 8;
/** How long a connection may take for its next question, or to take its answer, in milliseconds. */
export const CONNECTION_TIMEOUT_MS = 10_000;

export interface ControlServerOptions {
  /** The state folder. */
  readonly folder: string;
  /** Which of the folder's sockets. Default: the listener's, whose lock the caller holds. */
  readonly door?: Door;
  readonly methods: ControlMethods;
  /** Default: {@link systemTimers}. */
  readonly timers?: Timers;
  /** Default: silent. */
  readonly logger?: Logger;
}

/** Lets other processes of this machine's user ask a running one (docs/cli.md, "A running process"). */
export class ControlServer {
  readonly #methods: ControlMethods;
  readonly #timers: Timers;
  readonly #logger: Logger;
  readonly #connections = new Set<Socket>();
  readonly #closing = new AbortController();
  #shut: () => Promise<void> = async () => {};

  private constructor({ methods, timers = systemTimers, logger = silentLogger }: ControlServerOptions) {
    this.#methods = methods;
    this.#timers = timers;
    this.#logger = logger;
  }

  /** @throws {TunnelError} ERR_STATE_BUSY, ERR_STATE_IO */
  static async start(options: ControlServerOptions): Promise<ControlServer> {
    const self = new ControlServer(options);
    const server = createServer((socket) => self.#serve(socket));
    try {
      self.#shut = await openDoorway(options.folder, options.door ?? 'listener', server);
    } catch (error) {
      if (TunnelError.is(error)) throw error;
      const why = error instanceof Error ? error.message : String(error);
      throw new TunnelError('ERR_STATE_IO', `${options.folder}: no control socket: ${why}`, { cause: error });
    }
    // After the start it has nothing to tell but that the system is out of something.
    server.on('error', (error) => self.#logger.log('warn', `the control socket: ${error.message}`));
    return self;
  }

  /** Ends all connections and takes the socket away. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const socket of this.#connections) socket.destroy();
    await this.#shut().catch((error: unknown) =>
      this.#logger.log('warn', 'the control socket could not be taken away', { error }),
    );
  }

  #serve(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#closing.signal.aborted) {
      socket.destroy();
      return;
    }
    if (this.#connections.size >= MAX_CONNECTIONS) {
      const busy = new TunnelError('ERR_LIMIT', `${MAX_CONNECTIONS} processes ask already; try again`);
      socket.end(errorLine(busy), () => socket.destroy());
      return;
    }
    this.#connections.add(socket);
    new Conversation(socket, this.#methods, this.#timers, this.#logger);
    socket.on('close', () => this.#connections.delete(socket));
  }
}

/** One connection: a question, its answer, the next question. */
class Conversation {
  readonly #socket: Socket;
  readonly #methods: ControlMethods;
  readonly #timers: Timers;
  readonly #logger: Logger;
  readonly #lines = new Lines(MAX_QUESTION_BYTES);
  #timer: TimerHandle | undefined;

  constructor(socket: Socket, methods: ControlMethods, timers: Timers, logger: Logger) {
    this.#socket = socket;
    this.#methods = methods;
    this.#timers = timers;
    this.#logger = logger;
    socket.on('data', (chunk: Buffer) => void this.#onData(chunk));
    socket.on('close', () => this.#stopWaiting());
    this.#wait();
  }

  async #onData(chunk: Buffer): Promise<void> {
    // While it is answered nothing more is read: one chunk waits here, the rest in the kernel.
    this.#socket.pause();
    const questions = this.#lines.push(chunk);
    if (questions === undefined) {
      const tooLong = new TunnelError('ERR_LIMIT', `a question of more than ${MAX_QUESTION_BYTES} bytes`);
      this.#socket.end(errorLine(tooLong), () => this.#socket.destroy());
      return;
    }
    for (const question of questions) {
      this.#wait();
      await this.#send(await this.#answer(question));
      if (this.#socket.destroyed) return;
    }
    this.#socket.resume();
  }

  async #answer(line: string): Promise<string> {
    let name = '';
    try {
      const { method, params } = parseQuestion(line);
      name = method;
      const run = Object.hasOwn(this.#methods, method) ? this.#methods[method] : undefined;
      if (run === undefined) {
        const text = `the process that runs does not know ${JSON.stringify(method)}; update it`;
        return errorLine(new TunnelError('ERR_CONTROL', text));
      }
      return answerLine(await run(params));
    } catch (error) {
      if (TunnelError.is(error)) return errorLine(error);
      // A fault of ours: the log has it whole, whoever asked gets no inside of ours.
      this.#logger.log('error', 'a question of the control socket failed', { method: name, error });
      return errorLine(
        new TunnelError('ERR_CONTROL', 'an error inside of the process that runs; its log has more'),
      );
    }
  }

  /** Until the system has taken it. */
  #send(text: string): Promise<void> {
    return new Promise((resolve) => {
      this.#socket.once('close', resolve);
      this.#socket.write(text, () => {
        this.#socket.off('close', resolve);
        resolve();
      });
    });
  }

  #wait(): void {
    this.#stopWaiting();
    this.#timer = this.#timers.set(() => this.#socket.destroy(), CONNECTION_TIMEOUT_MS);
  }

  #stopWaiting(): void {
    if (this.#timer !== undefined) this.#timers.clear(this.#timer);
    this.#timer = undefined;
  }
}

/** Answers a question of the control socket, now or later; what it throws is the answer too. */
export type ControlMethod = (params: unknown) => unknown;

/** By name, as `peers` or `rule.add`. */
export type ControlMethods = Readonly<Record<string, ControlMethod>>;

/** A method whose parameters are checked before it runs: whoever asks may be an older version, or nonsense. */
export function method<Schema extends v.GenericSchema>(
  params: Schema,
  run: (params: v.InferOutput<Schema>) => unknown,
): ControlMethod {
  return (given) => {
    const read = v.safeParse(params, given, { abortEarly: true });
    if (read.success) return run(read.output);
    const [issue] = read.issues;
    const field = issue.path?.[0]?.key;
    const where = field === undefined ? 'the parameters' : JSON.stringify(field);
    throw new TunnelError('ERR_USAGE', `${where}: ${issue.message}`);
  };
}
