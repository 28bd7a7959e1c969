/** The simulated network of test/world: its NATs, firewalls, lines and TCP connections. */
import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { seeded } from '../support/sim_clock.js';
import { Loop } from '../world/loop.js';
import { type Address, type Host, ipHex, type Line, Net, type SiteShape } from '../world/net.js';

const LINE: Line = {
  delayMs: 5,
  jitterMs: 0,
  loss: 0,
  duplicate: 0,
  rate: Number.POSITIVE_INFINITY,
  queueBytes: 1000,
};
const NAT = { kind: 'keeping', timeoutMs: 30_000, hairpin: false } as const;
const PUBLIC_IP = ipHex('203.0.113.9');

class Bench {
  readonly loop = new Loop();
  readonly net = new Net(this.loop.clock, seeded(1));
  readonly server = this.net.site({ line: LINE }).host(ipHex('198.51.100.1'));

  inside(shape: Partial<SiteShape> = {}): Host {
    const site = this.net.site({ line: { ...LINE }, nat: NAT, ...shape });
    site.setPublicIp(PUBLIC_IP);
    return site.host(ipHex('192.168.1.10'));
  }

  /** Collects what arrives at a port. */
  hear(host: Host, port: number): Address[] {
    const heard: Address[] = [];
    host.bindUdp(port, (_bytes, from) => heard.push(from));
    return heard;
  }

  async pass(ms: number): Promise<void> {
    await this.loop.run(this.loop.nowMs + ms);
  }
}

const BYTES = Uint8Array.of(1, 2, 3);
const SERVER = (port: number): Address => ({ ip: ipHex('198.51.100.1'), port });

describe('NAT', () => {
  test('a port-keeping NAT shows every destination the same address', async () => {
    const bench = new Bench();
    const [one, two] = [bench.hear(bench.server, 1), bench.hear(bench.server, 2)];
    const host = bench.inside();
    host.sendUdp(4000, BYTES, SERVER(1));
    host.sendUdp(4000, BYTES, SERVER(2));
    await bench.pass(20);
    assert.deepEqual(
      [...one, ...two],
      [
        { ip: PUBLIC_IP, port: 4000 },
        { ip: PUBLIC_IP, port: 4000 },
      ],
    );
  });

  test('a symmetric NAT shows every destination another port', async () => {
    const bench = new Bench();
    const [one, two] = [bench.hear(bench.server, 1), bench.hear(bench.server, 2)];
    const host = bench.inside({ nat: { ...NAT, kind: 'symmetric' } });
    host.sendUdp(4000, BYTES, SERVER(1));
    host.sendUdp(4000, BYTES, SERVER(2));
    await bench.pass(20);
    assert.notEqual(one[0]?.port, two[0]?.port);
  });

  test('only answers come in, and only until the mapping times out', async () => {
    const bench = new Bench();
    const host = bench.inside();
    const heard = bench.hear(host, 4000);
    const mapped = { ip: PUBLIC_IP, port: 4000 };
    bench.server.sendUdp(1, BYTES, mapped);
    await bench.pass(20);
    host.sendUdp(4000, BYTES, SERVER(1));
    await bench.pass(20);
    bench.server.sendUdp(2, BYTES, mapped);
    await bench.pass(20);
    assert.equal(heard.length, 0);
    bench.server.sendUdp(1, BYTES, mapped);
    await bench.pass(20);
    assert.equal(heard.length, 1);
    await bench.pass(NAT.timeoutMs);
    bench.server.sendUdp(1, BYTES, mapped);
    await bench.pass(20);
    assert.equal(heard.length, 1);
  });

  for (const hairpin of [true, false]) {
    test(`neighbours ${hairpin ? 'reach' : 'do not reach'} each other by the public address ${hairpin ? 'with' : 'without'} hairpin`, async () => {
      const bench = new Bench();
      const host = bench.inside({ nat: { ...NAT, hairpin } });
      const neighbour = host.site.host(ipHex('192.168.1.11'));
      const heard = bench.hear(neighbour, 5000);
      neighbour.sendUdp(5000, BYTES, { ip: PUBLIC_IP, port: 4000 });
      host.sendUdp(4000, BYTES, { ip: PUBLIC_IP, port: 5000 });
      await bench.pass(20);
      assert.equal(heard.length, hairpin ? 1 : 0);
    });
  }
});

test('a firewall lets answers in and nothing else', async () => {
  const bench = new Bench();
  const host = bench.net.site({ line: LINE, firewall: true }).host(ipHex('203.0.113.7'));
  const heard = bench.hear(host, 4000);
  bench.server.sendUdp(1, BYTES, { ip: ipHex('203.0.113.7'), port: 4000 });
  await bench.pass(20);
  assert.equal(heard.length, 0);
  host.sendUdp(4000, BYTES, SERVER(1));
  await bench.pass(20);
  bench.server.sendUdp(1, BYTES, { ip: ipHex('203.0.113.7'), port: 4000 });
  await bench.pass(20);
  assert.equal(heard.length, 1);
});

test('a line with a rate delays datagrams, and drops what its queue does not hold', async () => {
  const bench = new Bench();
  const host = bench.net.site({ line: { ...LINE, rate: 1 } }).host(ipHex('203.0.113.7'));
  const heard = bench.hear(bench.server, 1);
  for (let i = 0; i < 20; i++) host.sendUdp(4000, new Uint8Array(100), SERVER(1));
  await bench.pass(110);
  assert.equal(heard.length, 1);
  await bench.pass(5_000);
  assert.equal(heard.length, 11);
});

describe('TCP', () => {
  const connected = async (bench: Bench, host: Host) => {
    let far: ReturnType<Host['connectTcp']> | undefined;
    bench.server.listenTcp(80, (end) => {
      far = end;
    });
    const near = host.connectTcp(SERVER(80));
    await bench.pass(50);
    if (far === undefined) throw new Error('no connection arrived');
    return { near, far };
  };

  test('bytes arrive in order across an outage, and then the end', async () => {
    const bench = new Bench();
    const host = bench.inside();
    const { near, far } = await connected(bench, host);
    for (let i = 0; i < 50; i++) {
      if (i === 10) host.site.cuts++;
      if (i === 30) host.site.cuts--;
      near.send(Uint8Array.of(i));
      await bench.pass(20);
    }
    near.close();
    await bench.pass(5_000);
    const into = new Uint8Array(100);
    assert.equal(far.read(into), 50);
    assert.deepEqual(
      [...into.subarray(0, 50)],
      Array.from({ length: 50 }, (_, i) => i),
    );
    assert.ok(far.isEnded);
  });

  test('a connection dies silently when its address is gone', async () => {
    const bench = new Bench();
    const host = bench.inside();
    const { near, far } = await connected(bench, host);
    host.site.setPublicIp(ipHex('203.0.113.10'));
    near.send(BYTES);
    await bench.pass(60_000);
    assert.equal(far.unreadBytes, 0);
    assert.ok(near.isOpen && far.isOpen);
  });

  test('nobody listens: the connection is refused', async () => {
    const bench = new Bench();
    const near = bench.inside().connectTcp(SERVER(81));
    await bench.pass(50);
    assert.ok(near.isClosed);
  });
});
