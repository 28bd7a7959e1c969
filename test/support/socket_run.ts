import { createServer, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { TunnelStream } from '../../src/forward/stream/tunnel_stream.js';
import { listenOnLoopback } from './loopback.js';

export type Made = Socket | TunnelStream;
interface DialOptions {
  readonly allowHalfOpen?: boolean;
  readonly signal?: AbortSignal;
}
export type Dial = (port: number, options?: DialOptions) => Made;

const EVENTS = ['connect', 'ready', 'end', 'finish', 'timeout', 'drain', 'error', 'close'] as const;
type EventName = (typeof EVENTS)[number];
export const ENDINGS: readonly EventName[] = ['connect', 'ready', 'end', 'finish', 'error', 'close'];

/** What happens to one connection. */
export class Run {
  readonly log: string[] = [];
  readonly t: TestContext;
  readonly #dial: Dial;

  constructor(t: TestContext, dial: Dial) {
    this.t = t;
    this.#dial = dial;
  }

  note(what: string): void {
    this.log.push(what);
  }

  /** A callback that notes the code of its error. */
  noted(name: string): (error?: (Error & { code?: unknown }) | null) => void {
    return (error) => this.note(`${name} ${error?.code}`);
  }

  /** Dials, and notes the events. */
  dial(port: number, options: DialOptions = {}, events: readonly EventName[] = EVENTS): Made {
    // The overloads of `on` do not accept a union of names.
    const made: Duplex = this.#dial(port, options);
    for (const name of events) {
      made.on(name, (given?: unknown) => this.note(told(name, given)));
    }
    if (!events.includes('error')) made.on('error', () => {});
    return made as Made; // it is what the dial above returned
  }

  /** A server on a port of its own. */
  async serve(handler: (socket: Socket) => void, allowHalfOpen = false): Promise<number> {
    const sockets = new Set<Socket>();
    const server = createServer({ allowHalfOpen }, (socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      handler(socket);
    });
    this.t.after(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return await listenOnLoopback(server);
  }

  readonly echo = (): Promise<number> => this.serve((socket) => socket.pipe(socket), true);
  readonly silent = (): Promise<number> => this.serve(() => {}, true);
  readonly greeter = (): Promise<number> => this.serve((socket) => socket.end('bye'));
  readonly resetter = (): Promise<number> =>
    this.serve((socket) => socket.on('data', () => socket.resetAndDestroy()));
}

function told(name: EventName, given: unknown): string {
  if (name === 'close') return `close(${String(given)})`;
  if (name !== 'error') return name;
  const { code, syscall } = given as { code?: unknown; syscall?: unknown }; // of an error event
  return `error(${String(code)}, ${String(syscall)})`;
}

/** Resolves when the connection is closed, and everything that follows has been noted. */
export async function closed(made: Duplex): Promise<void> {
  if (!made.closed) await new Promise((resolve) => made.once('close', resolve));
  await settled();
}

export async function settled(): Promise<void> {
  for (let turns = 0; turns < 10; turns++) await turn();
}

/** The code that an action throws with. */
export function codeOf(action: () => unknown): string {
  try {
    action();
    return 'accepted';
  } catch (error) {
    return codeIn(error);
  }
}

/** The code of an error. */
export function codeIn(error: unknown): string {
  return String((error as { code?: unknown }).code); // every error of Node.js has one
}
