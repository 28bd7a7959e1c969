import { connect, createServer, type Socket } from 'node:net';
import type { MessagePort } from 'node:worker_threads';
import { type Doorbell, PortDoorbell } from '../src/ring/doorbell.js';
import { allocateRing } from '../src/ring/ring.js';
import { RingReader } from '../src/ring/ring_reader.js';
import { RingWriter } from '../src/ring/ring_writer.js';
import { WAKE_BYTES, WakeWords } from '../src/ring/wake_words.js';
import { WaitDoorbell } from './wait_doorbell.js';

export type Transport = 'waitAsync' | 'postMessage';

/** The data that bench/doorbell.ts hands to its worker. */
export interface BenchEnds {
  readonly transport: Transport;
  readonly port: MessagePort;
  readonly bellWords: SharedArrayBuffer;
  readonly there: SharedArrayBuffer;
  readonly back: SharedArrayBuffer;
  readonly wake: SharedArrayBuffer;
  readonly load: boolean;
  /** True: returns every record. False: only counts them. */
  readonly echo: boolean;
}

export function allocateEnds(
  transport: Transport,
  port: MessagePort,
  load: boolean,
  echo: boolean,
): BenchEnds {
  return {
    transport,
    port,
    load,
    echo,
    bellWords: new SharedArrayBuffer(128),
    there: allocateRing(4 * 1024 * 1024),
    back: allocateRing(4 * 1024 * 1024),
    wake: new SharedArrayBuffer(2 * WAKE_BYTES),
  };
}

/** Creates the bell, the outgoing ring and the incoming ring of side 0 (main thread) or 1 (worker). */
export function openEnds(
  ends: BenchEnds,
  side: 0 | 1,
): { bell: Doorbell; writer: RingWriter; reader: RingReader } {
  const bell =
    ends.transport === 'waitAsync' ? new WaitDoorbell(ends.bellWords, side) : new PortDoorbell(ends.port);
  const [out, into] = side === 0 ? [ends.there, ends.back] : [ends.back, ends.there];
  const words = (ring: 0 | 1): WakeWords => new WakeWords(ends.wake, ring * WAKE_BYTES);
  return {
    bell,
    writer: new RingWriter(out, words(side), bell, () => {}),
    reader: new RingReader(into, words(side === 0 ? 1 : 0), bell),
  };
}

/**
 * Keeps the event loop of this thread busy with turns that compute for 20 µs, and with a socket that echoes.
 */
export async function otherWork(): Promise<() => void> {
  let running = true;
  const compute = (): void => {
    const until = performance.now() + 0.02;
    while (performance.now() < until);
    if (running) setImmediate(compute);
  };
  setImmediate(compute);

  const sockets: Socket[] = [];
  const server = createServer(
    (socket) => void sockets.push(socket.on('data', (bytes) => socket.write(bytes))),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  const client = connect(address.port, '127.0.0.1');
  client.on('data', (bytes) => client.write(bytes));
  client.write('x'.repeat(1024));
  sockets.push(client);
  return () => {
    running = false;
    for (const socket of sockets) socket.destroy();
    server.close();
  };
}
