import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { systemTimers } from '../../src/core/clock.js';
import { DescriptorBudget, DescriptorShare } from '../../src/core/descriptors.js';
import { TunnelError } from '../../src/core/errors.js';
import { ipBytes, ipText } from '../../src/core/ip.js';
import { authorizer } from '../../src/forward/proxy/proxy_handshake.js';
import { SocksHandshake } from '../../src/forward/proxy/socks.js';
import { Arrivals } from '../../src/worker/net/arrivals.js';
import type { NetworkPlan } from '../../src/worker/net/network.js';
import {
  FAMILY_IPV4,
  FAMILY_IPV6,
  type MutableAddress,
  SOCKET_DATAGRAM,
  SOCKET_STREAM,
} from '../../src/worker/net/network.js';
import { type NodeNetwork, prepareNetwork } from '../../src/worker/net/node_network.js';
import { openTcpLike } from '../../src/worker/net/open_sockets.js';
import { UdpSocket } from '../../src/worker/net/udp_socket.js';

const LOCAL = { bindAddress: '127.0.0.1', udpPorts: { from: 0, to: 0 } } as const;

async function prepared(context: TestContext, plan: Partial<NetworkPlan>): Promise<NodeNetwork> {
  // Time stands still, so that a slow machine uses up no stranger's share of it.
  const network = await prepareNetwork({ udp: false, ...LOCAL, ...plan }, { nowMs: () => 0 });
  context.after(() => network.closeAll());
  return network;
}

function at(port: number, ip: readonly number[] = [127, 0, 0, 1]): MutableAddress {
  const bytes = new Uint8Array(16);
  bytes.set(ip);
  return { family: ip.length === 4 ? FAMILY_IPV4 : FAMILY_IPV6, bytes, port };
}

/** A socket bound as toxcore binds it. */
function bound(network: NodeNetwork, type: typeof SOCKET_DATAGRAM | typeof SOCKET_STREAM): number {
  const socket = network.socket(FAMILY_IPV4, type);
  const port = type === SOCKET_DATAGRAM ? network.udpPort : network.tcpPort;
  assert.equal(network.bind(socket, at(port, [0, 0, 0, 0])), 0);
  return socket;
}

/** Turns the event loop until `met`; the time limit of the test ends a futile wait. */
async function until(met: () => boolean): Promise<void> {
  while (!met()) await new Promise((resolve) => setImmediate(resolve));
}

test('datagrams arrive with their sender', async (context) => {
  const [a, b] = [await prepared(context, { udp: true }), await prepared(context, { udp: true })];
  const [from, to] = [bound(a, SOCKET_DATAGRAM), bound(b, SOCKET_DATAGRAM)];
  let woken = 0;
  b.onWake({ datagrams: () => woken++, streams: () => {} });
  const bytes = Uint8Array.of(1, 2, 3);
  assert.equal(a.sendTo(from, bytes, at(b.udpPort)), 3);
  bytes.fill(9);
  assert.equal(a.sendTo(from, bytes, at(b.udpPort)), 3);
  await until(() => b.datagramsWaiting === 2);
  assert.equal(woken, 1);
  const into = new Uint8Array(10);
  const sender = at(0, [0, 0, 0, 0]);
  assert.equal(b.recvFrom(to, into, sender), 3);
  assert.deepEqual([...into.subarray(0, 3)], [1, 2, 3]);
  assert.equal(sender.port, a.udpPort);
  assert.deepEqual([...sender.bytes.subarray(0, 4)], [127, 0, 0, 1]);
  assert.equal(sender.family, FAMILY_IPV4);
  assert.equal(b.recvFrom(to, into.subarray(0, 2), sender), 2);
  assert.equal(b.recvFrom(to, into, sender), -1);
  assert.deepEqual(a.stats, { datagramsIn: 0, datagramsOut: 2, datagramsDropped: 0, strangersDropped: 0 });
  assert.deepEqual(b.stats, { datagramsIn: 2, datagramsOut: 0, datagramsDropped: 0, strangersDropped: 0 });
});

