// The real worker with the lossless channel in place of the fast one. The worker sends a channel's
// packets as lossy ones; here toxcore sends them as lossless packets, and hands them back as lossy ones.
import { workerData } from 'node:worker_threads';
import type { WorkerBoot } from '../../src/bridge/spawn.js';
import { LOSSLESS_PACKET_ID, LOSSY_PACKET_ID } from '../../src/core/packets.js';
import { createRandomPool, runWorker } from '../../src/worker/run_worker.js';
import { loadTox, readWasm } from '../../src/worker/tox/load.js';
import { createLosslessChannel, KIND_FRAME } from './lossless_channel.js';

const boot = workerData as WorkerBoot; // WorkerLink passes exactly this

runWorker(boot, {
  createChannel: (host, options) => {
    const channel = createLosslessChannel(host, options);
    const receive = channel.receive.bind(channel);
    channel.receive = (packet, nowMs) => receive(withId(packet, LOSSLESS_PACKET_ID), nowMs);
    return channel;
  },
  loadTox: async (network) => {
    const module = loadTox(await readWasm(new URL(boot.wasm)), {
      network,
      nowMs: () => performance.now(),
      wallMs: () => Date.now(),
      random: createRandomPool(),
    });
    return {
      createBootstrapNode: (options, log) => module.createBootstrapNode(options, log),
      memoryBytes: () => module.memoryBytes(),
      allocatedBytes: () => module.allocatedBytes(),
      createTox: (options, events) => {
        const tox = module.createTox(options, {
          ...events,
          losslessPacket: (friend, packet) => {
            if (packet[1] !== KIND_FRAME) events.losslessPacket(friend, packet);
            else events.lossyPacket(friend, withId(packet, LOSSY_PACKET_ID));
          },
        });
        tox.sendLossy = (friend, packet) => tox.sendLossless(friend, packet);
        return tox;
      },
    };
  },
});

/** A copy of the packet with another id byte. */
function withId(packet: Uint8Array, id: number): Uint8Array {
  const copy = new Uint8Array(packet);
  copy[0] = id;
  return copy;
}
