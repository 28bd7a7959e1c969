import { lstat, stat } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { withDeadline } from '../core/aborting.js';
import { systemTimers, type Timers } from '../core/clock.js';
import { errnoOf, TunnelError } from '../core/errors.js';
import { checkOwner } from '../core/file_access.js';
import { socketAddress } from '../core/socket_file.js';
import { systemReason } from '../core/system_error.js';
import { type Door, pipeName, socketName } from './doors.js';
import { Lines, MAX_ANSWER_BYTES, parseAnswer, questionLine } from './protocol.js';

const ANSWER_TIMEOUT_MS = 10_000;

/** System errors that mean that no process listens at the door. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ECONNRESET', 'EPIPE']);

/**
 * Asks the listener that runs with this state folder.
 *
 * @throws {TunnelError} ERR_STATE_INVALID when the folder or the socket is another user's; ERR_CONTROL when no listener
 *   runs there or it does not answer; else the listener's own error
 */
export function callListener(
  folder: string,
  method: string,
  params: unknown = {},
  timers: Timers = systemTimers,
): Promise<unknown> {
  return callDoor({ folder, door: 'listener' }, method, params, timers);
}

/** A running process: its state folder, and its door there. */
export interface DoorAddress {
  readonly folder: string;
  readonly door: Door;
}

/** Like {@link callListener}, for any process of a state folder. */
export async function callDoor(
  to: DoorAddress,
  method: string,
  params: unknown = {},
  timers: Timers = systemTimers,
): Promise<unknown> {
  const connection = await ControlConnection.open(to, timers);
  try {
    return await connection.ask(method, params);
  } finally {
    connection.close();
  }
}

/** A connection to a door, for one question at a time. */
export class ControlConnection {
  readonly #socket: Socket;
  readonly #timers: Timers;
  readonly #lines = new Lines(MAX_ANSWER_BYTES);
  readonly #closed: Promise<void>;
  #failure: TunnelError | undefined;
  #asked: { resolve(answer: string): void; reject(error: TunnelError): void } | undefined;

  private constructor(to: DoorAddress, socket: Socket, timers: Timers) {
    this.#socket = socket;
    this.#timers = timers;
    this.#closed = new Promise((resolve) => socket.once('close', () => resolve()));
    socket.on('error', (error) => this.#fail(unreachable(to, error)));
    socket.on('close', () =>
      this.#fail(new TunnelError('ERR_CONTROL', 'the process closed the connection; try again')),
    );
    socket.on('data', (chunk: Buffer) => this.#onData(chunk));
  }

  /** @throws {TunnelError} ERR_CONTROL when no process answers there */
  static async open(to: DoorAddress, timers: Timers = systemTimers): Promise<ControlConnection> {
    const { folder, door } = to;
    if (process.platform === 'win32') return ControlConnection.#connect(to, pipeName(folder, door), timers);
    const address = await addressOf(folder, socketName(door)).catch((error: unknown) => {
      if (TunnelError.is(error)) throw error;
      throw unreachable(to, error);
    });
    try {
      return await ControlConnection.#connect(to, address.path, timers);
    } finally {
      await address.release();
    }
  }

  static async #connect(to: DoorAddress, path: string, timers: Timers): Promise<ControlConnection> {
    const socket = connect(path);
    const connection = new ControlConnection(to, socket, timers);
    const connected = new Promise<void>((resolve) => socket.once('connect', resolve));
    await connection.#inTime(Promise.race([connected, connection.#closed]));
    if (connection.#failure !== undefined) throw connection.#failure;
    return connection;
  }

  /** Resolves when either end has closed the connection. */
  get closed(): Promise<void> {
    return this.#closed;
  }

  /** @throws {TunnelError} the error of the other process, or ERR_CONTROL */
  async ask(method: string, params: unknown = {}): Promise<unknown> {
    const answer = new Promise<string>((resolve, reject) => {
      this.#asked = { resolve, reject };
    });
    if (this.#failure !== undefined) throw this.#failure;
    this.#socket.write(questionLine({ method, params }));
    return parseAnswer(await this.#inTime(answer));
  }

  close(): void {
    this.#socket.destroy();
  }

  /**
   * Closes the connection when the other process takes too long: a late answer would be taken for that of the next
   * question.
   */
  async #inTime<T>(work: Promise<T>): Promise<T> {
    const error = (): TunnelError => {
      this.close();
      return new TunnelError(
        'ERR_CONTROL',
        `no answer within ${ANSWER_TIMEOUT_MS / 1000} s; try again, or restart the process`,
      );
    };
    return await withDeadline(work, { timeout: { ms: ANSWER_TIMEOUT_MS, timers: this.#timers, error } });
  }

  #onData(chunk: Buffer): void {
    const whole = this.#lines.push(chunk);
    if (whole === undefined) {
      this.#fail(new TunnelError('ERR_CONTROL', `the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
      this.#socket.destroy();
      return;
    }
    const [answer] = whole;
    if (answer === undefined) return;
    this.#asked?.resolve(answer);
    this.#asked = undefined;
  }

  #fail(error: TunnelError): void {
    this.#failure ??= error;
    this.#asked?.reject(this.#failure);
    this.#asked = undefined;
  }
}

/**
 * Finds the socket. Another user who owns the folder, or who put a socket there, could answer in place of our process
 * and receive secrets.
 *
 * @throws {TunnelError} ERR_STATE_INVALID; or the system's error
 */
async function addressOf(folder: string, name: string): ReturnType<typeof socketAddress> {
  await checkOwner(folder, (await stat(folder)).uid, folder);
  const place = join(folder, name);
  await checkOwner(place, (await lstat(place)).uid, folder);
  return await socketAddress(folder, name);
}

function unreachable({ folder, door }: DoorAddress, error: unknown): TunnelError {
  const code = errnoOf(error);
  const place = join(folder, socketName(door));
  const who = door === 'listener' ? 'listener' : `connector ${door}`;
  if (code === 'EACCES' || code === 'EPERM') {
    return new TunnelError('ERR_CONTROL', `${place}: only the user who runs the ${who} may use it`, {
      cause: error,
    });
  }
  if (code !== undefined && GONE.has(code)) {
    return new TunnelError(
      'ERR_CONTROL',
      `no ${who} is running with the state folder ${folder}; start one, or name the folder of a running one with --state`,
      { cause: error },
    );
  }
  return new TunnelError('ERR_CONTROL', `${place}: ${systemReason(error)}`, { cause: error });
}
