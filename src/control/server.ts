import { createServer, type Socket } from 'node:net';
import * as v from 'valibot';
import { systemTimers, Timer, type Timers } from '../core/clock.js';
import { TunnelError } from '../core/errors.js';
import { type Logger, silentLogger } from '../core/logger.js';
import { systemReason } from '../core/system_error.js';
import type { Door } from './doors.js';
import { openDoorway } from './doors.js';
import { answerLine, errorLine, Lines, MAX_QUESTION_BYTES, parseQuestion } from './protocol.js';

/** The connection on which a question came. */
export interface Asker {
  /**
   * Keeps the connection open without further questions, until either end closes it.
   *
   * @param onClose called once, when it is closed: at the latest when the other process ends
   * @throws {TunnelError} ERR_LIMIT when too many connections are kept open
   */
  keep(onClose: () => void): void;
}

/** Asks a method within its own process, which ends with it. */
export const SAME_PROCESS: Asker = { keep: () => {} };

/** Answers a question, now or later. An error that it throws is sent as the answer. */
export type ControlMethod = (params: unknown, asker: Asker) => unknown;

/** By name, as `peers` or `rule.add`. */
export type ControlMethods = Readonly<Record<string, ControlMethod>>;

/** Makes a method that checks its parameters before it runs: they may come from another version, or be malformed. */
export function method<Schema extends v.GenericSchema>(
  params: Schema,
  run: (params: v.InferOutput<Schema>, asker: Asker) => unknown,
): ControlMethod {
  return (given, asker) => {
    const read = v.safeParse(params, given, { abortEarly: true });
    if (read.success) return run(read.output, asker);
    const [issue] = read.issues;
    const field = issue.path?.[0]?.key;
    const where = field === undefined ? 'the parameters' : JSON.stringify(field);
    throw new TunnelError('ERR_USAGE', `${where}: ${issue.message}`);
  };
}

/** Connections at once. Those that ask nothing make room for further ones, which otherwise get an error. */
export const MAX_CONNECTIONS = 8;
/** Further connections that a method keeps open. */
export const MAX_KEPT_CONNECTIONS = 64;
/** How long a connection may take to send its next question, or to read its answer, in milliseconds. */
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

/** Answers questions of other processes of the same user. */
export class ControlServer {
  readonly #methods: ControlMethods;
  readonly #timers: Timers;
  readonly #logger: Logger;
  /** In order of arrival. */
  readonly #connections = new Map<Socket, Conversation>();
  readonly #kept = new Set<Socket>();
  /** Those that get an error instead. */
  readonly #turnedAway = new Set<Socket>();
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
      const why = systemReason(error);
      throw new TunnelError('ERR_STATE_IO', `${options.folder}: cannot open the control socket: ${why}`, {
        cause: error,
      });
    }
    // After the start a server reports only a lack of system resources.
    server.on('error', (error) => self.#logger.log('warn', `control socket: ${error.message}`));
    return self;
  }

  /** Ends all connections and deletes the socket. Never rejects. */
  async close(): Promise<void> {
    this.#closing.abort();
    for (const sockets of [this.#connections.keys(), this.#kept, this.#turnedAway])
      for (const socket of sockets) socket.destroy();
    await this.#shut().catch((error: unknown) =>
      this.#logger.log('warn', 'the control socket could not be deleted', { error }),
    );
  }

  #serve(socket: Socket): void {
    socket.on('error', () => socket.destroy());
    if (this.#closing.signal.aborted) {
      socket.destroy();
      return;
    }
    if (this.#connections.size >= MAX_CONNECTIONS && !this.#makeRoom()) {
      this.#turnAway(socket);
      return;
    }
    const conversation = new Conversation(socket, {
      methods: this.#methods,
      timers: this.#timers,
      logger: this.#logger,
      onKeep: () => this.#keep(socket),
    });
    this.#connections.set(socket, conversation);
    socket.on('close', () => {
      this.#connections.delete(socket);
      this.#kept.delete(socket);
    });
  }

  #keep(socket: Socket): void {
    if (this.#kept.has(socket)) return;
    if (this.#kept.size >= MAX_KEPT_CONNECTIONS) {
      throw new TunnelError(
        'ERR_LIMIT',
        `${MAX_KEPT_CONNECTIONS} processes are already using the running process; stop one of them first`,
      );
    }
    this.#connections.delete(socket);
    this.#kept.add(socket);
  }

  /** Drops the oldest connection that waits for no answer. @returns false when all wait for one */
  #makeRoom(): boolean {
    for (const [socket, conversation] of this.#connections) {
      if (conversation.isAnswering) continue;
      this.#connections.delete(socket);
      socket.destroy();
      return true;
    }
    return false;
  }

  #turnAway(socket: Socket): void {
    if (this.#turnedAway.size >= MAX_CONNECTIONS) {
      socket.destroy();
      return;
    }
    this.#turnedAway.add(socket);
    const busy = new TunnelError(
      'ERR_LIMIT',
      `the process already answers ${MAX_CONNECTIONS} control connections; try again`,
    );
    const deadline = new Timer(this.#timers);
    deadline.set(CONNECTION_TIMEOUT_MS, () => socket.destroy());
    socket.on('close', () => {
      deadline.clear();
      this.#turnedAway.delete(socket);
    });
    // Closing with a question unread would be a reset, and the other process would not see the answer.
    socket.resume().end(errorLine(busy));
  }
}

