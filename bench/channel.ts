// Measures how many packets per second the channel code itself carries, with both ends in one thread and
// neither toxcore nor sockets: npx tsx bench/channel.ts [seconds per row]
import { performance } from 'node:perf_hooks';
import { ReliableChannel } from '../src/worker/channel/reliable_channel.js';

const seconds = Number(process.argv[2] ?? 2);
const QUEUE_PACKETS = 16_384;
const PACKET_BYTES = 1373;

/** A packet queue between the ends, like the one between two sockets; drops packets that do not fit. */
class PacketQueue {
  readonly #bytes = new Uint8Array(QUEUE_PACKETS * PACKET_BYTES);
  readonly #lengths = new Uint16Array(QUEUE_PACKETS);
  #head = 0;
  #tail = 0;

  push(packet: Uint8Array): void {
    if (this.#tail - this.#head === QUEUE_PACKETS) return;
    const at = this.#tail++ % QUEUE_PACKETS;
    this.#bytes.set(packet, at * PACKET_BYTES);
    this.#lengths[at] = packet.length;
  }

  drain(take: (packet: Uint8Array) => void): void {
    while (this.#head < this.#tail) {
      const at = this.#head++ % QUEUE_PACKETS;
      take(this.#bytes.subarray(at * PACKET_BYTES, at * PACKET_BYTES + this.#lengths[at]!));
    }
  }
}

function run(name: string, frameBytes: number, lossEvery: number, bothWays: boolean): void {
  const toB = new PacketQueue();
  const toA = new PacketQueue();
  const backlog = [0, 0];
  let delivered = 0;
  let count = 0;
  const end = (side: 0 | 1, out: PacketQueue): ReliableChannel =>
    new ReliableChannel(
      {
        sendPacket: (packet) => {
          if (lossEvery === 0 || ++count % lossEvery !== 0) out.push(packet);
          return 'sent';
        },
        deliver: (frame) => {
          delivered += frame.length;
          return true;
        },
        drained: (bytes) => {
          backlog[side]! -= bytes;
        },
        fail: (error) => {
          throw error;
        },
      },
      { tag: 1, seed: 7 + side, frameBytes: 1344, online: true },
    );
  const a = end(0, toB);
  const b = end(1, toA);
  const frame = new Uint8Array(frameBytes);
  const start = performance.now();
  const before = process.cpuUsage();
  let now = start;
  while (now - start < seconds * 1000) {
    while (backlog[0]! < 512 * 1024) {
      backlog[0]! += frameBytes;
      a.send(frame, false, now);
    }
    while (bothWays && backlog[1]! < 512 * 1024) {
      backlog[1]! += frameBytes;
      b.send(frame, false, now);
    }
    a.pump(now);
    now = performance.now();
    toB.drain((packet) => b.receive(packet, now));
    b.pump(now);
    toA.drain((packet) => a.receive(packet, now));
    now = performance.now();
  }
  const cpu = process.cpuUsage(before);
  const cpuMs = (cpu.user + cpu.system) / 1000;
  const stats = a.stats(now);
  const packets = stats.packetsOut + b.stats(now).packetsOut;
  const columns = [
    name.padEnd(32),
    `${Math.round((packets / (now - start)) * 1000).toLocaleString('en')}`.padStart(10),
    `${Math.round(delivered / 1e6 / ((now - start) / 1000))}`.padStart(8),
    `${((cpuMs * 1000) / packets).toFixed(2)}`.padStart(10),
    `${stats.roundTripMs.toFixed(2)}`.padStart(8),
    `${stats.packetsLost}`.padStart(8),
    `${b.stats(now).acksOut}`.padStart(8),
  ];
  process.stdout.write(`${columns.join(' ')}\n`);
}

process.stdout.write(`${'row'.padEnd(32)}  packets/s     MB/s  us/packet   rtt/ms     lost     acks\n`);
run('frames of 1344 bytes', 1344, 0, false);
run('frames of 1344 bytes, 1 % lost', 1344, 100, false);
run('frames of 1344 bytes, both ways', 1344, 0, true);
run('frames of 64 bytes', 64, 0, false);
