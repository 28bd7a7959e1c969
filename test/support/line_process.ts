import { createInterface } from 'node:readline';
import { hasEnded, startChild, stopChild } from './child_process.js';

/** How long a test waits for a line. */
const LINE_TIMEOUT_MS = 90_000;

/** A process that reports in lines, on either output. */
export class LineProcess {
  readonly lines: string[] = [];
  readonly #child: ReturnType<typeof startChild>;
  readonly #listeners = new Set<() => void>();

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = {}) {
    this.#child = startChild(command, args, env);
    for (const input of [this.#child.stdout, this.#child.stderr]) {
      createInterface({ input }).on('line', (line) => {
        this.lines.push(line);
        this.#tell();
      });
    }
    this.#child.once('close', () => this.#tell());
    this.#child.once('error', (error) => {
      this.lines.push(String(error));
      this.#tell();
    });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw this.#failure('did not start');
    return pid;
  }

  /** Returns the first line that matches, past or future. */
  async line(pattern: RegExp): Promise<RegExpExecArray> {
    return await new Promise((resolve, reject) => {
      const look = (): void => {
        const match = this.#find(pattern);
        if (match !== undefined) done(() => resolve(match));
        else if (hasEnded(this.#child))
          done(() => reject(this.#failure(`ended without a line that matches ${pattern}`)));
      };
      const done = (settle: () => void): void => {
        clearTimeout(timer);
        this.#listeners.delete(look);
        settle();
      };
      const timer = setTimeout(() => {
        done(() =>
          reject(this.#failure(`printed no line that matches ${pattern} within ${LINE_TIMEOUT_MS / 1000} s`)),
        );
      }, LINE_TIMEOUT_MS);
      this.#listeners.add(look);
      look();
    });
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }

  #find(pattern: RegExp): RegExpExecArray | undefined {
    for (const line of this.lines) {
      const match = pattern.exec(line);
      if (match !== null) return match;
    }
    return undefined;
  }

  #tell(): void {
    for (const listener of this.#listeners) listener();
  }

  #failure(what: string): Error {
    return new Error(`${this.#child.spawnfile}: ${what}\n${this.lines.join('\n')}`);
  }
}
