import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { systemTimers, type Timers } from '../core/clock.js';
import { errnoOf, TunnelError } from '../core/errors.js';
import { socketAddress } from '../core/socket_file.js';
import { type Door, pipeName, socketName } from './doors.js';
import { Lines, MAX_ANSWER_BYTES, parseAnswer, questionLine } from './protocol.js';

/** How long an answer may take, in milliseconds. */
const ANSWER_TIMEOUT_MS = 10_000;

/**
 * Asks the listener that runs with this state folder.
 *
 * @throws {TunnelError} ERR_CONTROL when none runs there or it does not answer; what the listener refused with
 */
export function callListener(
  folder: string,
  method: string,
  params: unknown = {},
  timers: Timers = systemTimers,
): Promise<unknown> {
  return callDoor({ folder, door: 'listener' }, method, params, timers);
}

/** Where to knock. */
export interface DoorAddress {
  readonly folder: string;
  readonly door: Door;
}

/** {@link callListener} of any process of a state folder. @throws {TunnelError} as it does */
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
    throw nobody(to, error);
  });
  try {
    return parseAnswer(await ask(to, address.path, { method, params }, timers));
  } finally {
    await address.release();
  }
}

function ask(
  to: DoorAddress,
  path: string,
  question: { readonly method: string; readonly params: unknown },
  timers: Timers,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket: Socket = connect(path);
    const lines = new Lines(MAX_ANSWER_BYTES);
    const end = (): void => {
      timers.clear(timer);
      socket.destroy();
    };
    const fail = (error: TunnelError): void => {
      end();
      reject(error);
    };
    const timer = timers.set(() => {
      fail(new TunnelError('ERR_CONTROL', `no answer within ${ANSWER_TIMEOUT_MS / 1000} s; does it hang?`));
    }, ANSWER_TIMEOUT_MS);
    socket.on('error', (error) => fail(nobody(to, error)));
    socket.on('close', () => fail(new TunnelError('ERR_CONTROL', 'it hung up; try again')));
    socket.on('data', (chunk: Buffer) => {
      const whole = lines.push(chunk);
      if (whole === undefined) {
        fail(new TunnelError('ERR_CONTROL', `an answer of more than ${MAX_ANSWER_BYTES} bytes`));
        return;
      }
      const [answer] = whole;
      if (answer === undefined) return;
      end();
      resolve(answer);
    });
    socket.write(questionLine(question));
  });
}

function nobody({ folder, door }: DoorAddress, error: unknown): TunnelError {
  const code = errnoOf(error);
  const place = join(folder, socketName(door));
  const who = door === 'listener' ? 'listener' : `connector ${door}`;
  if (code === 'EACCES' || code === 'EPERM') {
    return new TunnelError('ERR_CONTROL', `${place} is for the user alone that the ${who} runs as`, {
      cause: error,
    });
  }
  if (code !== undefined && GONE.has(code)) {
    return new TunnelError(
      'ERR_CONTROL',
      `no ${who} runs with the state folder ${folder}; start one, or name the folder of the one that runs with --state`,
      { cause: error },
    );
  }
  const why = error instanceof Error ? error.message : String(error);
  return new TunnelError('ERR_CONTROL', `${place}: ${why}`, { cause: error });
}

/** What the system says where nobody is behind the door. */
const GONE: ReadonlySet<string> = new Set(['ENOENT', 'ECONNREFUSED', 'ENOTDIR', 'ECONNRESET', 'EPIPE']);
