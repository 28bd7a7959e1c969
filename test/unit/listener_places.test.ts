/** Which remembered places a listener knocks at. */
import assert from 'node:assert/strict';
import { EventEmitter } from 'node:events';
import { test } from 'node:test';
import type { Started } from '../../src/bridge/contract.js';
import type { NodeLink } from '../../src/bridge/tox_node.js';
import type { WorkerCalls, WorkerLinkEvents } from '../../src/bridge/worker_link.js';
import type { PeerPlace } from '../../src/core/tox_network.js';
import { upperHex } from '../../src/network/tox_id.js';
import { MainRings } from '../../src/ring/main_rings.js';
import { allocateShared } from '../../src/ring/shared.js';
import { thisMachine } from '../../src/tunnel/machine.js';
import { TunnelNode } from '../../src/tunnel/tunnel_node.js';

const keyOf = (fill: number): Uint8Array => new Uint8Array(32).fill(fill);

const STARTED: Started = {
  address: new Uint8Array(38),
  publicKey: keyOf(9),
  secretKey: keyOf(8),
  dhtKey: keyOf(7),
  udpPort: 33_445,
  tcpPort: 0,
};

/** A worker that only notes where it is told to knock. */
class FakeLink extends EventEmitter<WorkerLinkEvents> implements NodeLink {
  readonly knocked: PeerPlace[] = [];
  readonly rings = new MainRings(allocateShared({ capacityBytes: 4096 }).main);
  // A listener without peers calls nothing else.
  readonly worker = {
    start: async () => STARTED,
    bootstrap: async () => ({ failed: [] }),
    admitRequests: async () => {},
    knock: async (places) => void this.knocked.push(...places),
  } as Partial<WorkerCalls> as WorkerCalls;

  keepProcess(): void {}

  async close(): Promise<void> {
    this.rings.close();
  }
}

test('a listener knocks at places of earlier peers, but not at one that was denied since', async () => {
  const link = new FakeLink();
  const places = [1, 2].map((fill) => ({
    publicKey: upperHex(keyOf(fill)),
    dhtKey: upperHex(keyOf(0xd0)),
    seen: new Date().toISOString(),
    addresses: ['192.0.2.1:33445'],
    relays: [],
  }));
  const listener = await TunnelNode.listen(
    { places, denyPeers: [upperHex(keyOf(2))], bootstrap: [], lanDiscovery: false },
    { ...thisMachine(), spawn: () => link },
  );
  assert.deepEqual(
    link.knocked.map(({ publicKey }) => upperHex(publicKey)),
    [upperHex(keyOf(1))],
  );
  assert.deepEqual(
    listener.node.places.map(({ publicKey }) => publicKey),
    [upperHex(keyOf(1))],
  );
  await listener.close();
});