test('a datagram budget ends a turn, and the next budget continues', async (context) => {
  const network = await prepared(context, { udp: true });
  const socket = bound(network, SOCKET_DATAGRAM);
  for (let i = 0; i < 3; i++) network.sendTo(socket, Uint8Array.of(i), at(network.udpPort));
  await until(() => network.datagramsWaiting === 3);
  const into = new Uint8Array(10);
  network.allowDatagrams(2);
  assert.equal(network.recvFrom(socket, into, at(0)), 1);
  assert.equal(network.recvFrom(socket, into, at(0)), 1);
  assert.equal(network.recvFrom(socket, into, at(0)), -1);
  assert.equal(network.datagramsWaiting, 1);
  network.allowDatagrams(2);
  assert.equal(network.recvFrom(socket, into, at(0)), 1);
  assert.equal(into[0], 2);
});

test('IPv4 works over a socket for both families', async (context) => {
  const both = await prepared(context, { udp: true, bindAddress: undefined });
  if (!both.ipv6) {
    context.skip('this machine has no IPv6');
    return;
  }
  const four = await prepared(context, { udp: true });
  const [from, to] = [bound(both, SOCKET_DATAGRAM), bound(four, SOCKET_DATAGRAM)];
  const mapped = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 127, 0, 0, 1];
  assert.equal(both.sendTo(from, Uint8Array.of(7), at(four.udpPort, mapped)), 1);
  await until(() => four.datagramsWaiting === 1);
  assert.equal(four.sendTo(to, Uint8Array.of(8), at(both.udpPort)), 1);
  await until(() => both.datagramsWaiting === 1);
  const sender = at(0);
  assert.equal(both.recvFrom(from, new Uint8Array(9), sender), 1);
  assert.equal(sender.family, FAMILY_IPV6);
  assert.deepEqual([...sender.bytes], mapped);
});

test('a datagram that cannot be sent is refused or lost, and nothing is thrown', async (context) => {
  const network = await prepared(context, { udp: true });
  const socket = bound(network, SOCKET_DATAGRAM);
  assert.equal(network.sendTo(socket, Uint8Array.of(1), at(0)), -1);
  assert.equal(network.sendTo(socket, Uint8Array.of(1), at(9, new Array<number>(16).fill(1))), -1);
  network.sendTo(socket, new Uint8Array(65_536), at(network.udpPort)); // EMSGSIZE
  network.sendTo(socket, Uint8Array.of(1), at(9, [255, 255, 255, 255])); // from the loopback: unreachable
  network.close(socket);
  assert.equal(network.sendTo(socket, Uint8Array.of(1), at(9)), -1);
});

test('toxcore may bind only ports opened for it, each once', async (context) => {
  const network = await prepared(context, { udp: true });
  const socket = network.socket(FAMILY_IPV4, SOCKET_DATAGRAM);
  assert.equal(network.bind(socket, at(network.udpPort ^ 1)), -1);
  assert.equal(network.bind(network.socket(FAMILY_IPV4, SOCKET_STREAM), at(network.udpPort)), -1);
  assert.equal(network.bind(socket, at(network.udpPort)), 0);
  assert.equal(network.bind(socket, at(network.udpPort)), -1);
  assert.equal(network.recvFrom(999, new Uint8Array(1), at(0)), -1);
  assert.equal(network.close(999), -1);
});

test('two Tox nodes that share a port range each find a port in it', async (context) => {
  const probe = await prepared(context, { udp: true });
  const first = probe.udpPort;
  const range = { from: first, to: Math.min(first + 50, 65_535) };
  const second = await prepared(context, { udp: true, udpPorts: range });
  assert.ok(second.udpPort > first && second.udpPort <= range.to);
});

