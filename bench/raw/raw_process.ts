// One end of the raw lossy packets: a Tox node on the same wasm, sockets and pump as the tunnel, with nothing
// above them. Started by raw_way.ts; does what its parent asks.
import { createHash } from 'node:crypto';
import { wasmFile } from '../../src/bridge/package_files.js';
import { systemTimers } from '../../src/core/clock.js';
import { parseBootstrapLine } from '../../src/network/bootstrap_list.js';
import { prepareNetwork } from '../../src/worker/net/node_network.js';
import { Pump } from '../../src/worker/pump.js';
import { createRandomPool } from '../../src/worker/run_worker.js';
import { loadTox, readWasm } from '../../src/worker/tox/load.js';
import { LOOPBACK_HOST } from '../../test/support/loopback.js';
import { bulkBytes } from '../target.js';
import type { RawAnswer, RawRequest } from './raw_contract.js';
import { RawReceiver, RawSender } from './raw_packets.js';

/** The only friend. */
const FRIEND = 0;

const network = await prepareNetwork({
  udp: true,
  udpPorts: { from: 0, to: 0 },
  bindAddress: LOOPBACK_HOST,
});
const nowMs = (): number => systemTimers.nowMs();
const module = loadTox(await readWasm(wasmFile()), {
  network,
  nowMs,
  wallMs: () => Date.now(),
  random: createRandomPool(),
});

let sender: RawSender | undefined;
let receiver: RawReceiver | undefined;
let onSent = (): void => {};
let onOnline = (): void => {};

const tox = module.createTox(
  { udp: true, ipv6: network.ipv6, udpPort: network.udpPort, lanDiscovery: false },
  {
    selfPath: () => {},
    friendRequest: () => {},
    friendPath: (_, path) => {
      if (path === 'udp') onOnline();
    },
    losslessPacket: () => {},
    lossyPacket: (_, packet) => {
      sender?.receive(packet, nowMs());
      receiver?.receive(packet);
    },
    log: () => {},
  },
);
const send = (packet: Uint8Array): boolean => tox.sendLossy(FRIEND, packet) === 'sent';

const pump = new Pump({
  instance: tox,
  network,
  channels: {
    pump: (now) => {
      const againAtMs = sender?.pump(now) ?? Number.POSITIVE_INFINITY;
      if (sender?.isDone === true) onSent();
      return againAtMs;
    },
  },
  timers: systemTimers,
  nextTurn: (callback) => void setImmediate(callback),
});
network.onWake({ datagrams: () => pump.wake(), streams: () => pump.wakeFully() });
pump.wake();

async function answer(request: RawRequest): Promise<RawAnswer> {
  switch (request.do) {
    case 'start': {
      const { host, port, key } = parseBootstrapLine(request.bootstrap);
      if (!tox.bootstrap(host, port, key)) throw new Error('toxcore rejected the bootstrap node');
      return { publicKey: Buffer.from(tox.publicKey).toString('hex') };
    }
    case 'befriend': {
      const online = new Promise<void>((resolve) => {
        onOnline = resolve;
      });
      tox.acceptFriend(Buffer.from(request.publicKey, 'hex'));
      pump.wakeFully();
      await online;
      return {};
    }
    case 'receive':
      receiver = new RawReceiver(send, request.bytes, request.run);
      return {};
    case 'send': {
      const sent = new Promise<void>((resolve) => {
        onSent = resolve;
      });
      const bytes = bulkBytes(request.direction, request.bytes);
      const begunMs = performance.now();
      sender = new RawSender(send, bytes, request.run);
      pump.wake();
      await sent;
      sender = undefined;
      return { ms: performance.now() - begunMs };
    }
    case 'result': {
      if (receiver === undefined) throw new Error('no `receive` came before `result`');
      const { bytes, missing } = receiver.result();
      receiver = undefined;
      return { sha256: createHash('sha256').update(bytes).digest('hex'), missing };
    }
  }
}

process.on('message', (request: RawRequest) => {
  void answer(request).then((value) => process.send?.(value));
});
// It exits with its parent, when the channel between them closes.
process.once('disconnect', () => process.exit(0));
