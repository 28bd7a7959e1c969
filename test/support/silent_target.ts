import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Socket } from 'node:net';
import { startChild, stopChild } from './child_process.js';
import { dialLoopback } from './loopback.js';

/**
 * Listens with the shortest possible queue, prints its port and then blocks forever, so it accepts nothing.
 */
const NEVER_ACCEPTS = `
  const server = require('node:net').createServer();
  server.listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
    require('node:fs').writeSync(1, String(server.address().port));
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
  });
`;

/** More than a queue of 1 holds; Linux drops every SYN once it is full (tcp(7), listen(2)). */
const QUEUE_FILLERS = 4;

/** A loopback port that drops SYNs: a dial gets no answer, not even a refusal. */
export class SilentTarget {
  readonly port: number;
  readonly #child: ChildProcess;
  readonly #fillers: readonly Socket[];

  private constructor(child: ChildProcess, port: number) {
    this.#child = child;
    this.port = port;
    this.#fillers = Array.from({ length: QUEUE_FILLERS }, () => dialLoopback(port));
  }

  static async start(): Promise<SilentTarget> {
    const child = startChild(process.execPath, ['-e', NEVER_ACCEPTS]);
    const [port] = await once(child.stdout, 'data');
    const target = new SilentTarget(child, Number(port));
    // The first two fit into the queue of 1 (it is full with more than 1); then it is closed.
    await Promise.all(target.#fillers.slice(0, 2).map((filler) => once(filler, 'connect')));
    return target;
  }

  async stop(): Promise<void> {
    for (const filler of this.#fillers) filler.destroy();
    await stopChild(this.#child, 'SIGKILL');
  }
}