interface ConversationOptions {
  readonly methods: ControlMethods;
  readonly timers: Timers;
  readonly logger: Logger;
  /** Called when a method wants to keep the connection open. @throws {TunnelError} ERR_LIMIT */
  readonly onKeep: () => void;
}

/** One connection: reads a question, answers it, reads the next. */
class Conversation implements Asker {
  readonly #socket: Socket;
  readonly #methods: ControlMethods;
  readonly #logger: Logger;
  readonly #lines = new Lines(MAX_QUESTION_BYTES);
  readonly #timer: Timer;
  readonly #onKeep: () => void;
  #isAnswering = false;
  /** Undefined until a method keeps the connection open. */
  #onClose: (() => void)[] | undefined;

  constructor(socket: Socket, { methods, timers, logger, onKeep }: ConversationOptions) {
    this.#socket = socket;
    this.#methods = methods;
    this.#timer = new Timer(timers);
    this.#logger = logger;
    this.#onKeep = onKeep;
    socket.on('data', (chunk: Buffer) => void this.#onData(chunk));
    socket.on('close', () => {
      this.#timer.clear();
      for (const onClose of this.#onClose ?? []) onClose();
    });
    this.#wait();
  }

  /** Whether a question of the other process is being answered. */
  get isAnswering(): boolean {
    return this.#isAnswering;
  }

  keep(onClose: () => void): void {
    if (this.#socket.destroyed) {
      onClose();
      return;
    }
    this.#onKeep();
    this.#timer.clear();
    this.#onClose ??= [];
    this.#onClose.push(onClose);
  }

  async #onData(chunk: Buffer): Promise<void> {
    // Stop reading until the answer is sent: one chunk waits here, the rest in the kernel.
    this.#socket.pause();
    const questions = this.#lines.push(chunk);
    if (questions === undefined) {
      const tooLong = new TunnelError('ERR_LIMIT', `the request is longer than ${MAX_QUESTION_BYTES} bytes`);
      this.#socket.end(errorLine(tooLong), () => this.#socket.destroy());
      return;
    }
    for (const question of questions) {
      this.#wait();
      this.#isAnswering = true;
      await this.#send(await this.#answer(question));
      this.#isAnswering = false;
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
        const text = `the running process does not know ${JSON.stringify(method)}; update it`;
        return errorLine(new TunnelError('ERR_CONTROL', text));
      }
      return answerLine(await run(params, this));
    } catch (error) {
      if (TunnelError.is(error)) return errorLine(error);
      // A bug of ours: log all of it, but do not show internals to the other process.
      this.#logger.log('error', 'a control request failed', { method: name, error });
      return errorLine(new TunnelError('ERR_CONTROL', 'internal error of the running process; see its log'));
    }
  }

  /** Resolves when the system has taken the text, or the connection is closed. */
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
    if (this.#onClose !== undefined) return;
    this.#timer.set(CONNECTION_TIMEOUT_MS, () => this.#socket.destroy());
  }
}
