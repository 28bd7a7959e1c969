import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { withDeadline } from '../core/aborting.js';
import { systemTimers, type Timers } from '../core/clock.js';
import { errnoOf, TunnelError } from '../core/errors.js';
import { socketAddress } from '../core/socket_file.js';
import { systemReason } from '../core/system_error.js';
import { type Door, pipeName, socketName } from './doors.js';
import { Lines, MAX_ANSWER_BYTES, parseAnswer, type Question, questionLine } from './protocol.js';

const ANSWER_TIMEOUT_MS = 10_000;

/** System errors which mean that no process listens at the door. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ECONNRESET', 'EPIPE']);

/**
 * Asks the listener that runs with this state folder.
 *
 * @throws {TunnelError} ERR_CONTROL when no listener runs there or it does not answer; else the listener's own error
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
  const { folder, door } = to;
  if (process.platform === 'win32')
    return parseAnswer(await ask(to, pipeName(folder, door), { method, params }, timers));
  const address = await socketAddress(folder, socketName(door)).catch((error: unknown) => {
    if (TunnelError.is(error)) throw error;
    throw unreachable(to, error);
  });
  try {
    return parseAnswer(await ask(to, address.path, { method, params }, timers));
  } finally {
    await address.release();
  }
}

async function ask(to: DoorAddress, path: string, question: Question, timers: Timers): Promise<string> {
  const socket = connect(path);
  const error = (): TunnelError =>
    new TunnelError(
      'ERR_CONTROL',
      `no answer within ${ANSWER_TIMEOUT_MS / 1000} s; try again, or restart the process`,
    );
  try {
    const answer = firstLine(socket, to);
    socket.write(questionLine(question));
    return await withDeadline(answer, { timeout: { ms: ANSWER_TIMEOUT_MS, timers, error } });
  } finally {
    socket.destroy();
  }
}

/** @throws {TunnelError} ERR_CONTROL */
function firstLine(socket: Socket, to: DoorAddress): Promise<string> {
  const lines = new Lines(MAX_ANSWER_BYTES);
  return new Promise((resolve, reject) => {
    socket.on('error', (error) => reject(unreachable(to, error)));
    socket.on('close', () =>
      reject(new TunnelError('ERR_CONTROL', 'the process closed the connection; try again')),
    );
    socket.on('data', (chunk: Buffer) => {
      const whole = lines.push(chunk);
      if (whole === undefined) {
        socket.destroy();
        reject(new TunnelError('ERR_CONTROL', `the answer is longer than ${MAX_ANSWER_BYTES} bytes`));
        return;
      }
      const [answer] = whole;
      if (answer !== undefined) resolve(answer);
    });
  });
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
      `no ${who} runs with the state folder ${folder}; start one, or name the folder of a running one with --state`,
      { cause: error },
    );
  }
  return new TunnelError('ERR_CONTROL', `${place}: ${systemReason(error)}`, { cause: error });
}
