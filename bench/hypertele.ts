import { randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { LineProcess } from '../test/support/line_process.js';
import { LOOPBACK_HOST } from '../test/support/loopback.js';
import type { Way } from './way.js';

/** Names a folder in which `npm install hypertele hyperdht` was run. */
const FOLDER = 'TOX_BENCH_HYPERTELE';

/** Number of nodes in the private network through which the two ends find each other. */
const TESTNET_NODES = 4;

function folder(): string | undefined {
  const named = process.env[FOLDER];
  return named !== undefined && existsSync(join(named, 'node_modules', 'hypertele')) ? named : undefined;
}

/** The unmodified hypertele programs over a private DHT on the loopback, with native UDX underneath. */
export const hypertele: Way = {
  name: 'hypertele',
  unavailable: () =>
    folder() === undefined
      ? `set ${FOLDER} to a folder in which you have run \`npm install --no-save hypertele hyperdht\``
      : undefined,
  start: async (targetPort) => {
    const required = createRequire(join(folder() ?? '', 'here.js'));
    const testnet = `require(${JSON.stringify(required.resolve('hyperdht/testnet'))})(${TESTNET_NODES})
      .then(({ bootstrap }) => console.log('port', bootstrap[0].port))`;
    const network = new LineProcess(process.execPath, ['-e', testnet]);
    const started = [network];
    const stop = async (): Promise<void> => {
      await Promise.all(started.map((process) => process.stop()));
    };
    const run = (program: string, ...args: readonly string[]): LineProcess => {
      const process_ = new LineProcess(process.execPath, [required.resolve(`hypertele/${program}`), ...args]);
      started.push(process_);
      return process_;
    };
    try {
      const [, port = ''] = await network.line(/^port (\d+)$/);
      const seed = randomBytes(32).toString('hex');
      const server = run('server.js', '-l', String(targetPort), '--seed', seed, '--bootstrap', port);
      const [, key = ''] = await server.line(/^hypertele: ([0-9a-f]{64})$/);
      const begun = performance.now();
      const client = run('client.js', '-p', '0', '-s', key, '--bootstrap', port);
      const [, local] = await client.line(new RegExp(`^Server ready @${LOOPBACK_HOST}:(\\d+)$`));
      return {
        port: Number(local),
        processes: [
          { name: 'server', pid: server.pid },
          { name: 'client', pid: client.pid },
        ],
        connectMs: performance.now() - begun,
        stop,
      };
    } catch (error) {
      await stop();
      throw error;
    }
  },
};
