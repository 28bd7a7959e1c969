/**
 * A program whose pools still have work queued when it closes its tunnel. The pools then dial again in their
 * own callbacks, where an exception would kill the program. Each piece of work must fail by itself.
 */
import { once } from 'node:events';
import { get } from 'node:http';
import { get as getSecurely } from 'node:https';
import pg from 'pg';
import { Agent, fetch } from 'undici';
import { connect, createBootstrapNode, listen } from '../../src/index.js';
import { LOOPBACK_HOST } from './loopback.js';

const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;
/** Accepts connections and sends nothing. */
const SILENT = { host: 'silent', port: 80 } as const;
const WORK = 3;

const first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0 });
const bootstrap = [`${LOOPBACK_HOST}:${first.udpPort}:${first.publicKey}`];
const listener = await listen({ ...LOCAL, bootstrap, offer: [SILENT] });
let taken = 0;
const allTaken = new Promise<void>((resolve) => {
  listener.on('stream', (stream) => {
    stream.on('error', () => {}).resume();
    if (++taken === 4) resolve();
  });
});
const tunnel = await connect({ ...LOCAL, bootstrap, remote: listener.ticket });

const failed: Record<string, number> = {};
const ended: Promise<unknown>[] = [];
function work(name: string, begin: () => Promise<unknown>): void {
  for (let times = 0; times < WORK; times++) {
    ended.push(
      begin().then(
        () => process.stdout.write(`${name} got a response\n`),
        () => {
          failed[name] = (failed[name] ?? 0) + 1;
        },
      ),
    );
  }
}

const agent = tunnel.agent({ maxSockets: 1 });
work('http', () => once(get('http://silent/', { agent }), 'response'));
const secure = tunnel.httpsAgent({ maxSockets: 1 });
work('https', () => once(getSecurely('https://silent:80/', { agent: secure }), 'response'));
const pool = new pg.Pool({ max: 1, stream: () => tunnel.dial(SILENT) });
pool.on('error', () => {});
work('pg', () => pool.query('SELECT 1'));
const dispatcher = new Agent({ connections: 1, connect: tunnel.undiciConnect() });
work('undici', () => fetch('http://silent/', { dispatcher }));

// One connection of each pool is open, and the other work waits for it.
await allTaken;
await tunnel.close();
await Promise.all(ended);
// Later dials of a pool fail in the same way, even for targets that are invalid.
const bad = `http://${'a.'.repeat(200)}lan/`;
for (const address of ['http://silent/', bad]) work('late', () => once(get(address, { agent }), 'response'));
await Promise.all(ended);
await pool.end();
await dispatcher.destroy();
await listener.close();
await first.close();
process.stdout.write(`${JSON.stringify(failed)}\n`);
