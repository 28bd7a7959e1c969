/**
 * A program that opens everything that the library has, uses it and closes it. It must then exit by itself.
 * It runs two networks at once, to show that they share nothing.
 */
import { once } from 'node:events';
import {
  connect,
  createBootstrapNode,
  listen,
  parseBootstrapLine,
  parseLocalSpec,
  parseReverseRule,
  parseReverseSpec,
  parseTicket,
} from '../../src/index.js';
import { LOOPBACK_HOST } from './loopback.js';
import { readToEnd } from './socket_bytes.js';

const LOCAL = { bindAddress: LOOPBACK_HOST, lanDiscovery: false } as const;
const HELLO = { host: 'hello', port: 1 } as const;
/** Outlives every tunnel that it is passed to. */
const { signal } = new AbortController();

async function use(word: string): Promise<string> {
  await using first = await createBootstrapNode({ ...LOCAL, port: 0, tcpPort: 0, signal });
  const bootstrap = [parseBootstrapLine(`${LOOPBACK_HOST}:${first.udpPort}:${first.publicKey}`)];
  const options = { ...LOCAL, bootstrap, signal };
  await using listener = await listen({ ...options, offer: [HELLO], allowReverse: [parseReverseRule('0')] });
  listener.on('stream', (stream) => stream.on('error', () => {}).end(word));
  await using tunnel = await connect({ ...options, remote: parseTicket(listener.ticket) });
  await tunnel.forward(parseLocalSpec('0:hello:1'), { signal });
  await tunnel.dynamic({ bind: { host: LOOPBACK_HOST, port: 0 }, signal });
  const opened = once(listener, 'reverse');
  tunnel.reverse(parseReverseSpec('0:localhost:1'), { signal });
  await opened;
  // One that is never ended, and one that is still in progress.
  tunnel.dial({ host: 'nowhere', port: 1 }).on('error', () => {});
  return String(await readToEnd(tunnel.dial({ ...HELLO, signal })));
}

const words = await Promise.all([use('one'), use('other')]);
process.stdout.write(`${words.join(' ')}\n`);