test('a requested UDP port that is taken is refused with its number and a remedy', async (context) => {
  const { udpPort } = await prepared(context, { udp: true });
  await assert.rejects(
    prepareNetwork({ udp: true, ...LOCAL, udpPorts: { from: udpPort, to: udpPort } }),
    (error) =>
      TunnelError.is(error) &&
      error.code === 'ERR_LISTEN' &&
      error.message.includes(`UDP port ${udpPort} `) &&
      error.message.includes('choose another'),
  );
});

test('a requested TCP port that is taken is refused with its number', async (context) => {
  const { tcpPort } = await prepared(context, { tcpPort: 0 });
  await assert.rejects(
    prepareNetwork({ udp: false, ...LOCAL, tcpPort }),
    (error) => TunnelError.is(error) && error.message.includes(`TCP port ${tcpPort} `),
  );
});

test('a TCP port that follows the UDP port has its number, so that one address names both', async (context) => {
  const network = await prepared(context, { udp: true, tcpPort: 'as-udp' });
  assert.ok(network.udpPort > 0);
  // On rare occasions another program has that TCP port: then it is any other.
  if (network.tcpPort !== network.udpPort)
    context.diagnostic('another program had the TCP port of that number');
  else assert.equal(network.bind(network.socket(FAMILY_IPV4, SOCKET_STREAM), at(network.udpPort)), 0);
});

test('when the TCP port with the number of the UDP port is taken, any other is opened', async (context) => {
  const { tcpPort } = await prepared(context, { tcpPort: 0 });
  const { server } = await openTcpLike(tcpPort, '127.0.0.1');
  context.after(() => server.close());
  const address = server.address();
  assert.ok(address !== null && typeof address === 'object');
  assert.ok(address.port > 0 && address.port !== tcpPort);
});

test('an address of another machine is refused', async () => {
  await assert.rejects(
    prepareNetwork({ udp: true, bindAddress: '192.0.2.1', udpPorts: { from: 0, to: 0 } }),
    (error) => TunnelError.is(error) && error.code === 'ERR_LISTEN' && error.message.includes('192.0.2.1'),
  );
});

/** The two ends of one connection, created as toxcore creates them. */
async function connected(context: TestContext) {
  const server = await prepared(context, { tcpPort: 0 });
  const client = await prepared(context, {});
  const listener = bound(server, SOCKET_STREAM);
  assert.equal(server.listen(listener), 0);
  const near = client.socket(FAMILY_IPV4, SOCKET_STREAM);
  assert.equal(client.connect(near, at(server.tcpPort)), 0);
  assert.equal(client.send(near, Uint8Array.of(1)), -1);
  let far = -1;
  await until(() => {
    if (far < 0) far = server.accept(listener);
    return far >= 0;
  });
  await until(() => client.send(near, Uint8Array.of(42)) === 1);
  await until(() => server.recvBuffered(far) === 1);
  assert.equal(server.recv(far, new Uint8Array(1)), 1);
  return { server, client, near, far, listener };
}

test('bytes cross a TCP connection both ways, and are counted before they are read', async (context) => {
  const { server, client, near, far } = await connected(context);
  assert.equal(server.recv(far, new Uint8Array(4)), -1);
  assert.equal(server.recvBuffered(far), 0);
  let woken = 0;
  client.onWake({ datagrams: () => {}, streams: () => woken++ });
  assert.equal(server.send(far, Buffer.from('hello')), 5);
  assert.equal(server.send(far, Buffer.from(' there')), 6);
  await until(() => client.recvBuffered(near) === 11);
  assert.ok(woken > 0);
  const into = Buffer.alloc(7);
  assert.equal(client.recv(near, into), 7);
  assert.equal(into.toString(), 'hello t');
  assert.equal(client.recvBuffered(near), 4);
  assert.equal(client.recv(near, into), 4);
  assert.equal(into.subarray(0, 4).toString(), 'here');
  assert.equal(client.recv(near, into), -1);
});

