import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { stopChild } from '../../test/support/child_process.js';
import type { EndAnswer, EndTasks, GetTask, PingTask, Transfer } from './end_contract.js';

interface Waiter {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** A process on one host that serves and requests transfers, many at once. */
export class End {
  readonly #child: ChildProcess;
  readonly #waiters = new Map<number, Waiter>();
  #lastId = 0;

  /** @param on the command prefix that runs a command on its host */
  constructor(on: readonly string[]) {
    const file = fileURLToPath(new URL('end_process.ts', import.meta.url));
    const [program = '', ...args] = [...on, process.execPath, '--import', import.meta.resolve('tsx'), file];
    // It exits with this process, because the channel between them closes.
    this.#child = spawn(program, args, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', (answer: EndAnswer) => {
      const waiter = this.#waiters.get(answer.id);
      this.#waiters.delete(answer.id);
      if (answer.error === undefined) waiter?.resolve(answer.value);
      else waiter?.reject(new Error(answer.error));
    });
    this.#child.once('exit', () => {
      for (const { reject } of this.#waiters.values())
        reject(new Error('an end of the transfers has exited'));
    });
  }

  async serve(): Promise<number> {
    return await this.#ask('serve', undefined);
  }

  async get(task: GetTask): Promise<Transfer> {
    return await this.#ask('get', task);
  }

  async ping(task: PingTask): Promise<readonly number[]> {
    return await this.#ask('ping', task);
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }

  async #ask<Name extends keyof EndTasks>(
    name: Name,
    task: Parameters<EndTasks[Name]>[0],
  ): Promise<ReturnType<EndTasks[Name]>> {
    const id = ++this.#lastId;
    const answer = new Promise((resolve, reject) => {
      this.#waiters.set(id, { resolve, reject });
    });
    // When a transfer fails while its row waits for another one, the row reports the failure later.
    answer.catch(() => {});
    this.#child.send({ id, name, task });
    // end_process.ts answers with the type that EndTasks gives for this name.
    return (await answer) as ReturnType<EndTasks[Name]>;
  }
}
