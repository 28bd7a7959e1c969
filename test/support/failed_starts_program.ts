/**
 * A program whose starts all fail, before or after a worker exists. None may leave anything behind that keeps
 * the program from exiting by itself.
 */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import {
  type ConnectOptions,
  connect,
  createBootstrapNode,
  type ListenOptions,
  listen,
  TunnelError,
} from '../../src/index.js';
import { LOOPBACK_HOST } from './loopback.js';

const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;
let workers = 0;
process.on('worker', () => workers++);

const taken = createSocket('udp4');
taken.bind(0, LOOPBACK_HOST);
await once(taken, 'listening');
const { port } = taken.address();
const udpPorts = { from: port, to: port };
const aborter = new AbortController();
const worker = new URL('./no_such_worker.js', import.meta.url);

const codes: string[] = [];
for (const start of [
  () => listen({ ...LOCAL, udpPorts }),
  () => createBootstrapNode({ ...LOCAL, port }),
  () => {
    const started = listen({ ...LOCAL, signal: aborter.signal });
    aborter.abort();
    return started;
  },
  () => listen({ ...LOCAL, files: { worker } }),
  () => connect({ ...LOCAL } as unknown as ConnectOptions),
  () => listen({ ...LOCAL, exposed: ['22'] } as ListenOptions),
  () => listen({ ...LOCAL, allowPeers: [`default=${'AB'.repeat(32)}`] }),
]) {
  const before = workers;
  const error: unknown = await start().then(
    () => 'started',
    (reason) => reason,
  );
  codes.push(`${TunnelError.is(error) ? error.code : String(error)} ${workers - before}`);
}
taken.close();
process.stdout.write(`${codes.join('\n')}\n`);
