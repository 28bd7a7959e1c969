/**
 * A program whose three workers die while streams, a forward and a ping are in use. It has `error` handlers
 * as docs/reference/library.md shows them. It must survive, be notified of each death once, and exit by
 * itself.
 */
import { once } from 'node:events';
import { BroadcastChannel } from 'node:worker_threads';
import { connect, createBootstrapNode, listen } from '../../src/index.js';
import { workerUrl } from './build.js';
import { LOOPBACK_HOST } from './loopback.js';

const files = { worker: workerUrl(new URL('./dying_worker.ts', import.meta.url)) };
const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false, files } as const;
const ECHO = { host: 'echo', port: 7 } as const;
const told: string[] = [];

process.on('unhandledRejection', (error) => told.push(`unhandled rejection: ${error}`));
process.on('uncaughtException', (error) => told.push(`uncaught exception: ${error}`));

const first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 });
const bootstrap = [{ host: LOOPBACK_HOST, port: first.udpPort, key: Buffer.from(first.publicKey, 'hex') }];
const listener = await listen({ ...LOCAL, bootstrap, offer: [ECHO] });
const streams: string[] = [];
listener.on('stream', (stream) => {
  stream
    .on('error', (error: Error & { code?: unknown }) => streams.push(`served ${error.code}`))
    .pipe(stream);
});
const tunnel = await connect({ ...LOCAL, bootstrap, remote: listener.ticket });
const stream = tunnel.dial(ECHO);
stream.on('error', (error: Error & { code?: unknown }) => streams.push(`dialled ${error.code}`));
stream.write('x');
await once(stream, 'data');
await tunnel.forward({ bind: { host: LOOPBACK_HOST, port: 0 }, target: ECHO });

const nodes = { node: first, listener, tunnel };
const deaths = Object.entries(nodes).map(async ([name, each]) => {
  let errors = 0;
  await new Promise<void>((resolve) => {
    each.on('error', (error) => {
      told.push(`${name} ${error.code} ${++errors}`);
      // Writing to a dead stream must be dropped without an exception.
      stream.write('y');
      resolve();
    });
  });
});
// Answered or not, it must not stay pending.
const ping = tunnel.ping().catch(() => {});
const death = new BroadcastChannel('die');
death.postMessage('now');
/** Calls whose promise only the caller handles, begun when nobody answers any more. */
const bind = { host: LOOPBACK_HOST, port: 0 };
const callsAbout = (peer: string): readonly Promise<unknown>[] => [
  tunnel.node.datagrams(),
  tunnel.node.seenAddresses(),
  tunnel.ping(),
  tunnel.forward({ bind, target: ECHO }),
  tunnel.udpForward({ bind, target: ECHO }),
  tunnel.dynamic({ bind }),
  listener.removePeer(peer),
  (async () => tunnel.reverse({ bind, target: ECHO }))(),
  (async () => listener.denyPeer(peer))(),
];
const settled = Promise.allSettled(callsAbout('AB'.repeat(32)));
await Promise.all(deaths);
await ping;
await settled;
await Promise.allSettled(callsAbout(tunnel.toxId.slice(0, 64)));
const failed = once(tunnel.dial(ECHO), 'error') as Promise<[Error & { code?: unknown }]>;
told.push(String((await failed)[0].code));
for (const each of [tunnel, listener, first]) await each.close();
death.close();
// Exceptions from the meantime would surface in these turns.
for (let turns = 0; turns < 10; turns++) await new Promise((resolve) => setImmediate(resolve));
process.stdout.write(`${JSON.stringify({ told: told.sort(), streams: streams.sort() })}\n`);