test('a connection that waits to be accepted is reported', async (context) => {
  const server = await prepared(context, { tcpPort: 0 });
  const client = await prepared(context, {});
  const listener = bound(server, SOCKET_STREAM);
  assert.equal(server.accept(listener), -1);
  const told = new Promise<void>((resolve) => {
    server.onWake({ datagrams: () => {}, streams: resolve });
  });
  client.connect(client.socket(FAMILY_IPV4, SOCKET_STREAM), at(server.tcpPort));
  await told;
  assert.ok(server.accept(listener) > 0);
});

test('a reader that stops blocks the writer, and no byte is lost', async (context) => {
  const { server, client, near, far } = await connected(context);
  let woken = 0;
  client.onWake({ datagrams: () => {}, streams: () => woken++ });
  let sent = 0;
  const packet = new Uint8Array(1000);
  const fill = (): void => {
    for (;;) {
      packet.fill(sent / 1000);
      if (client.send(near, packet) < 0) return;
      sent += 1000;
    }
  };
  // Blocked permanently when a hundred turns have brought no room.
  for (let idle = 0, before = 0; idle < 100; idle = sent === before ? idle + 1 : 0) {
    before = sent;
    fill();
    await new Promise((resolve) => setImmediate(resolve));
  }
  assert.ok(server.recvBuffered(far) < 256 * 1024, 'the reader holds little');
  const wokenBefore = woken;
  const into = new Uint8Array(4096);
  let read = 0;
  while (read < sent) {
    const length = server.recv(far, into);
    if (length < 0) {
      await new Promise((resolve) => setImmediate(resolve));
      continue;
    }
    for (let i = 0; i < length; i++) {
      if (into[i] !== (Math.floor((read + i) / 1000) & 255)) assert.fail(`byte ${read + i} is wrong`);
    }
    read += length;
  }
  assert.ok(woken > wokenBefore, 'the writer was told of room');
  assert.equal(client.send(near, packet), 1000);
});

test('a remote end that hangs up reads as an invalid packet, after everything that it had sent', async (context) => {
  const { server, client, near, far } = await connected(context);
  server.send(far, Buffer.from('bye'));
  await until(() => client.recvBuffered(near) === 3);
  let woken = 0;
  client.onWake({ datagrams: () => {}, streams: () => woken++ });
  server.close(far);
  await until(() => client.recvBuffered(near) === 0xffff);
  assert.ok(woken > 0);
  const into = new Uint8Array(5);
  assert.equal(client.recv(near, into), 5);
  assert.deepEqual([...into], [...Buffer.from('bye'), 0xff, 0xff]);
  assert.equal(client.recv(near, into), 5);
  assert.deepEqual([...into], [0xff, 0xff, 0xff, 0xff, 0xff]);
  assert.equal(client.send(near, into), -1);
});

test('bytes sent right before a close still arrive', async (context) => {
  const { server, client, near, far } = await connected(context);
  server.send(far, Buffer.from('last words'));
  server.close(far);
  const into = Buffer.alloc(10);
  await until(() => client.recvBuffered(near) >= 10);
  client.recv(near, into);
  assert.equal(into.toString(), 'last words');
});

test('a refused connection is silent: toxcore waits and tries another', async (context) => {
  const gone = createServer().listen(0, '127.0.0.1');
  await once(gone, 'listening');
  const address = gone.address();
  assert.ok(address !== null && typeof address === 'object');
  gone.close();
  await once(gone, 'close');
  const client = await prepared(context, {});
  const socket = client.socket(FAMILY_IPV4, SOCKET_STREAM);
  assert.equal(client.connect(socket, at(address.port)), 0);
  for (let turn = 0; turn < 50; turn++) await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.recvBuffered(socket), 0);
  assert.equal(client.send(socket, Uint8Array.of(1)), -1);
  assert.equal(client.connect(socket, at(address.port)), -1);
});

