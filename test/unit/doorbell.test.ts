import assert from 'node:assert/strict';
import { once } from 'node:events';
import { describe, test } from 'node:test';
import { MessageChannel, Worker } from 'node:worker_threads';
import { PortDoorbell } from '../../src/ring/doorbell.js';

describe('doorbell', () => {
  test('rings reach the other end, even those from before it listens', async () => {
    const { port1, port2 } = new MessageChannel();
    const [here, there] = [new PortDoorbell(port1), new PortDoorbell(port2)];
    here.ring();
    port2.ref();
    const keepAlive = setInterval(() => {}, 60_000);
    for (const early of [true, false]) {
      const heard = new Promise<void>((resolve) => {
        if (early) there.onRing(() => resolve());
        else port2.once('message', () => resolve());
      });
      if (!early) here.ring();
      await heard;
    }
    clearInterval(keepAlive);
    here.close();
    there.close();
  });

  test('ringing a closed end is harmless', () => {
    const { port1, port2 } = new MessageChannel();
    const [here, there] = [new PortDoorbell(port1), new PortDoorbell(port2)];
    there.close();
    here.ring();
    here.close();
    here.ring();
    here.close();
  });

  test('a listening doorbell keeps no thread alive, and needs no close for that', async () => {
    const { port1, port2 } = new MessageChannel();
    const doorbell = JSON.stringify(new URL('../../src/ring/doorbell.ts', import.meta.url).href);
    const tsx = JSON.stringify(import.meta.resolve('tsx/esm/api'));
    const worker = new Worker(
      `import(${tsx}).then(async ({ register }) => {
        register();
        const { PortDoorbell } = await import(${doorbell});
        new PortDoorbell(require('node:worker_threads').workerData).onRing(() => {});
      });`,
      { eval: true, workerData: port2, transferList: [port2] },
    );
    assert.deepEqual(await once(worker, 'exit'), [0]);
    port1.close();
  });
});
