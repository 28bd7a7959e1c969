import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { stopChild } from '../../test/support/child_process.js';
import { PrivateNetwork } from '../../test/support/private_network.js';
import { bulkBytes, type Direction } from '../target.js';
import type { PacketsWay, Way } from '../way.js';
import type { RawAnswer, RawRequest } from './raw_contract.js';
import { blank } from './raw_packets.js';

/** A process that runs raw_process.ts. */
class RawEnd {
  readonly #child: ChildProcess;

  constructor() {
    const file = fileURLToPath(new URL('raw_process.ts', import.meta.url));
    this.#child = spawn(process.execPath, ['--import', import.meta.resolve('tsx'), file], {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    });
  }

  get pid(): number {
    const { pid } = this.#child;
    if (pid === undefined) throw new Error('an end of the raw packets did not start');
    return pid;
  }

  /** Sends one request at a time. */
  async ask(request: RawRequest): Promise<RawAnswer> {
    const gone = new AbortController();
    const exited = (): void => gone.abort(new Error('an end of the raw packets has exited'));
    this.#child.once('exit', exited);
    try {
      this.#child.send(request);
      const [answer]: unknown[] = await once(this.#child, 'message', { signal: gone.signal });
      return answer as RawAnswer; // raw_process.ts sends nothing else
    } finally {
      this.#child.off('exit', exited);
    }
  }

  async stop(): Promise<void> {
    await stopChild(this.#child);
  }
}

/** Measures what the lossy packets of the same wasm carry with only a window above them. */
export const rawPackets: Way<PacketsWay> = {
  name: 'raw lossy packets',
  start: async () => {
    const network = await PrivateNetwork.start();
    const [far, near] = [new RawEnd(), new RawEnd()];
    const stop = async (): Promise<void> => {
      await Promise.all([far.stop(), near.stop(), network.stop()]);
    };
    try {
      const { bootstrap } = network;
      const keys = await Promise.all([far, near].map((end) => end.ask({ do: 'start', bootstrap })));
      await Promise.all([
        far.ask({ do: 'befriend', publicKey: keys[1]?.publicKey ?? '' }),
        near.ask({ do: 'befriend', publicKey: keys[0]?.publicKey ?? '' }),
      ]);
    } catch (error) {
      await stop();
      throw error;
    }
    let run = 0;
    const carry = async (
      direction: Direction,
      bytes: number,
    ): Promise<{ readonly ms: number; readonly lost: number }> => {
      const [from, to] = direction === 'down' ? [far, near] : [near, far];
      run = (run + 1) % 256;
      await to.ask({ do: 'receive', run, bytes });
      const { ms = Number.NaN } = await from.ask({ do: 'send', run, bytes, direction });
      const { sha256, missing = [] } = await to.ask({ do: 'result' });
      const expected = blank(bulkBytes(direction, bytes), missing);
      if (sha256 !== createHash('sha256').update(expected).digest('hex'))
        throw new Error('the packets that arrived differ from those that were sent');
      return { ms, lost: missing.length };
    };
    return {
      carry,
      processes: [
        { name: 'raw', pid: far.pid },
        { name: 'raw', pid: near.pid },
      ],
      stop,
    };
  },
};