test('pending connections and sockets that toxcore never took are closed with the rest', async (context) => {
  const server = await prepared(context, { udp: true, tcpPort: 0 });
  const client = await prepared(context, {});
  const socket = client.socket(FAMILY_IPV4, SOCKET_STREAM);
  client.connect(socket, at(server.tcpPort));
  await until(() => client.send(socket, Uint8Array.of(1)) === 1);
  const { udpPort } = server;
  server.closeAll();
  await until(() => client.recvBuffered(socket) === 0xffff);
  assert.equal(server.socket(FAMILY_IPV4, SOCKET_STREAM), -1);
  // The port is free again.
  const again = createSocket('udp4').bind(udpPort, '127.0.0.1');
  await once(again, 'listening');
  again.close();
});

test('a connection from an address that the machine has lost reads as hung up; others continue', async (context) => {
  const server = await prepared(context, { tcpPort: 0 });
  const client = await prepared(context, {});
  const listening = bound(server, SOCKET_STREAM);
  const socket = client.socket(FAMILY_IPV4, SOCKET_STREAM);
  assert.equal(client.connect(socket, at(server.tcpPort)), 0);
  await until(() => client.send(socket, Uint8Array.of(1)) === 1 && server.accept(listening) !== -1);

  client.leaveOtherAddresses(new Set(['127.0.0.1']));
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(client.recvBuffered(socket), 0);

  client.leaveOtherAddresses(new Set(['192.0.2.1']));
  await until(() => client.recvBuffered(socket) > 0);
  const into = new Uint8Array(2);
  assert.equal(client.recv(socket, into), 2);
  assert.deepEqual([...into], [0xff, 0xff]);
});

/** A SOCKS5 proxy that sends "hello" for every target, together with its answer. */
async function proxyThatLeads(context: TestContext, password = 'p') {
  const asked: string[] = [];
  const server = createServer((socket) => {
    const handshake = new SocksHandshake(authorizer({ user: 'u', password }));
    const take = (bytes: Buffer): void => {
      const step = handshake.take(bytes);
      if (step.kind !== 'target') {
        socket.write(step.answer);
        return;
      }
      asked.push(`${step.target.host}:${step.target.port}`);
      socket.write(Buffer.concat([handshake.opened(), Buffer.from('hello')]));
      socket.off('data', take).resume();
    };
    socket.on('error', () => {}).on('data', take);
  });
  context.after(() => server.close());
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  assert.ok(address !== null && typeof address !== 'string');
  const credentials = { user: 'u', password: 'p' };
  const proxy = { protocol: 'socks5', host: '127.0.0.1', port: address.port, credentials } as const;
  return { asked, network: await prepared(context, { proxy }) };
}

test('every TCP connection goes through the proxy, by name where an address is a placeholder for one', async (context) => {
  const { asked, network } = await proxyThatLeads(context);
  const name = ipBytes(network.names?.addressOf('relay.example') ?? '');
  assert.ok(name);
  for (const ip of [[192, 0, 2, 1], [...name]]) {
    const socket = network.socket(FAMILY_IPV4, SOCKET_STREAM);
    assert.equal(network.send(socket, Uint8Array.of(1)), -1);
    assert.equal(network.connect(socket, at(443, ip)), 0);
    await until(() => network.recvBuffered(socket) === 5);
    const into = new Uint8Array(5);
    assert.equal(network.recv(socket, into), 5);
    assert.equal(Buffer.from(into).toString(), 'hello');
    assert.equal(network.send(socket, Uint8Array.of(1)), 1);
    network.close(socket);
  }
  assert.deepEqual(asked, ['192.0.2.1:443', 'relay.example:443']);
  assert.equal(network.proxyTrouble, undefined);
  const foreign = network.socket(FAMILY_IPV6, SOCKET_STREAM);
  assert.equal(network.connect(foreign, at(443, [...(ipBytes('100::1234') ?? [])])), -1);
  assert.equal(ipText(name).startsWith('100:'), true);
});

test('no relay that somebody names leads to the secrets of a cloud, not even through the proxy', async (context) => {
  const { asked, network } = await proxyThatLeads(context);
  for (const ip of [
    [169, 254, 169, 254],
    [...(ipBytes('::ffff:100.100.100.200') ?? [])],
    [...(ipBytes('fd00:ec2::254') ?? [])],
  ]) {
    const family = ip.length === 4 ? FAMILY_IPV4 : FAMILY_IPV6;
    assert.equal(network.connect(network.socket(family, SOCKET_STREAM), at(80, ip)), -1);
  }
  assert.deepEqual(asked, []);
});

test('a refusal by the proxy is recorded, and the connection never opens', async (context) => {
  const { asked, network } = await proxyThatLeads(context, 'another');
  const socket = network.socket(FAMILY_IPV4, SOCKET_STREAM);
  network.connect(socket, at(443, [192, 0, 2, 1]));
  await until(() => network.proxyTrouble !== undefined);
  assert.match(network.proxyTrouble ?? '', /^the proxy 127\.0\.0\.1:\d+ refused the user name or password$/);
  assert.equal(network.send(socket, Uint8Array.of(1)), -1);
  assert.deepEqual(asked, []);
});

/** With this many descriptors. */
const share = (most: number): DescriptorShare => new DescriptorShare(new DescriptorBudget(most, 100));

test('a connection to the relay without a free descriptor is closed at once, and a later one is served', {
  timeout: 20_000,
}, async (context) => {
  const server = await prepared(context, { tcpPort: 0, descriptors: share(1) });
  const listener = bound(server, SOCKET_STREAM);
  const first = connect(server.tcpPort, '127.0.0.1');
  let far = -1;
  await until(() => {
    far = server.accept(listener);
    return far >= 0;
  });
  const second = connect(server.tcpPort, '127.0.0.1').resume();
  await once(second, 'close');
  assert.equal(server.accept(listener), -1);
  assert.equal(first.closed, false);
  server.close(far);
  await once(first.resume(), 'close');
  const third = connect(server.tcpPort, '127.0.0.1');
  context.after(() => third.destroy());
  await until(() => server.accept(listener) >= 0);
});

test('no relay is dialled without a descriptor, and one is once a descriptor is free', async (context) => {
  const server = await prepared(context, { tcpPort: 0 });
  const client = await prepared(context, { descriptors: share(1) });
  const dial = (): number => client.connect(client.socket(FAMILY_IPV4, SOCKET_STREAM), at(server.tcpPort));
  const socket = client.socket(FAMILY_IPV4, SOCKET_STREAM);
  assert.equal(client.connect(socket, at(server.tcpPort)), 0);
  assert.equal(dial(), -1);
  client.close(socket);
  await until(() => dial() === 0);
});

test('when the system cannot list its interfaces a broadcast is lost, and nothing is thrown', async (context) => {
  const socket = createSocket('udp4').bind({ address: '127.0.0.1', port: 0 });
  await once(socket, 'listening');
  const udp = new UdpSocket(
    socket,
    FAMILY_IPV4,
    () => {},
    new Arrivals(systemTimers, 1),
    () => undefined,
  );
  context.after(() => udp.close());
  assert.equal(udp.sendTo(Uint8Array.of(1), at(9, [255, 255, 255, 255])), -1);
});

test('a relay that takes nobody closes connections as they arrive, and later takes them again', async (context) => {
  const server = await prepareNetwork({ udp: false, tcpPort: 0, bindAddress: '127.0.0.1' });
  context.after(() => server.closeAll());
  const listening = server.socket(FAMILY_IPV4, SOCKET_STREAM);
  assert.equal(server.bind(listening, at(server.tcpPort)), 0);
  server.admitStreams(false);
  const refused = connect(server.tcpPort, '127.0.0.1').on('error', () => {});
  await once(refused, 'close');
  assert.equal(server.accept(listening), -1);
  server.admitStreams(true);
  const taken = connect(server.tcpPort, '127.0.0.1').on('error', () => {});
  context.after(() => taken.destroy());
  await until(() => server.accept(listening) >= 0);
});
